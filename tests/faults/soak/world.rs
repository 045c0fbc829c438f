//! All that a soak runs on: the gate with an app of each dialect, its chat service, and those who ask.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::Client;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sidegate::system::{RsaPair, new_rsa_pair};
use sidegate_core::dialect::mitigate::MintingKeys;
use sidegate_core::token::jwe::{EncryptionKey, KeyManagement};
use sidegate_core::token::{Algorithm, KeyRing};
use tokio::time::Instant;

use super::tally::Tally;
use super::upstream::Service;
use crate::support::gate::{Gate, SHOP};
use crate::support::redis::RedisServer;

pub const BOOTSTRAP: &str = "bootstrap-0123456789abcdef0123456789abcdef";
pub const SUPPORT: &str = "support";
pub const WORKFLOW: &str = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";
pub const BOT: &str = "ch_k3v9x1m7q2z8w4b6t0";
pub const WORKSPACE: &str = "ws_k3v9x1m7q2";
pub const ACCOUNT: &str = "acc_k3v9x1m7q2";

/// How long the gate waits for the upstream. A stall takes as long; a busy machine must not look like one.
const UPSTREAM_PATIENCE: Duration = Duration::from_secs(8);

/// Everything that scenarios need.
pub struct World {
    pub gate: Gate,
    pub upstream: Service,
    pub redis: Option<Mutex<RedisServer>>,
    pub outages: Outages,
    pub tally: Tally,
    pub http1: Client,
    pub http2: Client,
    pub minting: MintingKeys,
    /// A widget of ChatBotKit's.
    pub widget: String,
    /// How many end users there are.
    pub users: u64,
}

impl World {
    pub async fn start(users: u64, redis: Option<RedisServer>) -> Self {
        let upstream = Service::start().await;
        let pairs = [new_rsa_pair().expect("a pair"), new_rsa_pair().expect("a pair")];
        let gate = Gate::builder_for(&upstream.url()).toml(&apps(&pairs)).app(SIGMIC);
        let gate = gate
            .upstream("headers = { X-Key = \"the-gates-own\" }")
            // Its faults are many and on purpose; a busy machine is no overload.
            .upstream("circuit.failures = 0")
            .upstream(&format!("first_byte_timeout = \"{0}s\"\nidle_timeout = \"{0}s\"", UPSTREAM_PATIENCE.as_secs()));
        // HTTP/2 without TLS is for trusted proxies.
        let gate =
            gate.set("listen.trusted_proxies=[\"127.0.0.1/32\"]").set("listen.workers=2").set("store.memory=4MiB");
        let gate = match &redis {
            Some(server) => server.share(gate).set("store.redis.timeout=2s"),
            None => gate,
        };
        let gate = gate.start().await;
        let client = || Client::builder().timeout(Duration::from_secs(60)).pool_idle_timeout(Duration::from_secs(10));
        let mut world = Self {
            gate,
            upstream,
            redis: redis.map(Mutex::new),
            outages: Outages::default(),
            tally: Tally::default(),
            http1: client().build().expect("a client"),
            http2: client().http2_prior_knowledge().build().expect("a client"),
            minting: minting(&pairs),
            widget: String::new(),
            users,
        };
        world.widget = world.new_widget().await;
        world
    }

    async fn new_widget(&self) -> String {
        let url = format!("http://{}/api/v1/integration/widget/create", self.gate.private);
        let request = self.http1.post(url).bearer_auth(BOOTSTRAP).json(&json!({ "botId": "bot_1", "origin": SHOP }));
        let made: serde_json::Value = request.send().await.expect("an answer").json().await.expect("JSON");
        made["id"].as_str().unwrap_or_else(|| panic!("no widget: {made}")).to_owned()
    }
}

/// What the default app injects: the upstream holds one against the other.
const SIGMIC: &str = "inject.headers = { X-Mark = \"{{claims.sub}}\", X-Secret = \"{{secrets.KEY}}\" }";

/// An app of each other dialect, without limits.
fn apps(pairs: &[RsaPair; 2]) -> String {
    let (private, public) = (pairs[1].private.expose_secret(), pairs[0].public.expose_secret());
    let app = |id: &str, dialect: &str, more: &str| {
        format!(
            "[[apps]]\nid = \"{id}\"\ndialect = \"{dialect}\"\nupstream = \"chat\"\norigins = [\"{SHOP}\"]\n{more}\n"
        )
    };
    let key = |of: &str| format!("token.key = {{ value = \"a-key-of-the-soak-for-{of}-0123456789\" }}");
    [
        app(
            SUPPORT,
            "orcheo",
            &format!(
                "workflows = [{{ id = \"{WORKFLOW}\", name = \"Support\" }}]\n{}\nlimits = {{ exchange = [], chat = [] }}\n\
                 inject.headers = {{ X-Mark = \"{{{{claims.sub}}}}\" }}",
                key("orcheo")
            ),
        ),
        app(
            BOT,
            "chat9",
            "identity.secret = { value = \"an-identity-secret-of-the-soak-0123456789\" }\n\
             limits = { exchange = [], chat = [], history = [], escalate = [], config = [] }\n\
             inject.headers = { X-Mark = \"{{user.user_id?}}\" }",
        ),
        app(
            WORKSPACE,
            "mitigate",
            &format!(
                "{}\nidentity.encryption_keys = [{{ value = \"\"\"\n{private}\"\"\" }}]\n\
                 identity.signing_keys = [{{ value = \"\"\"\n{public}\"\"\" }}]\n\
                 limits = {{ exchange = [], guest = [], chat = [] }}\n\
                 inject.headers = {{ X-Mark = \"{{{{claims.sub}}}}\" }}",
                key("mitigate")
            ),
        ),
        app(
            ACCOUNT,
            "chatbotkit",
            &format!(
                "{}\nlimits = {{ exchange = [], chat = [], config = [] }}\n\
                 inject.headers = {{ X-Mark = \"{{{{user.meta?}}}}\" }}",
                key("chatbotkit")
            ),
        ),
        format!("[admin]\nbootstrap_token = {{ value = \"{BOOTSTRAP}\" }}\n"),
    ]
    .concat()
}

/// What the website of Mitigate's makes identity tokens with.
fn minting(pairs: &[RsaPair; 2]) -> MintingKeys {
    let signing = KeyRing::new(Algorithm::Rs256, &pairs[0].private.expose_secret().into()).expect("a key");
    let sealing = EncryptionKey::new(KeyManagement::RsaOaep, &pairs[1].public.expose_secret().into()).expect("a key");
    MintingKeys::new(signing, sealing).expect("keys")
}

/// When the store was away on purpose.
#[derive(Default)]
pub struct Outages {
    /// From when on, and until when; without an end it is away now.
    all: Mutex<Vec<(Instant, Option<Instant>)>>,
}

impl Outages {
    /// How long the gate may take to find it again.
    const RECOVERY: Duration = Duration::from_secs(10);

    pub fn begin(&self) {
        self.all.lock().unwrap().push((Instant::now(), None));
    }

    pub fn end(&self) {
        self.all.lock().unwrap().last_mut().expect("one has begun").1 = Some(Instant::now());
    }

    pub fn count(&self) -> usize {
        self.all.lock().unwrap().len()
    }

    /// Whether one was there, or not over for long, between `begun` and now.
    pub fn touch(&self, begun: Instant) -> bool {
        self.all.lock().unwrap().iter().any(|(_, end)| end.is_none_or(|end| end + Self::RECOVERY > begun))
    }
}
