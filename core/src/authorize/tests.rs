use http::HeaderValue;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::secret::SecretDigest;
use crate::token::{Algorithm, KeyRing, VerifyingKeys};

const KEY: &str = "the-key-of-the-customers-login-0123456789";
const NOW: u64 = 1_795_000_000;

fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    headers
}

fn digests() -> SecretDigests {
    SecretDigests::new(SecretDigest::of(&"s3cret".into()), None)
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Denial>) -> Code {
    outcome.expect_err("a refusal").code
}

#[test]
fn one_cookie_of_a_name_is_found_wherever_it_stands() {
    for fields in [
        &[("cookie", "session=s3cret")][..],
        &[("cookie", "a=b; session=s3cret; c")],
        &[("cookie", "a=b"), ("cookie", "session=s3cret")],
        &[("cookie", "name=Jürgen; session=s3cret")],
    ] {
        assert_eq!(cookie::one(&head(fields), "session").expect("read"), Some("s3cret"), "{fields:?}");
    }
    for none in ["", "session", "session=", "Session=x", "xsession=x", "a=session=x"] {
        assert_eq!(cookie::one(&head(&[("cookie", none)]), "session").expect("read"), None, "{none}");
    }
    for twice in [&[("cookie", "session=a; session=b")][..], &[("cookie", "session=a"), ("cookie", "session=a")]] {
        assert_eq!(code(cookie::one(&head(twice), "session")), Code::InvalidAuthFormat);
    }
}

#[test]
fn a_secret_is_compared_and_may_come_with_a_name() {
    let header = HeaderName::from_static("x-site-key");
    let mut rule = SecretRule { carrier: Carrier::Header(header), digests: digests(), end_user: None };
    let shown = [("x-site-key", "s3cret"), ("x-end-user-id", "user_1")];
    assert_eq!(rule.check(&head(&shown)).expect("authorized"), None);
    rule.end_user = Some(X_END_USER_ID);
    let named = rule.check(&head(&shown)).expect("authorized").expect("an end user");
    assert_eq!(named.as_str(), "user_1");
    assert_eq!(code(rule.check(&head(&[("x-end-user-id", "user_1")]))), Code::AuthRequired);
    assert_eq!(code(rule.check(&head(&[("x-site-key", "s3cre"), shown[1]]))), Code::NotAuthorized);
    assert_eq!(code(rule.check(&head(&[shown[0], shown[0], shown[1]]))), Code::InvalidAuthFormat);
    assert_eq!(code(rule.check(&head(&[shown[0], shown[1], shown[1]]))), Code::InvalidRequest);
}

fn jwt_rule() -> JwtRule {
    let mut keys = VerifyingKeys::new(Algorithm::Hs256);
    keys.add(&KEY.into()).expect("a key");
    let carrier = Carrier::Header(AUTHORIZATION);
    JwtRule { carrier, keys, issuer: Some("login".into()), audience: Some("chat".into()), claim: "sub".into() }
}

fn shown(key: &str, claims: &Value) -> HeaderMap {
    let ring = KeyRing::new(Algorithm::Hs256, &SecretString::from(key)).expect("a key");
    head(&[("authorization", &format!("Bearer {}", ring.sign(claims).expect("a token")))])
}

#[test]
fn a_jwt_says_who_it_is() {
    let now = Timestamp::from_seconds(NOW);
    for aud in [json!("chat"), json!(["other", "chat"])] {
        for exp in [json!(NOW + 60), json!(1_795_000_060.5), json!(NOW - 4)] {
            let claims = json!({ "sub": "user_1", "exp": exp, "iss": "login", "aud": aud, "roles": [1] });
            let end_user = jwt_rule().check(&shown(KEY, &claims), now).expect("authorized");
            assert_eq!(end_user.as_str(), "user_1");
        }
    }
    let mut bare = jwt_rule();
    (bare.issuer, bare.audience, bare.claim) = (None, None, "email".into());
    let claims = json!({ "email": "a@example.com", "exp": NOW + 60 });
    assert_eq!(bare.check(&shown(KEY, &claims), now).expect("authorized").as_str(), "a@example.com");
    let elsewhere = json!({ "email": "a@example.com", "exp": NOW + 60, "aud": "another-service" });
    assert_eq!(code(bare.check(&shown(KEY, &elsewhere), now)), Code::NotAuthorized);
}

#[test]
fn a_jwt_that_is_not_right_says_nothing() {
    let now = Timestamp::from_seconds(NOW);
    let good = json!({ "sub": "user_1", "exp": NOW + 60, "iss": "login", "aud": "chat" });
    for (member, value) in [
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", Value::Null),
        ("exp", json!(NOW - 5)),
        ("exp", json!("2050-01-01")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", Value::Null),
        ("nbf", json!(NOW + 6)),
        ("nbf", json!("soon")),
        ("iss", json!("logi")),
        ("iss", Value::Null),
        ("aud", json!("chats")),
        ("aud", json!([])),
        ("aud", Value::Null),
    ] {
        let mut claims = good.clone();
        claims[member] = value.clone();
        assert_eq!(code(jwt_rule().check(&shown(KEY, &claims), now)), Code::NotAuthorized, "{member} {value}");
    }
    let forged = shown("another-key-0123456789abcdef0123456789", &good);
    assert_eq!(code(jwt_rule().check(&forged, now)), Code::NotAuthorized);
    assert_eq!(code(jwt_rule().check(&HeaderMap::new(), now)), Code::AuthRequired);
    assert_eq!(code(jwt_rule().check(&head(&[("authorization", "Basic eA==")]), now)), Code::InvalidAuthFormat);
    let twice = serde_json::from_str::<Box<serde_json::value::RawValue>>(
        r#"{"sub":"a","sub":"user_1","exp":1795000060,"iss":"login","aud":"chat"}"#,
    );
    let ring = KeyRing::new(Algorithm::Hs256, &KEY.into()).expect("a key");
    let token = ring.sign(&twice.expect("JSON")).expect("a token");
    let twice = head(&[("authorization", &format!("Bearer {token}"))]);
    assert_eq!(code(jwt_rule().check(&twice, now)), Code::NotAuthorized);
}
