//! Tokens of every algorithm against other implementations, both ways: Python's jwcrypto, and the
//! `openssl` command, which makes the keys as well.

use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};

use crate::leash::revoke;
use crate::support::gate::{Builder, Gate, assert_refused};
use crate::support::openssl::{KeyPair, mirrored, options};
use crate::support::program::program;
use crate::support::redis::until;
use crate::support::upstream::Upstream;
use crate::support::{admin, forge, jwcrypto, jwt};

const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

fn new_pair(algorithm: &str) -> KeyPair {
    KeyPair::new(options(algorithm))
}

/// A gate whose app signs with this key.
fn gate(upstream: &Upstream, algorithm: &str, key: &str) -> Builder {
    keyed(Gate::builder(upstream), algorithm, key)
}

fn keyed(builder: Builder, algorithm: &str, key: &str) -> Builder {
    builder.token(&format!("algorithm = \"{algorithm}\"")).token(&format!("key = {{ value = {} }}", json!(key)))
}

async fn ask(gate: &Gate, token: &str) -> reqwest::Response {
    gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer")
}

#[tokio::test]
async fn others_verify_our_tokens() {
    let upstream = Upstream::start().await;
    for algorithm in ALGORITHMS {
        let pair = new_pair(algorithm);
        let gate = gate(&upstream, algorithm, &pair.private).start().await;
        let token = gate.token("Zoë 7").env("TENANT", "acme").mint().await;
        let verdict = jwcrypto::verify(&token, algorithm, &pair.public);
        assert_eq!(verdict["header"], json!({ "alg": algorithm, "typ": "JWT" }));
        assert_eq!(verdict["claims"]["sub"], "Zoë 7");
        pair.verify(algorithm, &token);
        assert_eq!(jwcrypto::verify(&token, algorithm, &new_pair(algorithm).public), Value::Null);
        assert_eq!(ask(&gate, &token).await.status(), 200);
    }
}

#[tokio::test]
async fn the_gate_takes_tokens_that_others_signed() {
    let upstream = Upstream::start().await;
    let claims = jwt::claims_ending_in(60);
    for algorithm in ALGORITHMS {
        let pair = new_pair(algorithm);
        let gate = gate(&upstream, algorithm, &pair.private).start().await;
        for header in [json!({ "alg": algorithm }), json!({ "alg": algorithm, "typ": "JWT", "kid": "1" })] {
            let token = jwcrypto::sign(&header, &claims, algorithm, &pair.private);
            assert_eq!(ask(&gate, &token).await.status(), 200, "{header}");
            let token = pair.sign(algorithm, &header.to_string(), &claims.to_string());
            assert_eq!(ask(&gate, &token).await.status(), 200, "{header}");
        }
        let other = new_pair(algorithm).sign(algorithm, &json!({ "alg": algorithm }).to_string(), &claims.to_string());
        assert_refused(ask(&gate, &other).await, 401, "INVALID_TOKEN").await;
    }
}

#[tokio::test]
async fn a_retired_key_still_verifies_whether_private_or_public() {
    let upstream = Upstream::start().await;
    for algorithm in ALGORITHMS {
        let (private, public) = (new_pair(algorithm), new_pair(algorithm));
        let active = new_pair(algorithm);
        let retired = [&private.private, &public.public].map(|key| format!("{{ value = {} }}", json!(key))).join(", ");
        let builder = gate(&upstream, algorithm, &active.private).token(&format!("retired_keys = [{retired}]"));
        let gate = builder.start().await;
        for pair in [&private, &public, &active] {
            let token =
                pair.sign(algorithm, &json!({ "alg": algorithm }).to_string(), &jwt::claims_ending_in(60).to_string());
            assert_eq!(ask(&gate, &token).await.status(), 200, "{algorithm}");
        }
        active.verify(algorithm, &gate.token("user-1").mint().await);
    }
}

/// What the command prints is a key that the gate and others take.
#[tokio::test]
async fn a_generated_key_serves() {
    let upstream = Upstream::start().await;
    for algorithm in ALGORITHMS {
        let run = program(&["keys", "generate", "--algorithm", algorithm]).run();
        assert_eq!(run.code, 0, "{}", run.err);
        assert!(
            run.out.starts_with("-----BEGIN PRIVATE KEY-----\n") && run.out.ends_with("\n-----END PRIVATE KEY-----\n")
        );
        assert!(run.out.lines().all(|line| line.len() <= 64));
        let pair = KeyPair::of(run.out);
        let gate = gate(&upstream, algorithm, &pair.private).start().await;
        pair.verify(algorithm, &gate.token("user-1").mint().await);
    }
}

#[tokio::test]
async fn a_key_file_with_other_line_ends_serves() {
    let upstream = Upstream::start().await;
    let pair = new_pair("ES256");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), pair.private.replace('\n', "\r\n")).expect("written");
    let builder = Gate::builder(&upstream).token("algorithm = \"ES256\"");
    let gate = builder.token(&format!("key = {{ file = {:?} }}", file.path())).start().await;
    pair.verify("ES256", &gate.token("user-1").mint().await);
}

#[test]
fn inspect_tells_whether_an_app_with_a_key_pair_takes_a_token() {
    let pair = new_pair("EdDSA");
    let config = keyed(Gate::builder_for("http://127.0.0.1:9"), "EdDSA", &pair.private).config();
    let inspect = |token: &str| {
        let run = program(&["token", "inspect", token]).config(&config).run();
        assert_eq!(run.code, 0, "{}", run.err);
        serde_json::from_str::<Value>(&run.out).expect("JSON")["accepted"].clone()
    };
    let claims = jwt::claims_ending_in(60);
    assert_eq!(inspect(&pair.sign("EdDSA", r#"{"alg":"EdDSA"}"#, &claims.to_string())), true);
    assert_eq!(inspect(&jwt::sign(&claims, &pair.public)), "no: The token is invalid or has expired");
}

/// Attacks on the choice of key and algorithm (RFC 8725 sections 2.1 and 3.1).
#[tokio::test]
async fn no_header_brings_another_algorithm_or_key() {
    let upstream = Upstream::start().await;
    let claims = jwt::claims_ending_in(60);
    for algorithm in ALGORITHMS {
        let (pair, mallory) = (new_pair(algorithm), new_pair(algorithm));
        let gate = gate(&upstream, algorithm, &pair.private).start().await;
        let mut forged = Vec::new();
        for public in [&pair.public, pair.public.trim_end()] {
            for name in ["HS256", algorithm] {
                let header = json!({ "alg": name, "typ": "JWT" }).to_string();
                forged.push(forge::sign(&header, &claims.to_string(), public, Algorithm::HS256));
            }
        }
        let jwk = jwcrypto::jwk(&mallory.public);
        let own = json!({ "alg": algorithm, "kid": jwk["kid"], "jku": "https://evil.example/jwks.json", "jwk": jwk });
        forged.push(mallory.sign(algorithm, &own.to_string(), &claims.to_string()));
        for header in
            [json!({ "alg": "none" }), json!({ "alg": "HS256" }), json!({ "alg": algorithm, "crit": ["exp"] })]
        {
            forged.push(pair.sign(algorithm, &header.to_string(), &claims.to_string()));
        }
        for token in forged {
            assert_refused(ask(&gate, &token).await, 401, "INVALID_TOKEN").await;
        }
    }
    assert_eq!(upstream.count(), 0);
}

/// Of each signature of ECDSA anybody makes a second one, which is as good.
#[tokio::test]
async fn another_signature_makes_no_other_token() {
    let upstream = Upstream::start().await;
    let pair = new_pair("ES256");
    let gate = keyed(admin::builder(&upstream), "ES256", &pair.private).app("leash = { messages = 2 }").start().await;
    let token = gate.token("ada").mint().await;
    let other = mirrored(&token);
    pair.verify("ES256", &other);
    let say = async |token: &str| {
        let request = gate.chat(Method::POST, "/api/v1/tasks", token).json(&json!({ "message": "hi" }));
        request.send().await.expect("an answer")
    };
    for token in [&token, &other] {
        assert_eq!(say(token).await.status(), 200);
    }
    for token in [&token, &other] {
        assert_refused(say(token).await, 403, "MESSAGES_USED_UP").await;
        assert_eq!(ask(&gate, token).await.status(), 200);
    }
    revoke(&gate, json!({ "token": token })).await;
    until("it is revoked", async || ask(&gate, &token).await.status() == 401).await;
    assert_refused(ask(&gate, &other).await, 401, "INVALID_TOKEN").await;
}
