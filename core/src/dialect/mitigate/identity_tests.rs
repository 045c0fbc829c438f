//! Identity tokens, ours and forged ones: the inner token here, the outer in `token::jwe`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use proptest::prelude::*;

use super::super::keys::tests::{decryption, maker, pairs, verifying, workspace};
use super::*;
use crate::entropy::EntropyUnavailable;
use crate::token::pairs::{Pair, der};

const NOW: u64 = 1_700_000_000;
const HEADER: &str = r#"{"typ":"JWT","alg":"RS256"}"#;
const ID: &str = "8b0f1c52-6f0e-4f0b-9a3c-0d5f5a1f2b3c";

struct Fixed;

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        bytes.fill(7);
        Ok(())
    }
}

fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

fn claims() -> String {
    at_now(r#"{"user_id":"ada","access_token":"at-1","iat":NOW,"exp":NOW+600,"jti":"j1"}"#)
}

/// A text with `NOW`, `NOW+600`, `NOW-5` as numbers.
fn at_now(text: &str) -> String {
    let mut parts = text.split("NOW");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let signed = part.starts_with(['+', '-']);
        let end = part.char_indices().find(|(index, letter)| !(letter.is_ascii_digit() || signed && *index == 0));
        let (offset, rest) = part.split_at(end.map_or(part.len(), |(index, _)| index));
        let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().expect("a number") };
        out += &NOW.checked_add_signed(offset).expect("a time").to_string();
        out += rest;
    }
    out
}

fn input(header: &str, payload: &[u8]) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// A JWS that the website would sign, were it like this.
fn signed(header: &str, payload: &[u8], key: &Pair, algorithm: Algorithm) -> String {
    let key = EncodingKey::from_rsa_pem(key.private.as_bytes()).expect("a key");
    let input = input(header, payload);
    let signature = crypto::sign(input.as_bytes(), &key, algorithm).expect("a signature");
    format!("{input}.{signature}")
}

fn sealed(inner: &[u8]) -> String {
    maker().encryption().seal(inner, &Fixed).expect("sealed")
}

fn token(claims: &str) -> String {
    sealed(signed(HEADER, claims.as_bytes(), pairs()[0], Algorithm::RS256).as_bytes())
}

fn outcome(token: &str) -> Result<Verified, Reason> {
    verify(token, &workspace(), now())
}

fn minted(access_token: Option<&str>) -> Result<(String, Timestamp), Denial> {
    let (user, jti) = ("ada".parse().expect("an id"), ID.parse().expect("an id"));
    mint(&maker(), &user, access_token.map(Into::into).as_ref(), &jti, now(), &Fixed)
}

#[test]
fn a_token_says_who_the_user_is_and_when_it_ends() {
    let verified = outcome(&token(&claims())).expect("a user");
    assert_eq!((verified.user_id.as_str(), verified.jti.as_str()), ("ada", "j1"));
    assert_eq!(verified.access_token.as_ref().map(ExposeSecret::expose_secret), Some("at-1"));
    assert_eq!(verified.refused_from, Timestamp::from_seconds(NOW + 605));
    assert!(!format!("{verified:?}").contains("at-1"));
}

#[test]
fn what_we_make_is_what_the_documented_ruby_makes() {
    let (token, expires_at) = minted(Some("at-1")).expect("a token");
    assert_eq!(expires_at, Timestamp::from_seconds(NOW + 600));
    assert!(token.starts_with("eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ."));
    let inner = workspace().decryption().open(&token).expect("opened");
    let claims = at_now(&format!(r#"{{"user_id":"ada","access_token":"at-1","iat":NOW,"exp":NOW+600,"jti":"{ID}"}}"#));
    // RS256 has one signature for a text.
    assert_eq!(*inner, signed(HEADER, claims.as_bytes(), pairs()[0], Algorithm::RS256).into_bytes());
    assert_eq!(outcome(&token).expect("a user").jti.as_str(), ID);
}

#[test]
fn a_user_may_have_no_access_token() {
    assert!(outcome(&minted(None).expect("a token").0).expect("a user").access_token.is_none());
    for claims in [
        r#"{"user_id":"ada","iat":NOW,"exp":NOW+600,"jti":"j1"}"#,
        r#"{"user_id":"ada","access_token":null,"iat":NOW,"exp":NOW+600,"jti":"j1"}"#,
        r#"{"user_id":"ada","access_token":"","iat":NOW,"exp":NOW+600,"jti":"j1"}"#,
    ] {
        assert!(outcome(&token(&at_now(claims))).expect("a user").access_token.is_none(), "{claims}");
    }
}

#[test]
fn what_is_made_is_taken_or_refused_at_once() {
    for good in ["x".repeat(4096), "é\"\\".repeat(500)] {
        let token = minted(Some(&good)).expect("a token").0;
        assert_eq!(outcome(&token).expect("a user").access_token.expect("a token").expose_secret(), good);
    }
    for bad in ["x".repeat(4097), "\"".repeat(4096), "a\nb".to_owned(), "a\0".to_owned()] {
        assert_eq!(minted(Some(&bad)).expect_err("refused").code, Code::InvalidRequest);
    }
}

#[test]
fn both_keys_of_a_rotation_are_good() {
    let [signing, encryption, other] = pairs();
    let new = super::super::keys::tests::minting(other, encryption).expect("keys");
    let keys = WorkspaceKeys::new(decryption(&[encryption, other]), verifying(&[signing])).err();
    assert!(keys.is_none());
    let keys = WorkspaceKeys::new(decryption(&[encryption]), verifying(&[signing, other])).expect("keys");
    let (user, jti) = ("ada".parse().expect("an id"), "j1".parse().expect("an id"));
    let made = mint(&new, &user, None, &jti, now(), &Fixed).expect("a token").0;
    assert!(verify(&made, &keys, now()).is_ok() && verify(&token(&claims()), &keys, now()).is_ok());
    assert_eq!(outcome(&made).err(), Some(Reason::BadSignature));
}

#[derive(Deserialize)]
struct Row {
    name: String,
    claims: String,
    reason: String,
}

#[test]
fn claims_that_are_not_as_they_must_be_are_refused() {
    let rows = include_str!("../../../../tests/fixtures/mitigate/claims_refused.json");
    for Row { name, claims, reason } in serde_json::from_str::<Vec<Row>>(rows).expect("rows") {
        let refused = outcome(&token(&at_now(&claims))).expect_err(&name);
        assert_eq!(refused.name(), reason, "{name}");
    }
    let no_text = b"{\"user_id\":\"\xff\",\"iat\":1,\"exp\":2,\"jti\":\"j\"}";
    let inner = signed(HEADER, no_text, pairs()[0], Algorithm::RS256);
    assert_eq!(outcome(&sealed(inner.as_bytes())).err(), Some(Reason::Malformed));
}

#[test]
fn other_claims_are_ignored() {
    let more = at_now(
        r#"{"iss":"x","aud":["y"],"sub":"mallory","nbf":9999999999,"USER_ID":"mallory","userId":1,
            "user_id":"ada","iat":NOW,"exp":NOW+600,"jti":"j1"}"#,
    );
    assert_eq!(outcome(&token(&more)).expect("a user").user_id.as_str(), "ada");
}

#[test]
fn times_have_one_leeway_and_ten_minutes_are_the_most() {
    let at = |iat: &str, exp: &str| {
        let claims = format!(r#"{{"user_id":"ada","iat":{iat},"exp":{exp},"jti":"j1"}}"#);
        outcome(&token(&at_now(&claims))).map(|verified| verified.refused_from.seconds())
    };
    assert_eq!(at("NOW-604", "NOW-4"), Ok(NOW + 1));
    assert_eq!(at("NOW-605", "NOW-5"), Err(Reason::Expired));
    assert_eq!(at("NOW+5", "NOW+605"), Ok(NOW + 610));
    assert_eq!(at("NOW+6", "NOW+606"), Err(Reason::NotYetValid));
    assert_eq!(at("NOW", "NOW+1"), Ok(NOW + 6));
    // The second turned between the two; it ends with the ten minutes.
    assert_eq!(at("NOW", "NOW+601"), Ok(NOW + 605));
    assert_eq!(at("NOW-605", "NOW-4"), Err(Reason::Expired));
    assert_eq!(at("NOW", "NOW+602"), Err(Reason::TooLongLived));
    assert_eq!(at("0", "18446744073709551615"), Err(Reason::TooLongLived));
    assert_eq!(at("18446744073709551614", "18446744073709551615"), Err(Reason::NotYetValid));
}

#[test]
fn other_algorithms_inside_are_refused() {
    let [signing, _, other] = pairs();
    let (claims, public) = (claims(), &signing.public);
    let header = |alg: &str| format!(r#"{{"typ":"JWT","alg":"{alg}"}}"#);
    let mut forged = vec![
        signed(&header("RS384"), claims.as_bytes(), signing, Algorithm::RS384),
        signed(&header("RS512"), claims.as_bytes(), signing, Algorithm::RS512),
        signed(&header("PS256"), claims.as_bytes(), signing, Algorithm::PS256),
        signed(HEADER, claims.as_bytes(), signing, Algorithm::RS384),
        signed(HEADER, claims.as_bytes(), signing, Algorithm::PS256),
        signed(HEADER, claims.as_bytes(), other, Algorithm::RS256),
        signed(&header("none"), claims.as_bytes(), signing, Algorithm::RS256),
        signed(r#"["RS256"]"#, claims.as_bytes(), signing, Algorithm::RS256),
        signed(r#"{"alg":"RS256","crit":["exp"]}"#, claims.as_bytes(), signing, Algorithm::RS256),
        signed(r#"{"alg":"RS256","alg":"RS256"}"#, claims.as_bytes(), signing, Algorithm::RS256),
        signed(r#"{"typ":"JWT"}"#, claims.as_bytes(), signing, Algorithm::RS256),
    ];
    for alg in ["none", "None", "NONE", "", "HS256", "RS256"] {
        forged.extend(["", "AA"].map(|signature| format!("{}.{signature}", input(&header(alg), claims.as_bytes()))));
    }
    let der = der(public);
    for secret in [public.as_bytes(), public.trim_end().as_bytes(), &der, b""] {
        for header in [header("HS256"), HEADER.to_owned()] {
            let input = input(&header, claims.as_bytes());
            let mac = crypto::sign(input.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256);
            forged.push(format!("{input}.{}", mac.expect("signed")));
        }
    }
    for inner in forged {
        let reason = outcome(&sealed(inner.as_bytes())).expect_err(&inner);
        assert!(matches!(reason, Reason::Malformed | Reason::BadSignature), "{inner}");
    }
}

#[test]
fn what_is_no_jws_inside_is_refused() {
    let jws = signed(HEADER, claims().as_bytes(), pairs()[0], Algorithm::RS256);
    let nested = token(&claims());
    let twice = signed(r#"{"alg":"RS256","cty":"JWT"}"#, jws.as_bytes(), pairs()[0], Algorithm::RS256);
    let around_jwe = signed(r#"{"alg":"RS256","cty":"JWT"}"#, nested.as_bytes(), pairs()[0], Algorithm::RS256);
    for inner in [
        nested.as_bytes(),
        twice.as_bytes(),
        around_jwe.as_bytes(),
        claims().as_bytes(),
        format!("{jws}.").as_bytes(),
        format!("{jws}=").as_bytes(),
        format!("{jws}\n").as_bytes(),
        format!(" {jws}").as_bytes(),
        format!("\"{jws}\"").as_bytes(),
        format!("{jws}.{jws}").as_bytes(),
        jws.rsplit_once('.').expect("a signature").0.as_bytes(),
        b"\xff",
        b"..",
        &[b'a'; 9000],
    ] {
        let reason = outcome(&sealed(inner)).expect_err("refused");
        assert!(matches!(reason, Reason::Malformed | Reason::BadSignature), "{inner:?}");
    }
    // The text of the website's own, not sealed.
    assert_eq!(outcome(&jws).err(), Some(Reason::Malformed));
}

#[test]
fn a_token_for_another_workspace_is_not_opened() {
    let [signing, encryption, other] = pairs();
    let keys = WorkspaceKeys::new(decryption(&[other]), verifying(&[signing])).expect("keys");
    assert_eq!(verify(&token(&claims()), &keys, now()).err(), Some(Reason::NotOpened));
    let keys = WorkspaceKeys::new(decryption(&[encryption]), verifying(&[other])).expect("keys");
    assert_eq!(verify(&token(&claims()), &keys, now()).err(), Some(Reason::BadSignature));
}

#[test]
fn reasons_have_names_of_their_own() {
    let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
}

proptest! {
    #[test]
    fn any_text_is_refused_without_panic(text in r"[A-Za-z0-9_.=-]{0,120}", inner in ".{1,80}") {
        prop_assert!(outcome(&text).is_err());
        prop_assert!(outcome(&sealed(inner.as_bytes())).is_err());
    }

    #[test]
    fn any_claims_are_read_or_refused_without_panic(claims in r#"\{("(user_id|iat|exp|jti|access_token)":("[a-z]"|17000000[0-9]{2}|null|\[\]|1\.5),?){0,6}\}"#) {
        if let Ok(verified) = outcome(&token(&claims)) {
            prop_assert!(verified.refused_from > now());
        }
    }
}
