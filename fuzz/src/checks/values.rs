//! Values that are checked once, where they enter: lifetimes, rates, ids, digests, scopes, times.

use std::time::Duration;

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use sidegate_core::clock::Timestamp;
use sidegate_core::dialect::orcheo::{WorkflowId, asked_workflow};
use sidegate_core::duration::parse_lifetime;
use sidegate_core::id::{
    AppId, ConversationId, EndUserId, FileId, ObjectId, ServiceTokenId, SessionDigest, SessionId, TokenId, WorkspaceId,
};
use sidegate_core::rate::{Rate, RateKey};
use sidegate_core::secret::{SecretDigest, SecretDigests};
use sidegate_core::service_token::Scope;

/// See `fuzz_targets/values.rs`.
pub fn values(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = &*text;
    assert_eq!(parse_lifetime(text).ok(), lifetime(text), "{text:?}");
    rate(text);
    ids(text);
    workflow(text);
    digest(text);
    assert_eq!(text.parse::<Scope>().is_ok(), Scope::ALL.contains(&text), "{text:?}");
    time(text);
}

/// A count without a sign, and what follows it.
fn count(digits: &str) -> Option<u128> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = digits.trim_start_matches('0');
    if is_number && digits.len() <= 30 { format!("0{digits}").parse().ok() } else { None }
}

fn lifetime(text: &str) -> Option<Duration> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let (digits, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    // Neither the count nor the seconds may be more than 64 bits hold.
    let count = count(digits).filter(|count| *count <= u64::MAX.into())?;
    let seconds = u64::try_from(count * unit).ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds))
}

fn rate(text: &str) {
    let Ok(rate) = text.parse::<Rate>() else { return };
    let unit = match rate.period.as_secs() {
        1 => "s",
        60 => "m",
        3_600 => "h",
        other => panic!("{other} is no period"),
    };
    let key = match rate.key {
        RateKey::Address => "address",
        RateKey::Network => "network",
        RateKey::Session => "session",
        RateKey::EndUser => "end_user",
        RateKey::Route => "route",
        RateKey::Workflow => "workflow",
        RateKey::App => "app",
    };
    assert_eq!(format!("{}/{unit} per {key}", rate.count).parse::<Rate>(), Ok(rate));
    let amount = text.split_once(" per ").map_or(text, |(amount, _)| amount);
    let said = count(amount.split('/').next().unwrap_or_default());
    assert_eq!(said, Some(u128::from(rate.count.get())), "{text:?}");
}

/// `is_valid` says it in other words than the id's own rule.
fn id<T: DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(
    text: &str,
    read: Option<&T>,
    is_valid: bool,
) {
    assert_eq!(read.is_some(), is_valid, "{text:?}");
    let json = serde_json::to_string(text).expect("JSON");
    assert_eq!(serde_json::from_str::<T>(&json).ok().as_ref(), read, "{text:?}");
    assert!(read.is_none_or(|id| serde_json::to_string(id).is_ok_and(|written| written == json)));
}

fn ids(text: &str) {
    let chars = |ok: fn(char) -> bool| text.chars().all(ok);
    let length = text.chars().count();
    let is_word =
        chars(|letter| matches!(letter, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-')) && (1..=64).contains(&length);
    id(text, AppId::parse(text).ok().as_ref(), is_word);
    id(text, TokenId::parse(text).ok().as_ref(), is_word);
    id(text, ServiceTokenId::parse(text).ok().as_ref(), is_word);
    id(text, WorkspaceId::parse(text).ok().as_ref(), is_word);
    id(text, ObjectId::parse(text).ok().as_ref(), is_word);
    id(text, FileId::parse(text).ok().as_ref(), is_word);
    let is_plain = !text.is_empty() && text.len() <= 256 && !text.contains(char::is_control);
    id(text, EndUserId::parse(text).ok().as_ref(), is_plain);
    let is_digits = chars(|letter| matches!(letter, '0'..='9' | 'a'..='f'));
    id(text, SessionDigest::parse(text).ok().as_ref(), is_digits && length == 64);
    if let Ok(session) = SessionId::parse(text) {
        assert!(text.len() == 36 && text.parse::<WorkflowId>().is_ok() && !format!("{session:?}").contains(text));
    }
    in_a_path(text);
}

/// What may stand in a path is one segment of it, whoever reads it.
fn in_a_path(text: &str) {
    let Ok(id) = ConversationId::parse(text) else { return };
    let joined = url::Url::parse("https://chat.example.com/a/").expect("a URL").join(id.as_str()).expect("a path");
    assert_eq!(joined.path(), format!("/a/{text}"));
    assert!(text.len() <= 128 && joined.query().is_none() && joined.fragment().is_none());
}

fn workflow(text: &str) {
    if let Ok(id) = text.parse::<WorkflowId>() {
        assert_eq!(id.as_str().parse::<WorkflowId>().as_ref(), Ok(&id));
        assert!(id.as_str().eq_ignore_ascii_case(text));
    }
    let pair = url::form_urlencoded::Serializer::new(String::new()).append_pair("workflowId", text).finish();
    let of_either = text.parse::<WorkflowId>().ok().or_else(|| WorkflowId::of_openai(text).ok());
    assert_eq!(asked_workflow(Some(&pair)).ok().flatten(), of_either, "{text:?}");
    assert!(asked_workflow(Some(&format!("{pair}&workflow_id=x"))).is_err());
    let _ = asked_workflow(Some(text));
}

fn digest(text: &str) {
    let Ok(digest) = text.parse::<SecretDigest>() else { return own(text) };
    assert!(digest.to_string().eq_ignore_ascii_case(text));
    assert!(!format!("{digest:?}").contains(&text[7..]), "{digest:?}");
}

/// A secret is known by its digest, in the place of either, and by no other one's.
fn own(text: &str) {
    let [secret, other] = [text.to_owned(), format!("{text} ")].map(SecretString::from);
    let [own, others] = [&secret, &other].map(SecretDigest::of);
    let read = own.to_string().parse::<SecretDigest>().expect("a digest");
    for known in [SecretDigests::new(read, None), SecretDigests::new(others.clone(), Some(own.clone()))] {
        assert!(SecretDigests::verify(Some(&known), &secret));
    }
    assert!(!SecretDigests::verify(Some(&SecretDigests::new(own, None)), &other));
    assert!(!SecretDigests::verify(Some(&SecretDigests::new(others, None)), &secret));
    assert!(!SecretDigests::verify(None, &secret));
}

fn time(text: &str) {
    let Some(written) = Timestamp::from_rfc3339(text).and_then(Timestamp::rfc3339_millis) else { return };
    assert_eq!(Timestamp::from_rfc3339(&written), Timestamp::from_rfc3339(text), "{text:?}");
}
