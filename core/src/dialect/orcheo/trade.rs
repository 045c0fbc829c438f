//! The vendor's own token, fetched for one end user: `POST /api/chatkit/session` from the other side, as the
//! customer's server in the vendor's guide sends it.

use http::{HeaderValue, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Workflow;
use super::route::SESSION_PATH;
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::id::EndUserId;
use crate::message::Reply;

/// Whose tokens an app trades, and for what.
#[derive(Clone, Debug)]
pub struct Trade {
    /// Who makes them.
    pub vendor: Vendor,
    /// `Authorization` towards the vendor. Marked as sensitive, so that it is never printed.
    pub authorization: HeaderValue,
    /// For all attempts together.
    pub timeout: std::time::Duration,
}

/// Who makes the tokens that are traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// An Orcheo backend.
    Orcheo,
}

/// What the vendor is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The workflow that the token is bound to.
    pub workflow: &'a Workflow,
    /// Whom it is for.
    pub end_user: &'a EndUserId,
    /// What it is to say beside: `metadata`, `user`, `assistant`, `workflow_label`.
    pub details: &'a Map<String, Value>,
}

/// A request to the vendor.
#[derive(Debug)]
pub struct Ask {
    /// Below the upstream's base.
    pub path: &'static str,
    /// JSON.
    pub body: Vec<u8>,
}

/// A token of the vendor's.
#[derive(Clone, Debug)]
pub struct Traded {
    /// Its text.
    pub token: SecretString,
    /// Its end.
    pub expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Answer {
    client_secret: String,
    expires_at: String,
}

impl Vendor {
    /// Every vendor.
    pub const ALL: [Self; 1] = [Self::Orcheo];

    /// Its name in the config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orcheo => "orcheo",
        }
    }

    /// What it is sent. Never what the browser calls its current secret: the vendor would copy it into the
    /// new token.
    #[must_use]
    pub fn ask(self, wanted: Wanted<'_>) -> Ask {
        match self {
            Self::Orcheo => {
                let mut body = wanted.details.clone();
                body.insert("workflow_id".to_owned(), wanted.workflow.id.as_str().into());
                let user = body.entry("user").or_insert_with(|| json!({}));
                if let Value::Object(user) = user {
                    user.insert("id".to_owned(), wanted.end_user.as_str().into());
                }
                Ask { path: SESSION_PATH, body: Value::from(body).to_string().into_bytes() }
            }
        }
    }

    /// What it has answered with 2xx; `None` if that is not what it documents, or over already.
    #[must_use]
    pub fn traded(self, body: &[u8], now: Timestamp) -> Option<Traded> {
        let (token, expires_at) = match self {
            Self::Orcheo => {
                let answer: Answer = serde_json::from_slice(body).ok()?;
                (answer.client_secret, Timestamp::from_rfc3339(&answer.expires_at)?)
            }
        };
        let plain = !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic());
        (plain && expires_at > now).then(|| Traded { token: token.into(), expires_at })
    }

    /// What a refusal of the vendor's means to the page. Its own words stay here: they may name the
    /// credential.
    #[must_use]
    pub fn refused(self, status: StatusCode, retry_after: Option<std::time::Duration>) -> Denial {
        let busy = |code| Denial { retry_after, ..Denial::from(code) };
        match status {
            StatusCode::TOO_MANY_REQUESTS => busy(Code::UpstreamRateLimited),
            StatusCode::NOT_FOUND => Code::WorkflowNotFound.into(),
            status if status.is_server_error() => busy(Code::UpstreamUnavailable),
            // Its credential is the gate's affair, not the page's, and so is what else it does not like.
            _ => Code::UpstreamRefused.into(),
        }
    }
}

/// Bytes of a token that is passed on.
const MAX_TOKEN: usize = 8 * 1024;

/// `{"client_secret","token","expires_at"}`, as [`super::issued`].
///
/// # Errors
/// [`Code::Internal`] if the expiry lies beyond the year 9999.
pub fn handed_over(traded: &Traded) -> Result<Reply, Denial> {
    let expires_at = super::answer::micros(traded.expires_at).ok_or(Code::Internal)?;
    let token = traded.token.expose_secret();
    let body = json!({ "client_secret": token, "token": token, "expires_at": expires_at });
    Ok(Reply::json(StatusCode::OK, body.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traded(body: &str) -> Option<Traded> {
        Vendor::Orcheo.traded(body.as_bytes(), Timestamp::from_seconds(1_795_000_000))
    }

    #[test]
    fn an_answer_of_the_vendor_is_read_and_handed_over_under_both_names() {
        let answer = r#"{"client_secret":"eyJ.a.b","expires_at":"2026-11-20T14:58:06.322460Z"}"#;
        let token = traded(answer).expect("a token");
        assert_eq!(token.expires_at.millis(), 1_795_186_686_322);
        assert!(!format!("{token:?}").contains("eyJ"));
        let reply = handed_over(&token).expect("a reply");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        let expected = json!({
            "client_secret": "eyJ.a.b", "token": "eyJ.a.b", "expires_at": "2026-11-20T14:58:06.322000Z",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_the_vendor_does_not_document_is_no_token() {
        for body in [
            "",
            "{}",
            r#"{"client_secret":"a"}"#,
            r#"{"client_secret":"","expires_at":"2026-11-20T14:58:06Z"}"#,
            r#"{"client_secret":"a b","expires_at":"2026-11-20T14:58:06Z"}"#,
            r#"{"client_secret":"a","expires_at":"2020-11-20T14:58:06Z"}"#,
            r#"{"client_secret":"a","expires_at":"soon"}"#,
            r#"{"client_secret":"a","expires_at":1795186686}"#,
        ] {
            assert!(traded(body).is_none(), "{body}");
        }
    }

    #[test]
    fn a_page_learns_of_the_vendors_refusals_what_concerns_it() {
        for (status, code) in [
            (StatusCode::UNAUTHORIZED, Code::UpstreamRefused),
            (StatusCode::FORBIDDEN, Code::UpstreamRefused),
            (StatusCode::UNPROCESSABLE_ENTITY, Code::UpstreamRefused),
            (StatusCode::FOUND, Code::UpstreamRefused),
            (StatusCode::NOT_FOUND, Code::WorkflowNotFound),
            (StatusCode::TOO_MANY_REQUESTS, Code::UpstreamRateLimited),
            (StatusCode::SERVICE_UNAVAILABLE, Code::UpstreamUnavailable),
        ] {
            assert_eq!(Vendor::Orcheo.refused(status, None).code, code, "{status}");
        }
    }
}
