//! The vendor's own token, fetched for one end user: `POST /api/chatkit/session` from the other side, as the
//! customer's server in the vendor's guide sends it; or of OpenAI, as [`super::openai`] says.

use std::borrow::Cow;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderValue, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::openai::{self, RealtimeSettings, SessionSettings};
use super::route::SESSION_PATH;
use super::{Workflow, WorkflowId};
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::id::EndUserId;
use crate::json;
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
    /// What its ChatKit sessions have beside (OpenAI).
    pub session: SessionSettings,
    /// What its Realtime client secrets are for (OpenAI); `None`: it gets none.
    pub realtime: Option<RealtimeSettings>,
}

/// Who makes the tokens that are traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// An Orcheo backend.
    Orcheo,
    /// OpenAI.
    OpenAi,
}

/// What a token is for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// To chat with a workflow, to which it is bound.
    Chat(Workflow),
    /// OpenAI's Realtime API.
    Realtime,
}

impl Purpose {
    /// The workflow that it is bound to.
    #[must_use]
    pub const fn workflow(&self) -> Option<&WorkflowId> {
        match self {
            Self::Chat(workflow) => Some(&workflow.id),
            Self::Realtime => None,
        }
    }
}

/// What the vendor is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What the token is for.
    pub purpose: &'a Purpose,
    /// Whom it is for.
    pub end_user: &'a EndUserId,
    /// What it is to say beside: `metadata`, `user`, `assistant`, `workflow_label`.
    pub details: &'a Map<String, Value>,
}

/// A request to the vendor, with POST.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Below the upstream's base.
    pub path: Cow<'static, str>,
    /// Whether it goes with `OpenAI-Beta: chatkit_beta=v1`.
    pub is_chatkit_beta: bool,
    /// JSON, if it has a body.
    pub body: Option<Vec<u8>>,
}

/// A token of the vendor's.
#[derive(Clone, Debug)]
pub struct Traded {
    /// Its text.
    pub token: SecretString,
    /// Its end.
    pub expires_at: Timestamp,
    /// JSON: the session that a Realtime client secret is for. It may repeat the secret.
    pub session: Option<SecretString>,
}

#[derive(Deserialize)]
struct Answer {
    client_secret: String,
    expires_at: String,
}

impl Trade {
    /// What the vendor is sent; `None` if it makes nothing for this purpose. Never what the browser calls its
    /// current secret: Orcheo would copy it into the new token.
    #[must_use]
    pub fn ask(&self, wanted: Wanted<'_>) -> Option<Ask> {
        Some(match (self.vendor, wanted.purpose) {
            (Vendor::Orcheo, Purpose::Chat(workflow)) => {
                let mut body = wanted.details.clone();
                body.insert("workflow_id".to_owned(), workflow.id.as_str().into());
                let user = body.entry("user").or_insert_with(|| json!({}));
                if let Value::Object(user) = user {
                    user.insert("id".to_owned(), wanted.end_user.as_str().into());
                }
                let body = Value::from(body).to_string().into_bytes();
                Ask { path: SESSION_PATH.into(), is_chatkit_beta: false, body: Some(body) }
            }
            (Vendor::OpenAi, Purpose::Chat(workflow)) => Ask::session(self.session.body(wanted.end_user, workflow)),
            (Vendor::OpenAi, Purpose::Realtime) => Ask::client_secret(self.realtime.as_ref()?.body()),
            (Vendor::Orcheo, Purpose::Realtime) => return None,
        })
    }

    /// What the vendor has answered with 2xx; `None` if that is not what it documents, or over already.
    #[must_use]
    pub fn traded(&self, purpose: &Purpose, body: &[u8], now: Timestamp) -> Option<Traded> {
        match purpose {
            Purpose::Chat(_) => self.vendor.traded(body, now),
            Purpose::Realtime => openai::client_secret(body, now),
        }
    }

    /// Whether an answer holds the credential that the vendor was shown: nobody gets that one.
    #[must_use]
    pub fn repeats_credential(&self, body: &[u8]) -> bool {
        let shown = self.authorization.as_bytes();
        let credential = shown.strip_prefix(b"Bearer ").unwrap_or(shown);
        !credential.is_empty() && body.windows(credential.len()).any(|window| window == credential)
    }
}

impl Traded {
    /// A token that can be passed on; `None` if it cannot, or is over already.
    pub(super) fn new(token: String, expires_at: Timestamp, now: Timestamp) -> Option<Self> {
        let plain = !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic());
        (plain && expires_at > now).then(|| Self { token: token.into(), expires_at, session: None })
    }

    /// Whether it is the one that somebody shows, found out in a time that says nothing of it.
    #[must_use]
    pub fn is(&self, shown: &SecretString) -> bool {
        let (own, shown) = (self.token.expose_secret().as_bytes(), shown.expose_secret().as_bytes());
        verify_slices_are_equal(own, shown).is_ok()
    }
}

impl Vendor {
    /// Every vendor.
    pub const ALL: [Self; 2] = [Self::Orcheo, Self::OpenAi];

    /// Its name in the config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orcheo => "orcheo",
            Self::OpenAi => "openai",
        }
    }

    /// Whether a token may say more of its end user than the id.
    #[must_use]
    pub const fn takes_details(self) -> bool {
        match self {
            Self::Orcheo => true,
            Self::OpenAi => false,
        }
    }

    /// The token of a chat that it has answered with 2xx; `None` if that is not what it documents, or over already.
    #[must_use]
    pub fn traded(self, body: &[u8], now: Timestamp) -> Option<Traded> {
        match self {
            Self::Orcheo => {
                let answer: Answer = serde_json::from_slice(body).ok()?;
                Traded::new(answer.client_secret, Timestamp::from_rfc3339(&answer.expires_at)?, now)
            }
            Self::OpenAi => openai::session(body, now),
        }
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

/// What a page shows of the secret that it has: `currentClientSecret` of its body, if it names one.
///
/// # Errors
/// [`Code::InvalidRequest`] for a body that is not such JSON, or names one twice.
pub fn current_secret(body: &[u8]) -> Result<Option<SecretString>, Denial> {
    #[derive(Deserialize)]
    struct Current {
        #[serde(rename = "currentClientSecret", alias = "current_client_secret")]
        secret: Option<SecretString>,
    }
    if body.is_empty() {
        return Ok(None);
    }
    let refused = |fault| Denial::because(Code::InvalidRequest, format!("The body is refused: {fault}"));
    let text = json::check_object(body).map_err(refused)?;
    let current: Result<Current, _> = serde_json::from_str(text);
    let rule = "currentClientSecret must be one string";
    Ok(current.map_err(|_| Denial::because(Code::InvalidRequest, rule))?.secret)
}

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
    use crate::dialect::orcheo::Access;

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

    fn trade(vendor: Vendor) -> Trade {
        let realtime = Some(RealtimeSettings { expires_after: Some(60), ..RealtimeSettings::default() });
        let session = SessionSettings { requests_per_minute: Some(5), ..SessionSettings::default() };
        let authorization = HeaderValue::from_static("Bearer sk-canary");
        Trade { vendor, authorization, timeout: std::time::Duration::from_secs(1), session, realtime }
    }

    #[test]
    fn openai_is_asked_for_what_the_app_has_set() {
        let workflow = super::super::WorkflowId::of_openai("wf_1").expect("an id");
        let chat = Purpose::Chat(Workflow {
            id: workflow,
            name: Some("Support".into()),
            version: Some("2".into()),
            access: Access::Token,
        });
        let (end_user, details) = ("ada".parse().expect("an id"), Map::new());
        let ask = |vendor, purpose| trade(vendor).ask(Wanted { purpose, end_user: &end_user, details: &details });
        let session = ask(Vendor::OpenAi, &chat).expect("made");
        assert_eq!((&*session.path, session.is_chatkit_beta), ("/chatkit/sessions", true));
        let body: Value = serde_json::from_slice(&session.body.expect("a body")).expect("JSON");
        let rates = json!({ "max_requests_per_1_minute": 5 });
        assert_eq!(body, json!({ "user": "ada", "workflow": { "id": "wf_1", "version": "2" }, "rate_limits": rates }));
        let secret = ask(Vendor::OpenAi, &Purpose::Realtime).expect("made");
        assert_eq!((&*secret.path, secret.is_chatkit_beta), ("/realtime/client_secrets", false));
        assert_eq!(
            secret.body.as_deref(),
            Some(br#"{"expires_after":{"anchor":"created_at","seconds":60}}"#.as_slice())
        );
        assert!(ask(Vendor::Orcheo, &Purpose::Realtime).is_none());
    }

    #[test]
    fn the_credential_is_found_wherever_it_stands() {
        let trade = trade(Vendor::OpenAi);
        assert!(trade.repeats_credential(br#"{"client_secret":"sk-canary"}"#));
        assert!(!trade.repeats_credential(br#"{"client_secret":"sk-canarx"}"#) && !trade.repeats_credential(b""));
    }

    #[test]
    fn the_secret_at_hand_is_told_from_others() {
        let token = traded(r#"{"client_secret":"eyJ.a.b","expires_at":"2026-11-20T14:58:06Z"}"#).expect("a token");
        assert!(token.is(&"eyJ.a.b".into()) && !token.is(&"eyJ.a.c".into()) && !token.is(&"eyJ".into()));
    }

    #[test]
    fn a_page_names_its_current_secret_once_or_not_at_all() {
        let current = |body: &str| {
            current_secret(body.as_bytes()).map(|secret| secret.map(|secret| secret.expose_secret().to_owned()))
        };
        for body in ["", "{}", r#"{"currentClientSecret":null}"#, r#"{"more":1}"#] {
            assert_eq!(current(body), Ok(None), "{body}");
        }
        for name in ["currentClientSecret", "current_client_secret"] {
            assert_eq!(current(&format!(r#"{{"{name}":"ek_1"}}"#)), Ok(Some("ek_1".to_owned())));
        }
        for body in
            ["{", "[]", r#"{"currentClientSecret":1}"#, r#"{"currentClientSecret":"a","current_client_secret":"b"}"#]
        {
            assert_eq!(current(body).expect_err(body).code, Code::InvalidRequest);
        }
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
