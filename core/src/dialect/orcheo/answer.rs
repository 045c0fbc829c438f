//! What Orcheo answers: tokens and refusals.

use std::borrow::Cow;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::clock::Timestamp;
use crate::denial::{Code, Denial, UsedUp};
use crate::message::Reply;
use crate::policy::Issued;

/// Who refuses: the vendor names the same fault differently in its two routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    /// `POST /api/chatkit`.
    Gateway,
    /// `POST /api/chatkit/session`.
    Session,
    /// `/api/admin/service-tokens`.
    Admin,
}

#[derive(Serialize)]
struct Refused<T> {
    detail: T,
}

/// One of the list for a body that is not as it should be.
#[derive(Serialize)]
struct Fault<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    loc: [&'static str; 1],
    msg: &'a str,
    /// Never what was sent: it may be a secret in the wrong place.
    input: (),
}

/// A body of the gateway that is no request.
#[derive(Serialize)]
struct Unreadable<'a> {
    message: &'a str,
    code: &'static str,
    errors: [Fault<'a>; 1],
}

#[derive(Serialize)]
struct Detail<'a> {
    message: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_mode: Option<&'static str>,
}

/// `{"detail":{"message","code"}}`; for an unknown workflow and for assets `{"detail":"…"}`; for a
/// body of the other routers the list that its framework makes.
#[must_use]
pub fn refusal(router: Router, denial: &Denial) -> Reply {
    let message = &*denial.message;
    let body = match (router, denial.code) {
        (_, Code::WorkflowNotFound | Code::AssetNotFound | Code::AssetUnavailable) => {
            serde_json::to_vec(&Refused { detail: message })
        }
        (router, code) if is_fault_of_body(router, code) => {
            let fault = Fault { kind: "value_error", loc: ["body"], msg: message, input: () };
            serde_json::to_vec(&Refused { detail: [fault] })
        }
        (Router::Gateway, Code::InvalidRequest) => {
            // What is wrong stands in a list, as the vendor's framework makes it.
            let (message, fault) = message.split_once(": ").unwrap_or((message.trim_end_matches('.'), message));
            let errors = [Fault { kind: "value_error", loc: ["body"], msg: fault, input: () }];
            let code = "sidegate.invalid_request";
            serde_json::to_vec(&Refused { detail: Unreadable { message: &format!("{message}."), code, errors } })
        }
        (router, Code::RateLimited) => limited(router, denial.used_up),
        (router, code) => {
            let ours = format!("sidegate.{}", code.name().to_ascii_lowercase());
            let (name, auth_mode) = vendor_name(router, code).unwrap_or((&ours, None));
            serde_json::to_vec(&Refused { detail: Detail { message, code: name, auth_mode } })
        }
    };
    // Strings can always be written.
    let mut reply = Reply::refusal(denial, "application/json", body.unwrap_or_default());
    reply.status = status(router, denial.code);
    if denial.code == Code::RateLimited {
        // As the vendor's, which also names a way in (RFC 9110 section 11.6.1 lets it).
        reply.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sidegate\""));
    }
    reply
}

/// Over a limit. Only the caller's own address is told, and to nobody else; no id is.
fn limited(router: Router, used_up: Option<UsedUp>) -> serde_json::Result<Vec<u8>> {
    let requests = match router {
        Router::Gateway => "Too many ChatKit requests",
        Router::Admin => "Too many requests",
        Router::Session => "Too many ChatKit session requests",
    };
    let message = match used_up {
        Some(UsedUp::Address(address)) => Cow::from(format!("{requests} from {address}")),
        Some(UsedUp::Network) => Cow::from(format!("{requests} from this network")),
        Some(UsedUp::Session) => Cow::from(format!("{requests} in this session")),
        Some(UsedUp::EndUser) => Cow::from(format!("{requests} for this user")),
        Some(UsedUp::Route) => Cow::from(format!("{requests} of this kind")),
        Some(UsedUp::Workflow) => Cow::from(format!("{requests} for this workflow")),
        Some(UsedUp::App) => Cow::from(format!("{requests} for this app")),
        None => Cow::from(requests),
    };
    let code = match (router, used_up) {
        (_, Some(UsedUp::Address(_) | UsedUp::Network)) => "chatkit.rate_limit.ip",
        (Router::Session, _) => "chatkit.rate_limit.session",
        (Router::Gateway, Some(UsedUp::EndUser)) => "chatkit.rate_limit.identity",
        (Router::Gateway, Some(UsedUp::Workflow)) => "chatkit.rate_limit.publish",
        _ => "sidegate.rate_limited",
    };
    serde_json::to_vec(&Refused { detail: Detail { message: &message, code, auth_mode: None } })
}

/// Whether the vendor's framework refuses it before its router is asked.
const fn is_fault_of_body(router: Router, code: Code) -> bool {
    match router {
        Router::Gateway => false,
        Router::Session => matches!(code, Code::InvalidRequest | Code::InvalidWorkflow),
        Router::Admin => matches!(code, Code::InvalidRequest | Code::UnsupportedMediaType),
    }
}

/// The vendor's own name of a fault, and its `auth_mode`; `None` for what only the gate refuses.
const fn vendor_name(router: Router, code: Code) -> Option<(&'static str, Option<&'static str>)> {
    const JWT: Option<&str> = Some("jwt");
    Some(match (router, code) {
        (Router::Session | Router::Admin, Code::AuthRequired) => ("auth.missing_token", None),
        (Router::Session | Router::Admin, Code::InvalidAuthFormat) => ("auth.invalid_scheme", None),
        (_, Code::InvalidServiceToken) => ("auth.invalid_token", None),
        (_, Code::WorkspaceForbidden) => ("auth.workspace_forbidden", None),
        (_, Code::MissingScope) => ("auth.missing_scope", None),
        (_, Code::ServiceTokenRevoked) => ("auth.token_revoked", None),
        (_, Code::ServiceTokenExpired) => ("auth.token_expired", None),
        (Router::Admin, Code::NotFound) => ("token.not_found", None),
        (_, Code::JwtNotConfigured) => ("chatkit.signing_key_missing", None),
        (_, Code::MissingWorkflow) => ("chatkit.workflow_id_missing", None),
        (_, Code::InvalidWorkflow) => ("chatkit.workflow_id_invalid", None),
        (Router::Gateway, Code::AuthRequired) => ("chatkit.auth.missing_token", JWT),
        (Router::Gateway, Code::InvalidAuthFormat) => ("chatkit.auth.invalid_scheme", JWT),
        (Router::Gateway, Code::InvalidToken) => ("chatkit.auth.invalid_jwt", JWT),
        (Router::Gateway, Code::InvalidClaims) => ("chatkit.auth.invalid_jwt_claims", JWT),
        (Router::Gateway, Code::WorkflowMismatch) => ("chatkit.auth.workflow_mismatch", JWT),
        (Router::Gateway, Code::NotPublished) => ("chatkit.auth.not_published", Some("publish")),
        (Router::Gateway, Code::LoginRequired) => ("chatkit.auth.oauth_required", Some("publish")),
        (Router::Gateway, Code::MissingVisitor) => ("chatkit.auth.missing_visitor_id", Some("publish")),
        _ => return None,
    })
}

/// The status of a refusal, where the vendor's differs from ours.
const fn status(router: Router, code: Code) -> StatusCode {
    match (router, code) {
        (_, Code::JwtNotConfigured) => StatusCode::INTERNAL_SERVER_ERROR,
        (router, code) if is_fault_of_body(router, code) => StatusCode::UNPROCESSABLE_ENTITY,
        (_, code) => code.status(),
    }
}

/// `{"client_secret","token","expires_at"}`: the vendor's guide reads the token under either name. The
/// expiry is RFC 3339 with microseconds.
///
/// # Errors
/// [`Code::Internal`] if the expiry lies beyond the year 9999.
pub fn issued(issued: &Issued) -> Result<Reply, Denial> {
    let expires_at = micros(issued.expires_at).ok_or(Code::Internal)?;
    let Issued { token, .. } = issued;
    // A compact JWS and a date hold nothing that JSON escapes.
    let body = format!(r#"{{"client_secret":"{token}","token":"{token}","expires_at":"{expires_at}"}}"#);
    Ok(Reply::json(StatusCode::OK, body.into_bytes()))
}

/// RFC 3339 with microseconds; `None` beyond the year 9999.
pub(super) fn micros(at: Timestamp) -> Option<String> {
    at.rfc3339_millis().map(|millis| format!("{}000Z", millis.trim_end_matches('Z')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(reply: &Reply) -> String {
        String::from_utf8(reply.body.clone()).expect("UTF-8")
    }

    #[test]
    fn a_token_stands_there_under_both_names() {
        let token = Issued { token: "eyJ".into(), expires_at: Timestamp::from_seconds(1_769_860_800) };
        let answer = issued(&token).expect("a reply");
        let expected = r#"{"client_secret":"eyJ","token":"eyJ","expires_at":"2026-01-31T12:00:00.000000Z"}"#;
        assert_eq!(body(&answer), expected);
    }

    const REFUSALS: &[(Router, Code, u16, &str)] = &[
        (
            Router::Session,
            Code::AuthRequired,
            401,
            r#"{"detail":{"message":"Authentication required","code":"auth.missing_token"}}"#,
        ),
        (
            Router::Session,
            Code::JwtNotConfigured,
            500,
            r#"{"detail":{"message":"Token signing is not configured for this app","code":"chatkit.signing_key_missing"}}"#,
        ),
        (
            Router::Gateway,
            Code::InvalidRequest,
            400,
            r#"{"detail":{"message":"The request could not be read.","code":"sidegate.invalid_request","errors":[{"type":"value_error","loc":["body"],"msg":"The request could not be read","input":null}]}}"#,
        ),
        (
            Router::Gateway,
            Code::InvalidClaims,
            401,
            r#"{"detail":{"message":"The token is for another issuer, audience, workspace or workflow","code":"chatkit.auth.invalid_jwt_claims","auth_mode":"jwt"}}"#,
        ),
        (Router::Gateway, Code::WorkflowNotFound, 404, r#"{"detail":"Workflow not found"}"#),
        (Router::Gateway, Code::AssetNotFound, 404, r#"{"detail":"ChatKit asset not found."}"#),
        (Router::Gateway, Code::AssetUnavailable, 502, r#"{"detail":"Failed to fetch ChatKit asset."}"#),
        (
            Router::Gateway,
            Code::InvalidToken,
            401,
            r#"{"detail":{"message":"The token is invalid or has expired","code":"chatkit.auth.invalid_jwt","auth_mode":"jwt"}}"#,
        ),
        (
            Router::Gateway,
            Code::OriginNotAllowed,
            403,
            r#"{"detail":{"message":"This origin is not allowed","code":"sidegate.origin_not_allowed"}}"#,
        ),
        (Router::Admin, Code::NotFound, 404, r#"{"detail":{"message":"Not found","code":"token.not_found"}}"#),
        (
            Router::Admin,
            Code::InvalidAuthFormat,
            401,
            r#"{"detail":{"message":"Authorization must be `Bearer` and a widget token","code":"auth.invalid_scheme"}}"#,
        ),
        (
            Router::Session,
            Code::WorkspaceForbidden,
            403,
            r#"{"detail":{"message":"The service token is not for this workspace","code":"auth.workspace_forbidden"}}"#,
        ),
        (
            Router::Admin,
            Code::UnsupportedMediaType,
            422,
            r#"{"detail":[{"type":"value_error","loc":["body"],"msg":"The request body must be application/json","input":null}]}"#,
        ),
        (
            Router::Session,
            Code::InvalidWorkflow,
            422,
            r#"{"detail":[{"type":"value_error","loc":["body"],"msg":"workflow_id must be a UUID","input":null}]}"#,
        ),
    ];

    #[test]
    fn refusals_have_the_vendors_names_and_statuses() {
        for (router, code, status, expected) in REFUSALS.iter().copied() {
            let reply = refusal(router, &code.into());
            assert_eq!((reply.status.as_u16(), body(&reply)), (status, expected.to_owned()), "{code}");
        }
    }

    #[test]
    fn a_full_limit_is_named_as_the_vendor_does_and_tells_no_id() {
        let address = UsedUp::Address("192.0.2.1".parse().expect("an address"));
        for (router, used_up, code, message) in [
            (Router::Gateway, address, "chatkit.rate_limit.ip", "Too many ChatKit requests from 192.0.2.1"),
            (
                Router::Gateway,
                UsedUp::EndUser,
                "chatkit.rate_limit.identity",
                "Too many ChatKit requests for this user",
            ),
            (
                Router::Gateway,
                UsedUp::Workflow,
                "chatkit.rate_limit.publish",
                "Too many ChatKit requests for this workflow",
            ),
            (Router::Gateway, UsedUp::App, "sidegate.rate_limited", "Too many ChatKit requests for this app"),
            (Router::Session, address, "chatkit.rate_limit.ip", "Too many ChatKit session requests from 192.0.2.1"),
            (
                Router::Session,
                UsedUp::EndUser,
                "chatkit.rate_limit.session",
                "Too many ChatKit session requests for this user",
            ),
        ] {
            let rate = "120/m".parse().expect("a rate");
            let reply = refusal(router, &Denial::rate_limited(used_up, rate, std::time::Duration::from_millis(1_200)));
            assert_eq!(body(&reply), format!(r#"{{"detail":{{"message":"{message}","code":"{code}"}}}}"#));
            assert_eq!((reply.status.as_u16(), &reply.headers["retry-after"]), (429, &HeaderValue::from_static("2")));
            assert!(reply.headers["www-authenticate"].to_str().is_ok_and(|text| text.starts_with("Bearer")));
        }
    }
}
