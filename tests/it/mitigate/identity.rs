//! Identity tokens: made by others, good once, and refused alike whatever is wrong with them.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;
use sidegate_core::token::jwe::KeyManagement;

use super::{
    SESSION, chat, enter, entered, identity, issued, last, minting, open, pairs, private, public, refused, started,
    started_with, text, token_with, value, with_lines,
};
use crate::support::cases::cases;
use crate::support::forge;
use crate::support::gate::SHOP;
use crate::support::jwcrypto;
use crate::support::raw::Raw;
use crate::support::redis::RedisServer;
use crate::support::upstream::Upstream;

const INNER: &str = r#"{"typ":"JWT","alg":"RS256"}"#;
const OUTER: &str = r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#;

fn claims(user: &str, jti: &str) -> String {
    let now = forge::now();
    let claims =
        json!({ "user_id": user, "access_token": "canary-access-token", "iat": now, "exp": now + 600, "jti": jti });
    claims.to_string()
}

#[tokio::test]
async fn pythons_jwcrypto_makes_tokens_that_are_taken() {
    let (_upstream, gate) = started().await;
    for (jti, outer) in [("j1", OUTER), ("j2", r#"{"enc":"A256GCM","alg":"RSA-OAEP"}"#)] {
        let token = jwcrypto::nested(INNER, &claims("ada", jti), private(0), outer, public(1));
        assert_eq!(issued(enter(&gate, &json!({ "token": token })).await).await["mode"], "identified", "{outer}");
    }
}

#[tokio::test]
async fn oaep_with_sha_256_is_taken_where_the_workspace_says_so_and_nothing_else() {
    let other = token_with(&minting(0, 1, KeyManagement::RsaOaep256), "ada", None);
    let (_upstream, gate) = started().await;
    refused(enter(&gate, &json!({ "token": other })).await, 401, "IDENTITY_INVALID").await;
    let (_upstream, gate) = started_with(&format!("identity.management = \"RSA-OAEP-256\"\n{}", open())).await;
    assert_eq!(issued(enter(&gate, &json!({ "token": other })).await).await["mode"], "identified");
    refused(enter(&gate, &json!({ "token": identity("ada") })).await, 401, "IDENTITY_INVALID").await;
    let outer = OUTER.replace("OAEP", "OAEP-256");
    let token = jwcrypto::nested(INNER, &claims("ada", "j1"), private(0), &outer, public(1));
    assert_eq!(issued(enter(&gate, &json!({ "token": token })).await).await["mode"], "identified");
}

#[tokio::test]
async fn two_keys_of_each_are_good_while_they_are_rotated() {
    let (opens, checks) = ([value(private(1)), value(private(3))], [value(public(0)), value(public(2))]);
    let lines =
        format!("identity.encryption_keys = [{}]\nidentity.signing_keys = [{}]", opens.join(","), checks.join(","));
    let (_upstream, gate) = started_with(&lines).await;
    for (signing, encryption) in [(0, 1), (2, 3), (0, 3), (2, 1)] {
        let token = token_with(&minting(signing, encryption, KeyManagement::RsaOaep), "ada", None);
        assert_eq!(issued(enter(&gate, &json!({ "token": token })).await).await["mode"], "identified");
    }
    let (_upstream, gate) = started().await;
    for (signing, encryption) in [(2, 3), (0, 3), (2, 1)] {
        let token = token_with(&minting(signing, encryption, KeyManagement::RsaOaep), "ada", None);
        refused(enter(&gate, &json!({ "token": token })).await, 401, "IDENTITY_INVALID").await;
    }
}

#[tokio::test]
async fn keys_may_stand_in_pkcs_1() {
    use crate::support::openssl::{KeyPair, options};
    let (signing, sealing) = (KeyPair::new(options("RS256")), KeyPair::new(options("RS256")));
    let lines = format!(
        "identity.encryption_keys = [{}]\nidentity.signing_keys = [{}]\nidentity.mint_signing_key = {}\n\
         identity.mint_encryption_key = {}",
        value(&sealing.traditional()),
        value(&signing.public),
        value(&signing.traditional()),
        value(&sealing.public)
    );
    let (_upstream, gate) = started_with(&lines).await;
    let token = super::mint::made(&gate, &json!({ "user_id": "ada" })).await;
    assert_eq!(issued(enter(&gate, &json!({ "token": token })).await).await["mode"], "identified");
}

#[tokio::test]
async fn the_access_token_goes_upstream_and_nowhere_else() {
    let lines = format!("{}\n[apps.inject.headers]\nAuthorization = \"Bearer {{{{secrets.access_token}}}}\"", open());
    let (upstream, gate) = started_with(&lines).await;
    let token = token_with(&minting(0, 1, KeyManagement::RsaOaep), "ada", Some("canary-access-token"));
    let answer = issued(enter(&gate, &json!({ "token": token })).await).await;
    assert!(!answer.to_string().contains("canary"));
    let session = text(&answer["token"]);
    let payload = session.split('.').nth(1).expect("a payload");
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    assert!(!String::from_utf8(payload).expect("UTF-8").contains("canary"));
    let said = chat(&gate, &session, &json!({ "prompt": "hi" })).await;
    assert!(said.status().is_success() && !format!("{:?}", said.headers()).contains("canary"));
    assert_eq!(last(&upstream).header("authorization"), "Bearer canary-access-token");
    assert!(!gate.output().contains("canary"));
    // Who has none is not let through with a hole in its place.
    let bare = entered(&gate, &json!({ "token": identity("bob") })).await;
    assert!(!chat(&gate, &bare, &json!({ "prompt": "hi" })).await.status().is_success());
    assert_eq!(upstream.take().len(), 0);
}

#[derive(Deserialize)]
struct Claimed {
    name: String,
    claims: String,
}

/// A text of the fixtures with `NOW`, `NOW+600`, `NOW-5` as numbers.
fn at_now(text: &str) -> String {
    let now = i64::try_from(forge::now()).expect("a time");
    let mut parts = text.split("NOW");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end =
            part.find(|letter: char| !letter.is_ascii_digit() && letter != '+' && letter != '-').unwrap_or(part.len());
        let (offset, rest) = part.split_at(end);
        out += &(now + offset.parse::<i64>().unwrap_or(0)).to_string();
        out += rest;
    }
    out
}

/// Tokens with one thing wrong each.
fn attacks() -> Vec<(String, String)> {
    let good = jwcrypto::nested(INNER, &claims("ada", "good"), private(0), OUTER, public(1));
    let parts: Vec<&str> = good.split('.').collect();
    let with = |index: usize, part: &str| {
        let mut parts = parts.clone();
        parts[index] = part;
        parts.join(".")
    };
    let flipped = |index: usize| {
        let first = if parts[index].starts_with('A') { "B" } else { "A" };
        with(index, &format!("{first}{}", &parts[index][1..]))
    };
    let mut attacks: Vec<(String, String)> = vec![
        ("nothing".into(), String::new()),
        ("a word".into(), "token".into()),
        ("four parts".into(), parts[..4].join(".")),
        ("six parts".into(), format!("{good}.AAAA")),
        ("a shorter tag".into(), with(4, &parts[4][..16])),
        ("no tag".into(), with(4, "")),
        ("another tag".into(), flipped(4)),
        ("another text".into(), flipped(3)),
        ("another nonce".into(), flipped(2)),
        ("another wrapped key".into(), flipped(1)),
        ("no wrapped key".into(), with(1, "")),
        ("a short wrapped key".into(), with(1, &parts[1][..8])),
        ("padding".into(), format!("{good}=")),
        ("a space behind".into(), format!("{good} ")),
        ("a huge one".into(), format!("{good}{}", "A".repeat(20_000))),
        (
            "only signed".into(),
            jwcrypto::sign(
                &serde_json::from_str(INNER).unwrap(),
                &serde_json::from_str(&claims("ada", "signed")).expect("claims"),
                "RS256",
                private(0),
            ),
        ),
    ];
    let outers: Vec<String> = cases("mitigate/jwe_headers_refused.json");
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    attacks.extend(outers.into_iter().map(|header| (header.clone(), with(0, &engine.encode(header)))));
    attacks.extend(of_other_makers(&good));
    attacks
}

/// Tokens that were made as they should not be.
fn of_other_makers(good: &str) -> Vec<(String, String)> {
    let mut attacks = Vec::new();
    for (name, outer) in [
        ("zip", r#"{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF"}"#),
        ("another cipher", r#"{"alg":"RSA-OAEP","enc":"A256CBC-HS512"}"#),
        ("a weaker cipher", r#"{"alg":"RSA-OAEP","enc":"A128GCM"}"#),
    ] {
        attacks.push((name.into(), jwcrypto::nested(INNER, &claims("ada", "outer"), private(0), outer, public(1))));
    }
    let other = jwcrypto::nested(INNER, &claims("ada", "key"), private(2), OUTER, public(1));
    attacks.push(("signed by another".into(), other));
    attacks.push((
        "sealed for another".into(),
        jwcrypto::nested(INNER, &claims("ada", "seal"), private(0), OUTER, public(3)),
    ));
    let seal = |inner: &str| jwcrypto::sealed(inner, OUTER, public(1));
    let payload = claims("ada", "inner");
    attacks
        .push(("alg none".into(), seal(&format!("{}.", forge::unsigned(r#"{"typ":"JWT","alg":"none"}"#, &payload)))));
    let public_as_secret =
        forge::sign(r#"{"typ":"JWT","alg":"HS256"}"#, &payload, public(0), jsonwebtoken::Algorithm::HS256);
    attacks.push(("the public key as a secret".into(), seal(&public_as_secret)));
    attacks.push(("sealed twice".into(), seal(good)));
    attacks.push(("not signed".into(), seal(&payload)));
    for Claimed { name, claims } in cases::<Claimed>("mitigate/claims_refused.json") {
        attacks.push((name, jwcrypto::nested(INNER, &at_now(&claims), private(0), OUTER, public(1))));
    }
    attacks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_is_refused_with_the_same_bytes() {
    let (upstream, gate) = started().await;
    let attacks = tokio::task::spawn_blocking(attacks).await.expect("joined");
    assert!(attacks.len() > 80, "{}", attacks.len());
    let mut answers = Vec::new();
    for (name, token) in &attacks {
        let body = json!({ "token": token }).to_string();
        let mut raw = Raw::connect(gate.public).await;
        raw.send(request(&body)).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        let of_request = |line: &&str| !line.starts_with("x-request-id") && !line.starts_with("date");
        let head: Vec<String> = answer.head.lines().filter(of_request).map(str::to_owned).collect();
        answers.push((name, head, answer.body));
    }
    let (_, head, body) = &answers[0];
    for (name, other_head, other_body) in &answers {
        assert_eq!((other_head, other_body), (head, body), "{name}");
    }
    assert_eq!(
        body,
        r#"{"error":"The identity token is invalid, has expired or was used before","code":"IDENTITY_INVALID"}"#
    );
    assert_eq!(upstream.count(), 0);
    let metrics = gate.ops("/metrics").send().await.expect("an answer").text().await.expect("text");
    let sessions = metrics.lines().filter(|line| line.starts_with("sidegate_sessions_total")).collect::<Vec<_>>();
    assert!(
        !sessions.is_empty() && sessions.iter().all(|line| line.ends_with(" 0")),
        "no session came of it: {sessions:?}"
    );
    for outcome in
        ["malformed", "not_opened", "bad_signature", "bad_claims", "expired", "not_yet_valid", "too_long_lived"]
    {
        let none = format!("sidegate_identity_tokens_total{{outcome=\"{outcome}\"}} 0");
        assert!(!metrics.contains(&none), "{outcome} was counted");
        assert!(gate.output().contains(&format!("\"reason\":\"{outcome}\"")), "{outcome} was logged");
    }
    // What the attacks named is not used up.
    for jti in ["good", "inner", "key"] {
        let token = jwcrypto::nested(INNER, &claims("ada", jti), private(0), OUTER, public(1));
        assert_eq!(issued(enter(&gate, &json!({ "token": token })).await).await["mode"], "identified", "{jti}");
    }
}

fn request(body: &str) -> String {
    format!(
        "POST {SESSION} HTTP/1.1\r\nHost: localhost\r\nOrigin: {SHOP}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_token_is_good_once() {
    let (_upstream, gate) = started().await;
    let (one, two) = (identity("ada"), identity("ada"));
    for token in [&one, &two] {
        assert_eq!(issued(enter(&gate, &json!({ "token": token })).await).await["mode"], "identified");
        let again = refused(enter(&gate, &json!({ "token": token })).await, 401, "IDENTITY_INVALID").await;
        assert_eq!(again, "The identity token is invalid, has expired or was used before");
    }
    // Another token of the same name is no other.
    let keys = claims("bob", "the-same");
    let [first, second] = [(); 2].map(|()| jwcrypto::nested(INNER, &keys, private(0), OUTER, public(1)));
    assert_ne!(first, second);
    assert_eq!(issued(enter(&gate, &json!({ "token": first })).await).await["mode"], "identified");
    refused(enter(&gate, &json!({ "token": second })).await, 401, "IDENTITY_INVALID").await;
    let metrics = gate.ops("/metrics").send().await.expect("an answer").text().await.expect("text");
    assert!(metrics.contains("sidegate_identity_tokens_total{outcome=\"replayed\"} 3"), "{metrics}");
}

/// How often one token is shown, by so many at the same time, to two replicas.
const SHOWN: usize = 100_000;
const AT_ONCE: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_thousand_who_show_one_token_one_comes_in() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let replica =
        || server.share(with_lines(&upstream, &open())).set("log.access=false").set("store.redis.timeout=10s");
    let gates = join_all((0..2).map(|_| replica().start())).await;
    let body = json!({ "token": identity("ada") }).to_string();
    let (begun, came_in) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let visitor = async |index: usize| {
        let mut raw = Raw::connect(gates[index % gates.len()].public).await;
        while begun.fetch_add(1, Ordering::Relaxed) < SHOWN {
            raw.send(request(&body)).await;
            let answer = raw.answer().await;
            match answer.status {
                200 => drop(came_in.fetch_add(1, Ordering::Relaxed)),
                _ => assert_eq!((answer.status, answer.body.contains("IDENTITY_INVALID")), (401, true), "{answer:?}"),
            }
        }
    };
    join_all((0..AT_ONCE).map(visitor)).await;
    assert_eq!(came_in.into_inner(), 1);
}

#[test]
fn the_pairs_of_the_tests_are_apart() {
    let all: std::collections::HashSet<&str> = pairs().iter().map(|pair| pair.public.expose_secret()).collect();
    assert_eq!(all.len(), 4);
}
