//! What OpenAI answers, read; and refusals in its shape.

use std::time::Duration;

use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::route::{Call, SessionId};
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::dialect::orcheo::trade::{Ask, Traded};
use crate::json;
use crate::message::Reply;

/// Below the base, for a session.
pub(in crate::dialect::orcheo) const SESSIONS: &str = "/chatkit/sessions";

/// Below the base, for a client secret.
pub(in crate::dialect::orcheo) const CLIENT_SECRETS: &str = "/realtime/client_secrets";

/// Behind a session's id, for its end.
pub(super) const CANCEL: &str = "/cancel";

/// Bytes of the session beside a client secret.
const MAX_SESSION: usize = 32 * 1024;

impl Ask {
    /// For a ChatKit session.
    #[must_use]
    pub fn session(body: Vec<u8>) -> Self {
        Self { path: SESSIONS.into(), is_chatkit_beta: true, body: Some(body) }
    }

    /// For the end of one.
    #[must_use]
    pub fn cancel(id: &SessionId) -> Self {
        Self { path: format!("{SESSIONS}/{id}{CANCEL}").into(), is_chatkit_beta: true, body: None }
    }

    /// For a Realtime client secret.
    #[must_use]
    pub fn client_secret(body: Vec<u8>) -> Self {
        Self { path: CLIENT_SECRETS.into(), is_chatkit_beta: false, body: Some(body) }
    }
}

#[derive(Deserialize)]
struct Session {
    client_secret: String,
    expires_at: u64,
}

#[derive(Deserialize)]
struct ClientSecret {
    value: String,
    expires_at: u64,
    session: Option<Map<String, Value>>,
}

/// The token of a ChatKit session; `None` if the answer is not what OpenAI documents, or over already.
#[must_use]
pub fn session(body: &[u8], now: Timestamp) -> Option<Traded> {
    let answer: Session = serde_json::from_slice(body).ok()?;
    Traded::new(answer.client_secret, Timestamp::from_seconds(answer.expires_at), now)
}

/// A Realtime client secret, with its session as a page may see it; `None` as for [`session`].
#[must_use]
pub fn client_secret(body: &[u8], now: Timestamp) -> Option<Traded> {
    let mut answer: ClientSecret = serde_json::from_slice(body).ok()?;
    if let Some(session) = &mut answer.session {
        session.values_mut().for_each(without_credentials);
    }
    let session = answer.session.map(|session| Value::from(session).to_string());
    if session.as_ref().is_some_and(|session| session.len() > MAX_SESSION) {
        return None;
    }
    let traded = Traded::new(answer.value, Timestamp::from_seconds(answer.expires_at), now)?;
    Some(Traded { session: session.map(SecretString::from), ..traded })
}

/// A session's tools name the servers that OpenAI calls, and with what: no page needs that.
fn without_credentials(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !matches!(&**name, "authorization" | "headers"));
            members.values_mut().for_each(without_credentials);
        }
        Value::Array(items) => items.iter_mut().for_each(without_credentials),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `{"value","expires_at","session"}`, as OpenAI answers: the expiry in Unix seconds.
///
/// # Errors
/// [`Code::Internal`] for a session that is not what [`client_secret`] has read.
pub fn secret_handed_over(traded: &Traded) -> Result<Reply, Denial> {
    let mut body = json!({ "value": traded.token.expose_secret(), "expires_at": traded.expires_at.seconds() });
    if let Some(session) = &traded.session {
        body["session"] = serde_json::from_str(session.expose_secret()).map_err(|_| Code::Internal)?;
    }
    Ok(Reply::json(StatusCode::OK, body.to_string().into_bytes()))
}

/// An answer for a customer's server, as it came; `None` if it is no JSON object.
#[must_use]
pub fn passed_on(body: &[u8]) -> Option<Reply> {
    json::check_object(body).ok()?;
    Some(Reply::json(StatusCode::OK, body.to_vec()))
}

/// As [`passed_on`], of a Realtime client secret: the credentials of its tools are the app's, and whoever may ask for a secret
/// is not to have them.
#[must_use]
pub fn secret_passed_on(body: &[u8]) -> Option<Reply> {
    let mut answer: Value = serde_json::from_str(json::check_object(body).ok()?).ok()?;
    answer.get_mut("session").into_iter().for_each(without_credentials);
    Some(Reply::json(StatusCode::OK, answer.to_string().into_bytes()))
}

/// What a refusal of OpenAI's means to a customer's server, which may have asked for what it does not take. Its
/// own words stay here.
#[must_use]
pub fn refused(call: &Call, status: StatusCode, retry_after: Option<Duration>) -> Denial {
    let busy = |code| Denial { retry_after, ..Denial::from(code) };
    match (status, call) {
        (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY, _) => {
            Denial::because(Code::InvalidRequest, "OpenAI does not take what is asked for")
        }
        (StatusCode::NOT_FOUND, Call::Create) => Code::WorkflowNotFound.into(),
        (StatusCode::NOT_FOUND, Call::Cancel(_)) => Denial::because(Code::NotFound, "OpenAI knows no such session"),
        (StatusCode::CONFLICT, Call::Cancel(_)) => Denial::because(Code::Conflict, "OpenAI cannot cancel this session"),
        (StatusCode::TOO_MANY_REQUESTS, _) => busy(Code::UpstreamRateLimited),
        (status, _) if status.is_server_error() => busy(Code::UpstreamUnavailable),
        // Its credential is the gate's affair.
        _ => Code::UpstreamRefused.into(),
    }
}

#[derive(Serialize)]
struct Refused<'a> {
    error: Fault<'a>,
}

#[derive(Serialize)]
struct Fault<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The message names the member, if one is to blame.
    param: (),
    code: &'a str,
}

/// `{"error":{"message","type","param","code"}}`, in which the code is ours, in small letters.
#[must_use]
pub fn refusal(denial: &Denial) -> Reply {
    let code = denial.code.name().to_ascii_lowercase();
    let error = Fault { message: &denial.message, kind: kind(denial.code.status()), param: (), code: &code };
    // Strings can always be written.
    let body = serde_json::to_vec(&Refused { error }).unwrap_or_default();
    Reply::refusal(denial, "application/json", body)
}

fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    #[test]
    fn a_customers_server_gets_a_secret_without_the_credentials_of_the_apps_tools() {
        let body = r#"{"value":"ek_1","expires_at":1795000600,"session":{"type":"realtime","tools":[
            {"type":"mcp","server_url":"https://a.example.com","authorization":"key","headers":{"X-Key":"key"}}]}}"#;
        let reply = secret_passed_on(body.as_bytes()).expect("an answer");
        let reply: Value = serde_json::from_slice(&reply.body).expect("JSON");
        let tool = json!({ "type": "mcp", "server_url": "https://a.example.com" });
        let session = json!({ "type": "realtime", "tools": [tool] });
        assert_eq!(reply, json!({ "value": "ek_1", "expires_at": 1_795_000_600, "session": session }));
        assert!(secret_passed_on(b"[]").is_none());
    }

    #[test]
    fn a_session_is_read_and_what_is_none_is_not() {
        let body = r#"{"id":"cksess_1","object":"chatkit.session","client_secret":"ek_1","expires_at":1795000600}"#;
        let read = session(body.as_bytes(), NOW).expect("a session");
        assert_eq!((read.token.expose_secret(), read.expires_at.seconds()), ("ek_1", 1_795_000_600));
        for body in [
            "",
            "{}",
            r#"{"client_secret":"ek_1"}"#,
            r#"{"client_secret":"ek_1","expires_at":"2026-11-20T14:58:06Z"}"#,
            r#"{"client_secret":"ek_1","expires_at":1795000600.5}"#,
            r#"{"client_secret":"ek_1","expires_at":1795000000}"#,
            r#"{"client_secret":"","expires_at":1795000600}"#,
            r#"{"client_secret":"ek 1","expires_at":1795000600}"#,
        ] {
            assert!(session(body.as_bytes(), NOW).is_none(), "{body}");
        }
    }

    #[test]
    fn a_client_secret_is_handed_over_with_its_session_and_without_the_keys_in_it() {
        let body = json!({
            "value": "ek_1", "expires_at": 1_795_000_600, "more": 1,
            "session": { "type": "realtime", "tools": [{ "type": "mcp", "authorization": "canary", "headers": { "X": "canary" } }] },
        });
        let read = client_secret(body.to_string().as_bytes(), NOW).expect("a secret");
        assert!(!format!("{read:?}").contains("ek_1"));
        let reply = secret_handed_over(&read).expect("a reply");
        let expected = json!({
            "value": "ek_1", "expires_at": 1_795_000_600, "session": { "type": "realtime", "tools": [{ "type": "mcp" }] },
        });
        assert_eq!(serde_json::from_slice::<Value>(&reply.body).expect("JSON"), expected);
        let long = json!({ "value": "ek_1", "expires_at": 1_795_000_600, "session": { "a": "a".repeat(MAX_SESSION) } });
        assert!(client_secret(long.to_string().as_bytes(), NOW).is_none());
        let text = r#"{"value":"ek_1","expires_at":1795000600,"session":"x"}"#;
        assert!(client_secret(text.as_bytes(), NOW).is_none());
    }

    #[test]
    fn refusals_have_its_shape_and_types() {
        for (code, kind) in [
            (Code::InvalidRequest, "invalid_request_error"),
            (Code::WorkflowNotFound, "invalid_request_error"),
            (Code::AuthRequired, "authentication_error"),
            (Code::MissingScope, "permission_error"),
            (Code::RateLimited, "rate_limit_error"),
            (Code::UpstreamRefused, "server_error"),
        ] {
            let reply = refusal(&code.into());
            let expected = json!({
                "error": { "message": code.message(), "type": kind, "param": null, "code": code.name().to_ascii_lowercase() },
            });
            assert_eq!(serde_json::from_slice::<Value>(&reply.body).expect("JSON"), expected, "{code}");
        }
    }
}
