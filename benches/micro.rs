//! Micro-benchmarks of the decisions: what one request costs before a byte goes upstream.
//!
//! `cargo bench --bench micro`. One core, no sockets.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]
#![allow(missing_docs, reason = "a bench binary has no public interface")]

use std::collections::BTreeMap;
use std::sync::Arc;

use divan::{Bencher, black_box};
use http::HeaderMap;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sidegate::system::{RsaPair, System, new_rsa_pair, new_signing_key};
use sidegate_core::app::{App, TokenPolicy};
use sidegate_core::clock::{Clock as _, Timestamp};
use sidegate_core::context::inject::{Injection, InjectionSource};
use sidegate_core::context::seal::{Sealer, new_key};
use sidegate_core::context::template::{Scope, Values};
use sidegate_core::context::{ContextKey, ContextLimits, SessionContext};
use sidegate_core::dialect::mitigate::{self, MintingKeys, WorkspaceKeys};
use sidegate_core::dialect::orcheo::Workspaces;
use sidegate_core::dialect::{Dialect, sigmic};
use sidegate_core::id::{AppId, EndUserId, TokenId};
use sidegate_core::leash::Leash;
use sidegate_core::origin::{OriginSet, RequestOrigin};
use sidegate_core::policy::{Moment, Provenance, admit};
use sidegate_core::revocation::RevocationList;
use sidegate_core::secret::{SecretDigest, SecretDigests, new_app_secret};
use sidegate_core::token::jwe::{DecryptionKeys, EncryptionKey, KeyManagement};
use sidegate_core::token::{Algorithm, Claims, KeyRing, UnverifiedToken, VerifyingKeys};

const SHOP: &str = "https://shop.example.com";

fn main() {
    divan::main();
}

fn keys(algorithm: Algorithm) -> KeyRing {
    KeyRing::new(algorithm, &new_signing_key(algorithm).expect("a key")).expect("a ring")
}

fn claims(now: Timestamp) -> Claims {
    Claims {
        app: "wapp_bench".parse().expect("id"),
        subject: "user-1".parse().expect("id"),
        origins: vec![SHOP.to_owned()],
        id: Some(token_id()),
        workflow: None,
        workspaces: Workspaces::default(),
        leash: Leash::default(),
        details: serde_json::Map::new(),
        issued_at: now,
        not_before: None,
        expires_at: now.plus(std::time::Duration::from_secs(3_600)),
    }
}

fn token_id() -> TokenId {
    "0123456789abcdef0123456789abcdef".parse().expect("id")
}

fn app_id() -> AppId {
    "wapp_bench".parse().expect("id")
}

fn app() -> Arc<App> {
    Arc::new(App {
        origins: OriginSet::parse(&[SHOP]).expect("an origin"),
        token: Some(TokenPolicy {
            keys: keys(Algorithm::Hs256),
            ttl: std::time::Duration::from_secs(3_600),
            max_ttl: std::time::Duration::from_secs(3_600),
            issuer: None,
            audience: None,
            single_use: false,
        }),
        ..App::new(app_id(), Dialect::Sigmic)
    })
}

fn context() -> SessionContext {
    let limits = ContextLimits { max_entries: 64, max_name: 128, max_value: 16_384, max_total: 65_536 };
    let env = vec![("TENANT".to_owned(), "acme".into())];
    let secrets = vec![("API_TOKEN".to_owned(), "s".repeat(1_000).into())];
    SessionContext::new(env, secrets, &limits).expect("a context")
}

/// A token signed: what an exchange costs beside its body and its store.
#[divan::bench(args = Algorithm::ALL)]
fn mint(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let (keys, claims) = (keys(algorithm), claims(System.now()));
    bencher.bench_local(|| sigmic::sign(black_box(&keys), black_box(&claims)).expect("signed"));
}

/// A token read and its signature checked.
#[divan::bench(args = Algorithm::ALL)]
fn verify(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let keys = keys(algorithm);
    let token = sigmic::sign(&keys, &claims(System.now())).expect("signed");
    bencher.bench_local(|| {
        let token = UnverifiedToken::<sigmic::WireClaims<'_>>::parse(black_box(&token)).expect("read");
        Claims::try_from(token.verify(keys.verifying()).expect("verified")).expect("claims")
    });
}

/// The decision on verified claims: app, times, both origin lists.
#[divan::bench]
fn admit_claims(bencher: Bencher<'_, '_>) {
    let (app, now) = (app(), System.now());
    let from = Provenance { origin: RequestOrigin::Sent(SHOP), same_origin: false };
    let revoked = RevocationList::default();
    let moment = Moment { now, revoked: &revoked, own_origin: None };
    bencher
        .with_inputs(|| Arc::new(claims(now)))
        .bench_local_values(|claims| admit(&app, claims, "token", black_box(from), moment).expect("admitted"));
}

/// A context of about 1 KiB sealed.
#[divan::bench]
fn seal(bencher: Bencher<'_, '_>) {
    let sealer = Sealer::from_text(&new_key(&System).expect("a key")).expect("a sealer");
    let plaintext = context().to_plaintext().expect("JSON");
    let (app, token) = (app_id(), token_id());
    let key = ContextKey { app: &app, token: &token };
    bencher.bench_local(|| sealer.seal(key, black_box(&plaintext), &System).expect("sealed"));
}

/// The same opened and read.
#[divan::bench]
fn open(bencher: Bencher<'_, '_>) {
    let sealer = Sealer::from_text(&new_key(&System).expect("a key")).expect("a sealer");
    let (app, token) = (app_id(), token_id());
    let key = ContextKey { app: &app, token: &token };
    let record = sealer.seal(key, &context().to_plaintext().expect("JSON"), &System).expect("sealed");
    bencher.bench_local(|| {
        let plaintext = sealer.open(key, black_box(&record)).expect("opened");
        SessionContext::from_plaintext(&plaintext).expect("read")
    });
}

fn injection() -> Injection {
    let source = InjectionSource {
        headers: BTreeMap::from([
            ("X-Tenant".to_owned(), "{{env.TENANT}}".to_owned()),
            ("X-End-User".to_owned(), "{{claims.sub}}".to_owned()),
            ("X-App".to_owned(), "{{app.id}}".to_owned()),
        ]),
        body: BTreeMap::from([
            ("/tenant".to_owned(), json!("{{env.TENANT}}")),
            ("/metadata/user".to_owned(), json!("{{claims.sub}}")),
        ]),
        ..InjectionSource::default()
    };
    Injection::compile(&source, Scope { app: Some(&app_id()), service: &BTreeMap::new(), visitor: &[] })
        .expect("templates")
}

/// Three header fields set.
#[divan::bench]
fn inject_headers(bencher: Bencher<'_, '_>) {
    let (injection, context) = (injection(), context());
    let subject: EndUserId = "user-1".parse().expect("id");
    bencher.with_inputs(HeaderMap::new).bench_local_values(|mut headers| {
        let values = Values { subject: &subject, context: Some(&context), of_nobody: false };
        injection.apply_headers(values, &mut headers).expect("applied");
        headers
    });
}

/// Two fields set in a JSON body of 1 KiB.
#[divan::bench]
fn inject_body(bencher: Bencher<'_, '_>) {
    let (injection, context) = (injection(), context());
    let subject: EndUserId = "user-1".parse().expect("id");
    let message = "m".repeat(900);
    let body = json!({ "message": message, "metadata": { "page": "/cart" }, "n": [1, 2, 3] }).to_string();
    bencher.bench_local(|| {
        let values = Values { subject: &subject, context: Some(&context), of_nobody: false };
        injection.apply_body(values, &[], None, black_box(body.as_bytes())).expect("resolved").expect("an object")
    });
}

/// Where a secret or a signature differs from the right one. Whoever measures must not see it: all rows that are wrong take
/// as long as each other.
const DIFFERS: [&str; 4] = ["nowhere", "first letter", "middle", "last letter"];

/// `text` with another letter there; `last` is counted from its end.
fn differing(text: &str, at: &str, last: usize) -> String {
    let place = match at {
        "nowhere" => return text.to_owned(),
        "first letter" => 0,
        "middle" => text.len() / 2,
        _ => text.len() - last,
    };
    let other = if text[place..].starts_with('A') { "B" } else { "A" };
    [&text[..place], other, &text[place + 1..]].concat()
}

#[divan::bench(args = DIFFERS)]
fn compare_app_secret(bencher: Bencher<'_, '_>, at: &str) {
    let secret = new_app_secret(&System).expect("a secret");
    let known = SecretDigests::new(SecretDigest::of(&secret), None);
    let presented = differing(secret.expose_secret(), at, 1).into();
    assert_eq!(SecretDigests::verify(Some(&known), &presented), at == "nowhere", "{at}");
    bencher.bench_local(|| SecretDigests::verify(Some(&known), black_box(&presented)));
}

#[divan::bench(args = DIFFERS)]
fn compare_signature(bencher: Bencher<'_, '_>, at: &str) {
    let keys = keys(Algorithm::Hs256);
    let token = sigmic::sign(&keys, &claims(System.now())).expect("signed");
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    // Of the last letter not all bits count; the one before it is of the last bytes, too.
    let token = format!("{signed}.{}", differing(signature, at, 2));
    let verified = |token: &str| {
        let token = UnverifiedToken::<sigmic::WireClaims<'_>>::parse(token).expect("read");
        token.verify(keys.verifying()).is_ok()
    };
    assert_eq!(verified(&token), at == "nowhere", "{at}");
    bencher.bench_local(|| verified(black_box(&token)));
}

/// What is wrong with an identity token. All are refused alike; who measures should see no stage of it either, but that a
/// signature is checked only once a token was opened.
const WRONG: [&str; 7] = ["nothing", "tag", "text", "wrapped key", "recipient", "signer", "time"];

#[divan::bench(args = WRONG)]
fn open_identity_token(bencher: Bencher<'_, '_>, wrong: &str) {
    let [website, platform, other] = [(); 3].map(|()| new_rsa_pair().expect("a pair"));
    let signer = if wrong == "signer" { &other } else { &website };
    let recipient = if wrong == "recipient" { &other } else { &platform };
    let now = if wrong == "time" { Timestamp::from_seconds(1) } else { System.now() };
    let token = identity_token(signer, recipient, now);
    let part = match wrong {
        "tag" => 4,
        "text" => 3,
        "wrapped key" => 1,
        _ => 0,
    };
    let token = if part == 0 { token } else { altered(&token, part) };
    let opens = DecryptionKeys::new(KeyManagement::RsaOaep, &platform.private, None).expect("a key");
    let mut checks = VerifyingKeys::new(Algorithm::Rs256);
    checks.add(&website.public).expect("a key");
    let keys = WorkspaceKeys::new(opens, checks).expect("keys");
    assert_eq!(mitigate::verify(&token, &keys, System.now()).is_ok(), wrong == "nothing", "{wrong}");
    bencher.bench_local(|| mitigate::verify(black_box(&token), &keys, System.now()).is_ok());
}

fn identity_token(signer: &RsaPair, recipient: &RsaPair, now: Timestamp) -> String {
    let signing = KeyRing::new(Algorithm::Rs256, &signer.private).expect("a ring");
    let sealing = EncryptionKey::new(KeyManagement::RsaOaep, &recipient.public).expect("a key");
    let keys = MintingKeys::new(signing, sealing).expect("keys");
    let user = "ada".parse().expect("an id");
    mitigate::mint(&keys, &user, Some(&"at-0123456789abcdef".into()), &token_id(), now, &System).expect("a token").0
}

/// The same with another first letter of a part.
fn altered(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let first = if parts[part].starts_with('A') { "B" } else { "A" };
    parts[part].replace_range(..1, first);
    parts.join(".")
}
