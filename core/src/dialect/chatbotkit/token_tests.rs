//! Tokens: their bytes, and what is none.

use serde_json::{Value, json};

use super::*;
use crate::dialect::{mitigate, sigmic};
use crate::session::Mode;
use crate::token::{Algorithm, UnverifiedToken};

fn keys() -> KeyRing {
    KeyRing::new(Algorithm::Hs256, &"0123456789abcdef0123456789abcdef".into()).expect("a key")
}

fn cv1() -> ConversationId {
    "cv1".parse().expect("an id")
}

fn claims() -> Claims {
    Claims {
        app: "shop".parse().expect("an id"),
        subject: "s1".parse().expect("an id"),
        origins: Vec::new(),
        id: Some("s1".parse().expect("an id")),
        workflow: None,
        workspaces: Workspaces::default(),
        leash: Leash::default(),
        details: details(&cv1(), &["markdown", "math"]),
        issued_at: Timestamp::from_seconds(100),
        not_before: None,
        expires_at: Timestamp::from_seconds(200),
    }
}

fn read(token: &str) -> Result<Claims, Denial> {
    let token = UnverifiedToken::<WireClaims<'_>>::parse(token)?;
    token.verify(keys().verifying())?.try_into()
}

fn good() -> Value {
    json!({ "sub": "s1", "options": { "engine": { "features": [{ "name": "markdown" }, { "name": "math" }] },
        "limits": { "special": { "rate": { "id": "s1" } } } }, "conversationId": "cv1", "userId": "shop",
        "iat": 100, "exp": 200, "aud": AUDIENCE })
}

#[test]
fn a_token_has_the_vendors_bytes() {
    let token = sign(&keys(), &claims(), &cv1(), &["markdown", "math"]).expect("a token");
    // {"alg":"HS256"}
    assert_eq!(token.split('.').next(), Some("eyJhbGciOiJIUzI1NiJ9"));
    let wire = UnverifiedToken::<Value>::parse(&token).expect("a token").unverified_claims;
    assert_eq!(wire, good());
    assert_eq!(read(&token), Ok(claims()));
    let refused = sign(&keys(), &Claims { id: None, ..claims() }, &cv1(), &[]).expect_err("refused");
    assert_eq!(refused.code, Code::Internal);
}

#[test]
fn what_a_token_is_for_is_found_in_its_claims() {
    assert_eq!(conversation(&claims()), Ok(cv1()));
    assert!(has_feature(&claims(), "math") && !has_feature(&claims(), "form"));
    let other = Claims { details: Map::new(), ..claims() };
    assert_eq!(conversation(&other).expect_err("another's").code, Code::InvalidToken);
    assert!(!has_feature(&other, "math"));
}

#[test]
fn each_claim_must_be_there_and_as_it_must_be() {
    assert!(read(&keys().sign(&good()).expect("a token")).is_ok(), "a header with typ is read, too");
    for (name, value) in [
        ("sub", json!("")),
        ("sub", json!("a/b")),
        ("sub", json!(7)),
        ("options", json!({})),
        ("options", json!({ "engine": { "features": [] } })),
        ("options", json!({ "engine": { "features": ["math"] }, "limits": { "special": { "rate": { "id": "s" } } } })),
        ("options", json!({ "engine": { "features": [] }, "limits": { "special": {} } })),
        ("conversationId", json!("")),
        ("conversationId", json!("..")),
        ("conversationId", json!(null)),
        ("userId", json!("../shop")),
        ("iat", json!(1.5)),
        ("exp", json!("200")),
        ("aud", json!("enduser/bot/session/create")),
        ("aud", json!("user")),
        ("aud", json!([AUDIENCE])),
    ] {
        let mut wrong = good();
        wrong[name] = value;
        assert!(read(&keys().sign(&wrong).expect("a token")).is_err(), "{wrong}");
    }
    for name in ["sub", "options", "conversationId", "userId", "iat", "exp", "aud"] {
        let mut less = good();
        less.as_object_mut().expect("an object").remove(name);
        assert!(read(&keys().sign(&less).expect("a token")).is_err(), "{name}");
    }
}

#[test]
fn a_token_of_one_dialect_is_none_of_another() {
    let ours = sign(&keys(), &claims(), &cv1(), &[]).expect("a token");
    assert!(UnverifiedToken::<sigmic::WireClaims<'_>>::parse(&ours).is_err());
    assert!(UnverifiedToken::<orcheo::WireClaims<'_>>::parse(&ours).is_err());
    assert!(UnverifiedToken::<mitigate::WireClaims<'_>>::parse(&ours).is_err());
    assert!(read(&sigmic::sign(&keys(), &claims()).expect("a token")).is_err());
    assert!(read(&mitigate::sign(&keys(), &claims(), Mode::Guest).expect("a token")).is_err());
}

#[test]
fn a_signature_of_other_keys_is_none() {
    let others = KeyRing::new(Algorithm::Hs256, &"fedcba9876543210fedcba9876543210".into()).expect("a key");
    assert!(read(&sign(&others, &claims(), &cv1(), &[]).expect("a token")).is_err());
    let token = sign(&keys(), &claims(), &cv1(), &[]).expect("a token");
    let (_, rest) = token.split_once('.').expect("parts");
    // {"alg":"none"}
    assert!(read(&format!("eyJhbGciOiJub25lIn0.{rest}")).is_err());
}
