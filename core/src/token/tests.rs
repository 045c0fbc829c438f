use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sample {
    sub: String,
    exp: u64,
}

const KEY: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "another-key-of-thirty-two-bytes!";

fn ring(active: &str, retired: &[&str]) -> KeyRing {
    let mut ring = KeyRing::new(Algorithm::Hs256, &active.into()).expect("a key");
    for key in retired {
        ring.retire(&(*key).into()).expect("a key");
    }
    ring
}

fn verify(token: &str, keys: &KeyRing) -> bool {
    UnverifiedToken::<Sample>::parse(token).and_then(|token| token.verify(keys.verifying())).is_ok()
}

/// A token with any header and payload, signed properly.
fn forge(header: &str, payload: &str, key: &str) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).expect("signed");
    format!("{input}.{signature}")
}

const PAYLOAD: &str = r#"{"sub":"u","exp":1}"#;
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

#[test]
fn tokens_begin_as_the_vendors_do_and_verify_with_their_ring() {
    let token = ring(KEY, &[]).sign(&Sample { sub: "u".into(), exp: 1 }).expect("signed");
    assert!(token.starts_with("eyJhbGciOiJIUzI1NiIs"), "{token}");
    assert_eq!(token, forge(HEADER, PAYLOAD, KEY));
    assert!(verify(&token, &ring(KEY, &[])));
    assert!(verify(&token, &ring(OTHER, &[KEY])), "a retired key still verifies");
    assert!(!verify(&token, &ring(OTHER, &[])));
}

#[test]
fn headers_choose_nothing() {
    let keys = ring(KEY, &[]);
    for good in
        [r#"{"alg":"HS256"}"#, r#"{"typ":"JWT","alg":"HS256"}"#, r#"{"alg":"HS256","kid":"x","jku":"https://evil"}"#]
    {
        assert!(verify(&forge(good, PAYLOAD, KEY), &keys), "{good}");
    }
    for bad in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"typ":"JWT"}"#,
        "{}",
        "[]",
        r#"["HS256"]"#,
        r#"{"alg":"HS256","kid":"1","kid":"2"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":["HS256"]}"#,
    ] {
        assert!(!verify(&forge(bad, PAYLOAD, KEY), &keys), "{bad}");
    }
    let [_, payload, _] =
        forge(HEADER, PAYLOAD, KEY).split('.').map(str::to_owned).collect::<Vec<_>>().try_into().expect("3");
    assert!(!verify(&format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#)), &keys));
}

#[test]
fn payloads_are_read_strictly() {
    let keys = ring(KEY, &[]);
    for bad in [
        r#"{"sub":"u","exp":1.5}"#,
        r#"{"sub":"u","exp":"1"}"#,
        r#"{"sub":"u","exp":1e400}"#,
        r#"{"sub":"u","exp":-1}"#,
        r#"{"sub":"u"}"#,
        r#"{"sub":"u","exp":1,"exp":2}"#,
        r#"{"sub":"u","sub":"v","exp":1}"#,
        "null",
        "",
        "{",
    ] {
        assert!(!verify(&forge(HEADER, bad, KEY), &keys), "{bad}");
    }
}

#[test]
fn shapes_are_read_strictly() {
    let keys = ring(KEY, &[]);
    let good = forge(HEADER, PAYLOAD, KEY);
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        good.replacen('.', "", 1),
        format!("{good}="),
        format!("{good}."),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}.{good}"),
        format!("a.{good}"),
        "x".repeat(10_000),
    ] {
        assert!(!verify(&bad, &keys), "{bad}");
    }
}

#[test]
fn times_are_checked_with_one_leeway() {
    use crate::clock::Timestamp;
    let at = Timestamp::from_seconds;
    let claims = |issued, not_before: Option<u64>, expires| Claims {
        app: "a".parse().expect("id"),
        subject: "u".parse().expect("id"),
        origins: Vec::new(),
        id: None,
        workflow: None,
        workspaces: crate::dialect::orcheo::Workspaces::default(),
        leash: crate::leash::Leash::default(),
        details: serde_json::Map::new(),
        issued_at: at(issued),
        not_before: not_before.map(at),
        expires_at: at(expires),
    };
    assert!(claims(100, None, 200).check_times(at(150)).is_ok());
    assert!(claims(100, None, 200).check_times(at(204)).is_ok());
    assert!(claims(100, None, 200).check_times(at(205)).is_err());
    assert!(claims(100, None, 200).check_times(at(95)).is_ok());
    assert!(claims(100, None, 200).check_times(at(94)).is_err());
    assert!(claims(100, Some(120), 200).check_times(at(110)).is_err());
    assert!(claims(100, None, u64::MAX).check_times(at(150)).is_ok());
}

#[test]
fn short_keys_are_refused() {
    assert!(KeyRing::new(Algorithm::Hs256, &"x".repeat(31).into()).is_err());
    assert!(ring(KEY, &[]).retire(&"short".into()).is_err());
    assert!(!format!("{:?}", ring(KEY, &[])).contains(KEY));
}

proptest! {
    #[test]
    fn any_text_is_refused_without_panic(text in "[A-Za-z0-9_.-]{0,80}") {
        prop_assert!(!verify(&text, &ring(KEY, &[])));
    }

    #[test]
    fn any_change_of_a_token_breaks_it(index in 0_usize..90, replacement in "[A-Za-z0-9_-]") {
        let good = forge(HEADER, PAYLOAD, KEY);
        let index = index % good.len();
        let mut changed = good.clone();
        changed.replace_range(index..=index, &replacement);
        prop_assume!(changed != good);
        prop_assert!(!verify(&changed, &ring(KEY, &[])));
    }
}
