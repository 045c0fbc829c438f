//! `/api/admin/service-tokens` (the backend's 0.29; what its 0.39 calls `name` is read, too): what callers ask
//! for, and service tokens as they are shown.
//!
//! Unlike the backend, which ignores them, members that are not known are refused: each would have been
//! a limit of the token.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::answer::micros;
use crate::denial::{Code, Denial};
use crate::id::{AppId, ServiceTokenId, WorkspaceId};
use crate::json;
use crate::service_token::{NewServiceToken, OVERLAP, Scope, ServiceToken, Uses};

/// What its routes begin with.
pub const SERVICE_TOKENS_PATH: &str = "/api/admin/service-tokens";

/// The shortest life that may be asked for, as the backend has it, and the longest: what is meant for longer
/// needs no end.
const LIVES: std::ops::RangeInclusive<u64> = 60..=LONGEST;
/// A hundred years, in seconds.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(default, alias = "name")]
    identifier: Option<ServiceTokenId>,
    #[serde(default)]
    scopes: Vec<Scope>,
    #[serde(default)]
    workspace_ids: Vec<WorkspaceId>,
    #[serde(default)]
    expires_in_seconds: Option<u64>,
}

/// What is asked for in a new service token. It is for the apps of its workspaces; to bind one to
/// apps, the gate's own API is there.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub fn parse_create(body: &[u8]) -> Result<NewServiceToken, Denial> {
    let Create { identifier, scopes, workspace_ids, expires_in_seconds } = read(body)?;
    let lifetime = lifetime(expires_in_seconds)?;
    Ok(NewServiceToken { id: identifier, scopes, apps: Vec::new(), workspaces: workspace_ids, lifetime })
}

/// What is asked for in a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// For how long the old secret is good.
    pub overlap: Duration,
    /// How long the token is good from now on; as before if not said.
    pub lifetime: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    #[serde(default)]
    overlap_seconds: Option<u64>,
    #[serde(default)]
    expires_in_seconds: Option<u64>,
}

/// Reads the body of a rotation.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub fn parse_rotation(body: &[u8]) -> Result<Rotation, Denial> {
    let Rotate { overlap_seconds, expires_in_seconds } = read(body)?;
    if overlap_seconds.is_some_and(|seconds| seconds > LONGEST) {
        return Err(invalid(&format!("overlap_seconds must be at most {LONGEST}")));
    }
    let overlap = overlap_seconds.map_or(OVERLAP, Duration::from_secs);
    Ok(Rotation { overlap, lifetime: lifetime(expires_in_seconds)? })
}

/// Members beside the reason mean nothing that could be lost: all that can be asked for is the end.
#[derive(Deserialize)]
struct Revoke {
    #[serde(default)]
    reason: String,
}

/// Reads the reason of a revocation, which may be left out.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub fn parse_revocation(body: &[u8]) -> Result<String, Denial> {
    read(body).map(|Revoke { reason }| reason)
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Denial> {
    json::read_object(body).map_err(|fault| invalid(&format!("The body is refused: {fault}")))
}

fn lifetime(seconds: Option<u64>) -> Result<Option<Duration>, Denial> {
    match seconds {
        Some(seconds) if !LIVES.contains(&seconds) => {
            let (least, most) = LIVES.into_inner();
            Err(invalid(&format!("expires_in_seconds must be from {least} to {most}")))
        }
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

fn invalid(message: &str) -> Denial {
    Denial::because(Code::InvalidRequest, message.to_owned())
}

/// A service token as the backend shows one.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    identifier: &'a ServiceTokenId,
    /// Once: when it is made.
    secret: Option<&'a str>,
    scopes: &'a [Scope],
    workspace_ids: &'a [WorkspaceId],
    /// The gate's own: without it, one that is bound to apps would look like one for all.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    apps: &'a [AppId],
    issued_at: Option<String>,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    use_count: u64,
    revoked_at: Option<String>,
    revocation_reason: Option<&'a str>,
    /// Always null: a rotation keeps the token and its name.
    rotated_to: (),
    message: Option<String>,
}

impl<'a> Shown<'a> {
    /// `token`, without its secret.
    #[must_use]
    pub fn new(token: &'a ServiceToken, uses: Uses) -> Self {
        let revoked = token.revoked.as_ref();
        Self {
            identifier: &token.id,
            secret: None,
            scopes: &token.scopes,
            workspace_ids: &token.workspaces,
            apps: &token.apps,
            issued_at: micros(token.issued_at),
            expires_at: token.expires_at.and_then(micros),
            last_used_at: uses.last.and_then(micros),
            use_count: uses.count,
            revoked_at: revoked.and_then(|revoked| micros(revoked.at)),
            revocation_reason: revoked.map(|revoked| &*revoked.reason),
            rotated_to: (),
            message: None,
        }
    }

    /// The same with the secret that it has just been given, and what to know about it.
    #[must_use]
    pub fn with_secret(self, secret: &'a SecretString, message: String) -> Self {
        Self { secret: Some(secret.expose_secret()), message: Some(message), ..self }
    }
}

/// What is said beside a new token.
pub const CREATED: &str = "The secret is shown only here.";

/// What is said beside a new secret.
#[must_use]
pub fn rotated(overlap: Duration) -> String {
    match overlap.as_secs() {
        0 => "The secret is shown only here. The old one has ended.".to_owned(),
        seconds => format!("The secret is shown only here. The old one is good for {seconds} s."),
    }
}

/// A list of service tokens.
#[derive(Debug, Serialize)]
pub struct List<'a> {
    tokens: Vec<Shown<'a>>,
    total: usize,
}

impl<'a> FromIterator<Shown<'a>> for List<'a> {
    fn from_iter<I: IntoIterator<Item = Shown<'a>>>(tokens: I) -> Self {
        let tokens: Vec<_> = tokens.into_iter().collect();
        Self { total: tokens.len(), tokens }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Timestamp;
    use crate::secret::SecretDigest;

    fn refusal<T: std::fmt::Debug>(parsed: Result<T, Denial>) -> String {
        let denial = parsed.expect_err("it is refused");
        assert_eq!(denial.code, Code::InvalidRequest);
        denial.message.into_owned()
    }

    #[test]
    fn a_new_token_is_asked_for_in_either_version() {
        for name in ["identifier", "name"] {
            let body = format!(
                r#"{{"{name}":"ops","scopes":["admin:revoke"],"workspace_ids":["b","a"],"expires_in_seconds":60}}"#
            );
            let asked = parse_create(body.as_bytes()).expect("read");
            assert_eq!(asked.id.as_ref().map(ServiceTokenId::as_str), Some("ops"));
            assert_eq!((asked.scopes.len(), asked.workspaces.len()), (1, 2));
            assert_eq!(asked.lifetime, Some(Duration::from_secs(60)));
        }
        let open = parse_create(br#"{"identifier":null,"expires_in_seconds":null}"#).expect("read");
        assert!(open.id.is_none() && open.lifetime.is_none() && open.apps.is_empty());
    }

    #[test]
    fn what_would_be_lost_is_refused_and_no_value_is_repeated() {
        for body in [
            r#"{"identifier":"canary one"}"#,
            r#"{"identifier":"a","name":"b"}"#,
            r#"{"scopes":["canary:scope"]}"#,
            r#"{"scopes":"canary"}"#,
            r#"{"scopes":null}"#,
            r#"{"workspace_ids":["canary one"]}"#,
            r#"{"workspaceIds":["a"]}"#,
            r#"{"apps":["a"]}"#,
            r#"{"expires_in":"1h"}"#,
            r#"{"expires_in_seconds":59}"#,
            r#"{"expires_in_seconds":-60}"#,
            r#"{"expires_in_seconds":18446744073709551615}"#,
            r#"{"scopes":[],"scopes":[]}"#,
            "[]",
            "",
        ] {
            assert!(!refusal(parse_create(body.as_bytes())).contains("canary"), "{body}");
        }
        assert!(refusal(parse_create(br#"{"apps":["a"]}"#)).contains("unknown field `apps`"));
        for body in [r#"{"overlap":0}"#, r#"{"overlap_seconds":"5m"}"#, r#"{"overlap_seconds":9999999999}"#] {
            refusal(parse_rotation(body.as_bytes()));
        }
    }

    #[test]
    fn a_rotation_overlaps_for_five_minutes_unless_it_says_otherwise() {
        let rotation = |body: &str| parse_rotation(body.as_bytes()).expect("read");
        assert_eq!(rotation("{}"), Rotation { overlap: Duration::from_secs(300), lifetime: None });
        let now = Rotation { overlap: Duration::ZERO, lifetime: Some(Duration::from_secs(3_600)) };
        assert_eq!(rotation(r#"{"overlap_seconds":0,"expires_in_seconds":3600}"#), now);
        assert_eq!(parse_revocation(br#"{"reason":"leaked","by":"ops"}"#), Ok("leaked".to_owned()));
        assert_eq!(parse_revocation(b"{}"), Ok(String::new()));
    }

    #[test]
    fn a_token_is_shown_as_the_backend_shows_it() {
        let secret = SecretString::from("sgst_x");
        let mut token = ServiceToken::bootstrap(&secret, Timestamp::from_seconds(1_769_860_800)).expect("a token");
        token.scopes.truncate(1);
        let uses = Uses { count: 3, last: Some(Timestamp::from_millis(1_769_860_800_123)) };
        let mut expected = json!({
            "identifier": "bootstrap", "secret": null, "scopes": ["admin:apps:read"], "workspace_ids": [],
            "issued_at": "2026-01-31T12:00:00.000000Z", "expires_at": null,
            "last_used_at": "2026-01-31T12:00:00.123000Z", "use_count": 3, "revoked_at": null,
            "revocation_reason": null, "rotated_to": null, "message": null,
        });
        assert_eq!(json!(Shown::new(&token, uses)), expected);
        let list: List<'_> = [Shown::new(&token, uses)].into_iter().collect();
        assert_eq!(json!(list), json!({ "tokens": [expected], "total": 1 }));
        token.apps = vec!["a".parse().expect("id")];
        token.revoke("leaked".to_owned(), Timestamp::from_seconds(1_769_860_801));
        expected["apps"] = json!(["a"]);
        expected["revoked_at"] = json!("2026-01-31T12:00:01.000000Z");
        expected["revocation_reason"] = json!("leaked");
        expected["secret"] = json!("sgst_x");
        expected["message"] = json!("The secret is shown only here. The old one has ended.");
        let shown = Shown::new(&token, uses).with_secret(&secret, rotated(Duration::ZERO));
        assert_eq!(json!(shown), expected);
        let digest = SecretDigest::of(&secret).to_string();
        assert!(!json!(Shown::new(&token, uses)).to_string().contains(&digest));
    }
}
