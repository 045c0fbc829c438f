//! Three gates over one Redis, for the state, and one PostgreSQL, for the registry: what is made at one of them is served
//! by all ([`made`]); and when either server or both are killed under load, who does not need them goes on, and all
//! recover by themselves ([`outages`]).

mod load;
mod made;
mod outages;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::apps::{Made, chat, exchange, make, with};
use crate::support::admin::BOOTSTRAP;
use crate::support::forge;
use crate::support::gate::{Gate, json_of};
use crate::support::postgres::PostgresServer;
use crate::support::redis::{RedisServer, until};
use crate::support::tally::Tally;

const HEADER: &str = "x-end-user";
const ONCE: &str = "wapp_once";
const ONCE_KEY: &str = "a-key-of-the-single-use-app-0123456789abcdef";

/// Both servers; what Redis acknowledged survives a crash, as does what PostgreSQL did.
struct Servers {
    redis: RedisServer,
    postgres: PostgresServer,
}

impl Servers {
    fn start() -> Self {
        Self { redis: RedisServer::builder().durable().start(), postgres: PostgresServer::start() }
    }

    /// Gates whose app of the file wants a context and has a limit. They are patient, as many tests run at once; less so
    /// while there is no connection, as changes of the registry wait for one that long.
    async fn gates(&self, upstream: &Tally) -> Vec<Gate> {
        let app = "scoping = \"upstream\"\nlimits.chat = \"1000000/h\"\n\
                   inject.headers = { X-End-User = \"{{claims.sub}} {{env.VALUE}}\" }";
        let admin = format!("[admin]\nbootstrap_token = {{ value = \"{BOOTSTRAP}\" }}");
        let gate = || {
            let gate = Gate::builder_for(&upstream.url()).app(app).toml(&admin);
            let gate = self.redis.share(self.postgres.share(gate)).set("store.redis.timeout=10s");
            let gate = gate.set("store.postgres.connect_timeout=3s").set("store.postgres.timeout=10s");
            gate.set("listen.workers=1").set("log.access=false")
        };
        join_all((0..3).map(|_| gate().start())).await
    }
}

/// Settings of an app of the registry that is as the one of the file.
fn with_context() -> Value {
    let inject = json!({ "headers": { "X-End-User": "{{claims.sub}} {{env.VALUE}}" } });
    with(&json!({ "scoping": "upstream", "limits": { "chat": "1000000/h" }, "inject": inject }))
}

/// One whose tokens are used once, with a key that this test knows.
fn single_use() -> Value {
    let token = json!({ "single_use": true, "key": { "value": ONCE_KEY } });
    let inject = json!({ "headers": { "X-End-User": "{{claims.sub}}" } });
    with(&json!({ "id": ONCE, "scoping": "upstream", "token": token, "inject": inject }))
}

/// A token of its, each of an end user of its own.
fn single_use_token(index: usize) -> String {
    forge::token_of(ONCE, ONCE_KEY, &json!({ "sub": user(index), "jti": format!("{index:032x}") }))
}

fn user(index: usize) -> String {
    format!("user-{index}")
}

/// Waits until all gates say so.
async fn everywhere(what: &str, gates: &[Gate], holds: impl AsyncFn(&Gate) -> bool) {
    for gate in gates {
        until(what, async || holds(gate).await).await;
    }
}

/// Whether a gate knows an app by this secret.
async fn knows(gate: &Gate, app: &Made) -> bool {
    let status = exchange(gate, &app.id, &app.secret).await.status().as_u16();
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

/// A token with a context.
async fn mint(gate: &Gate, app: &Made, value: &str) -> String {
    let body = json!({ "appId": app.id, "appSecret": app.secret, "endUserId": "ada", "env": { "VALUE": value } });
    let answer = gate.exchange(&body).await;
    assert_eq!(answer.status(), 200);
    json_of(answer).await["data"]["token"].as_str().expect("a token").to_owned()
}

/// An app that is made at one gate, once all know it.
async fn make_everywhere(gates: &[Gate], at: usize, settings: Value) -> Made {
    let app = make(&gates[at], settings).await;
    assert!(knows(&gates[at], &app).await, "at once where it was made");
    everywhere("the app is known", gates, async |gate| knows(gate, &app).await).await;
    app
}

/// Exchanges at each gate, and chats with each token at all of them.
async fn assert_served(gates: &[Gate], app: &Made) {
    for minter in gates {
        let token = mint(minter, app, "any").await;
        let statuses = join_all(gates.iter().map(|gate| chat(gate, &token))).await;
        assert_eq!(statuses, [200; 3]);
    }
}
