//! Identity tokens: the vendor's vectors, and those of an independent implementation (Python).

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Row {
    name: String,
    secret: String,
    now: u64,
    token: String,
    reason: Option<String>,
    user_id: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

fn rows() -> Vec<Row> {
    serde_json::from_str(include_str!("../../../../tests/fixtures/chat9/identity_tokens.json")).expect("rows")
}

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn keys() -> IdentityKeys {
    IdentityKeys::new(&"an-identity-secret-of-the-tests-0123456789".into(), None).expect("keys")
}

#[test]
fn every_row_identifies_whom_it_says_or_nobody() {
    for row in rows() {
        let keys = IdentityKeys::of_any_length(&row.secret);
        match verify(&row.token, Some(&keys), Timestamp::from_seconds(row.now)) {
            Ok(identity) => {
                assert_eq!(Some(identity.user_id.as_str()), row.user_id.as_deref(), "{}", row.name);
                let fields: BTreeMap<_, _> =
                    identity.fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                assert_eq!(fields, row.fields, "{}", row.name);
            }
            Err(reason) => assert_eq!(Some(reason.name()), row.reason.as_deref(), "{}", row.name),
        }
    }
}

#[test]
fn without_a_secret_nobody_is_identified() {
    let row = &rows()[0];
    let refused = verify(&row.token, None, NOW).expect_err("refused");
    assert_eq!(refused, NotIdentified::NoSecretConfigured);
}

#[test]
fn what_is_signed_is_the_vendors_own_vector() {
    let payload = BTreeMap::from([("user_id", Value::from("user-123")), ("exp", Value::from(1_700_000_300))]);
    let token = signed(&payload, &IdentityKeys::of_any_length("secret_minimal_123"));
    assert_eq!(token.as_deref(), Some(rows()[0].token.as_str()));
}

#[test]
fn a_token_that_is_asked_for_says_just_that() {
    let asked = parse_mint(r#"{"user_id":"zoë","email":"zoe@example.com","plan_tier":"pro","ttl":60}"#.as_bytes());
    let (token, expires_at) = mint(&asked.expect("asked"), &keys(), NOW).expect("a token");
    assert_eq!(expires_at, NOW.plus(Duration::from_secs(60)));
    let (input, _) = token.split_once('.').expect("two parts");
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(input).expect("base64url")).expect("UTF-8");
    let expected = r#"{"email":"zoe@example.com","exp":1700000060,"iat":1700000000,"plan_tier":"pro","user_id":"zoë"}"#;
    assert_eq!(payload, expected);
    let identity = verify(&token, Some(&keys()), NOW).expect("identified");
    assert_eq!((identity.user_id.as_str(), &*identity.fields["plan_tier"]), ("zoë", "pro"));
    let context = identity.into_context();
    assert!(context.user("user_id").is_some() && context.user("company").is_none());
}

#[test]
fn when_a_token_was_made_that_does_not_say_so() {
    let now = NOW.seconds();
    for (exp, iat, made) in [
        (now + 300, Some(now - 7), now - 7),
        (now + 300, None, now - 3_300),
        (now + 3_605, None, now + 5),
        // None of the SDK's: it may be of any time.
        (now + 3_606, None, 0),
        (now + 300, Some(0), 0),
    ] {
        let mut payload = BTreeMap::from([("user_id", Value::from("ada")), ("exp", Value::from(exp))]);
        payload.extend(iat.map(|iat| ("iat", Value::from(iat))));
        let token = signed(&payload, &keys()).expect("signed");
        let identity = verify(&token, Some(&keys()), NOW).expect("identified");
        assert_eq!(identity.issued_at.seconds(), made, "{payload:?}");
    }
}

#[test]
fn what_cannot_be_signed_is_refused_with_its_code() {
    let long = format!(r#"{{"user_id":"{}"}}"#, "x".repeat(201));
    for (body, code) in [
        ("[]", Code::InvalidRequest),
        (r#"{"user_id":"a","user_id":"b"}"#, Code::InvalidRequest),
        (r#"{"user_id":"a","admin":true}"#, Code::InvalidRequest),
        (r#"{"user_id":"a","exp":1}"#, Code::InvalidRequest),
        ("{}", Code::MissingUserId),
        (r#"{"user_id":null}"#, Code::MissingUserId),
        (r#"{"user_id":"  "}"#, Code::MissingUserId),
        (r#"{"user_id":7}"#, Code::InvalidField),
        (r#"{"user_id":"a\u0000"}"#, Code::InvalidField),
        (r#"{"user_id":" a"}"#, Code::InvalidField),
        (&long, Code::InvalidField),
        (r#"{"user_id":"a","email":7}"#, Code::InvalidField),
        (r#"{"user_id":"a","name":"b\n"}"#, Code::InvalidField),
        (r#"{"user_id":"a","name":""}"#, Code::InvalidField),
        (r#"{"user_id":"a","locale":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#, Code::InvalidField),
        (r#"{"user_id":"a","ttl":59}"#, Code::InvalidTtl),
        (r#"{"user_id":"a","ttl":3601}"#, Code::InvalidTtl),
        (r#"{"user_id":"a","ttl":"300"}"#, Code::InvalidTtl),
        (r#"{"user_id":"a","ttl":300.5}"#, Code::InvalidTtl),
        (r#"{"user_id":"a","ttl":-1}"#, Code::InvalidTtl),
    ] {
        assert_eq!(parse_mint(body.as_bytes()).expect_err(body).code, code, "{body}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_panic(text in "[a-z.é0-9]{0,80}") {
        prop_assert!(verify(&text, Some(&keys()), NOW).is_err());
    }

    #[test]
    fn any_payload_that_is_signed_is_read_or_refused_without_panic(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        let input = URL_SAFE_NO_PAD.encode(payload);
        let token = [input.as_str(), ".", &keys().sign(&input)].concat();
        prop_assert!(verify(&token, Some(&keys()), NOW).is_err());
    }

    #[test]
    fn one_changed_character_identifies_nobody(at in 0_usize..120, to in "[A-Za-z0-9_-]") {
        let asked = Asked::new("ada", UserFields::default(), DEFAULT_TTL).expect("asked");
        let (token, _) = mint(&asked, &keys(), NOW).expect("a token");
        let at = at % token.len();
        let changed = [&token[..at], &to, &token[at + 1..]].concat();
        prop_assert_eq!(verify(&changed, Some(&keys()), NOW).is_ok(), changed == token);
    }
}
