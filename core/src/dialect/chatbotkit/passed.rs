//! Widgets that the vendor keeps: the calls of its API that are passed on, and its answer to one for a session, in which the
//! gate's token stands for the vendor's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::route::below_prefix;
use crate::clock::Timestamp;
use crate::id::{ConversationId, FileId, ObjectId};
use crate::message::Reply;
use crate::policy::Issued;

/// The method of a path of the vendor's API for widgets and blueprints, if it is one, as sent: an escape or a dot segment makes
/// it another path. The customer's key opens all of the vendor's API, and the callers are to have this much of it.
#[must_use]
pub fn api_method(path: &str) -> Option<&'static str> {
    let (_, rest) = below_prefix(path)?;
    let of_widgets = rest.strip_prefix("integration/widget/");
    let call = of_widgets.or_else(|| rest.strip_prefix("blueprint/"))?;
    let mut segments = call.split('/');
    let segments = [(); 5].map(|()| segments.next());
    let is_id = |text: &str| ObjectId::parse(text).is_ok();
    match (segments, of_widgets.is_some()) {
        ([Some("list"), None, ..], _) => Some("GET"),
        ([Some("create"), None, ..], _) => Some("POST"),
        ([Some(id), Some("fetch"), None, ..], _) if is_id(id) => Some("GET"),
        ([Some(id), Some("update" | "delete"), None, ..], _) if is_id(id) => Some("POST"),
        ([Some(id), Some("clone" | "setup"), None, ..], true) if is_id(id) => Some("POST"),
        ([Some(id), Some("file"), Some(file), Some("attach" | "detach"), None], true)
            if is_id(id) && FileId::parse(file).is_ok() =>
        {
            Some("POST")
        }
        _ => None,
    }
}

/// What the vendor has opened.
pub struct Opened {
    /// The conversation.
    pub conversation: ConversationId,
    /// The vendor's token for it.
    pub token: SecretString,
    /// When that ends.
    pub expires_at: Timestamp,
    /// What it says that its conversation may do. The vendor holds it to that itself.
    pub features: Vec<String>,
    answer: Map<String, Value>,
}

impl Opened {
    /// Reads the vendor's answer; `conversation` is the one that was asked for, where the answer names none. `None` if it is
    /// not as the vendor documents.
    #[must_use]
    pub fn read(body: &[u8], conversation: Option<&ConversationId>) -> Option<Self> {
        let answer: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let named = answer.get("conversationId").and_then(Value::as_str).map(ConversationId::parse);
        let conversation = match (named, conversation) {
            (Some(named), None) => named.ok()?,
            (None, Some(asked)) => asked.clone(),
            _ => return None,
        };
        let text = answer.get("token").and_then(Value::as_str)?;
        let expires_at = Timestamp::from_millis(answer.get("expiresAt").and_then(Value::as_u64)?);
        let (token, features) = (SecretString::from(text), features(text).unwrap_or_default());
        Some(Self { conversation, token, expires_at, features, answer })
    }

    /// The answer for whoever asked, with this token in place of the vendor's.
    #[must_use]
    pub fn reply(mut self, issued: &Issued) -> Reply {
        self.answer.insert("token".into(), issued.token.as_str().into());
        self.answer.insert("expiresAt".into(), issued.expires_at.millis().into());
        // What was read from JSON can always be written.
        Reply::json(StatusCode::OK, serde_json::to_vec(&self.answer).unwrap_or_default())
    }
}

/// What a token of the vendor's says that its conversation may do. It comes from the vendor, so nobody verifies it.
fn features(token: &str) -> Option<Vec<String>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let listed = claims.pointer("/options/engine/features")?.as_array()?;
    Some(listed.iter().filter_map(|feature| Some(feature.get("name")?.as_str()?.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        let claims = json!({ "options": { "engine": { "features": [{ "name": "math" }, { "x": 1 }] } } });
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        json!({ "id": "w1", "conversationId": "cv1", "token": format!("a.{payload}.c"), "expiresAt": 5_000, "messages": [] })
    }

    #[test]
    fn calls_that_are_passed_on() {
        for (method, call) in [
            ("GET", "integration/widget/list"),
            ("POST", "integration/widget/create"),
            ("GET", "integration/widget/cw1/fetch"),
            ("POST", "integration/widget/cw1/update"),
            ("POST", "integration/widget/cw1/delete"),
            ("POST", "integration/widget/cw1/clone"),
            ("POST", "integration/widget/cw1/setup"),
            ("POST", "integration/widget/cw1/file/cf1/attach"),
            ("POST", "integration/widget/cw1/file/cf1/detach"),
            ("GET", "blueprint/list"),
            ("POST", "blueprint/create"),
            ("GET", "blueprint/cb1/fetch"),
            ("POST", "blueprint/cb1/update"),
            ("POST", "blueprint/cb1/delete"),
        ] {
            for prefix in ["/v1", "/api/v1"] {
                assert_eq!(api_method(&format!("{prefix}/{call}")), Some(method), "{call}");
            }
            for more in ["/", "/x", "%2f", ";a", "/../list"] {
                assert_eq!(api_method(&format!("/v1/{call}{more}")), None, "{call}{more}");
            }
            assert_eq!(api_method(&format!("/v2/{call}")), None, "{call}");
        }
    }

    #[test]
    fn calls_that_are_not_passed_on() {
        for call in [
            "integration/widget/cw1/session/create",
            "integration/widget/cw1/usage",
            "integration/widget/../list",
            "integration/widget//fetch",
            "integration/widget/%2e%2e/fetch",
            "integration/widget/cw1/file/../attach",
            "integration/widget",
            "blueprint/../secret/list",
            "blueprint/cb1/clone",
            "blueprint/cb1/file/cf1/attach",
            "bot/list",
            "bot/cb1/session/create",
            "conversation/list",
            "conversation/cv1/message/list",
            "conversation/cv1/session/create",
            "conversation/cv1/session/create/",
            "secret/list",
        ] {
            assert_eq!(api_method(&format!("/v1/{call}")), None, "{call}");
        }
    }

    #[test]
    fn the_gates_token_stands_for_the_vendors() {
        let opened = Opened::read(answer().to_string().as_bytes(), None).expect("an answer");
        assert_eq!((opened.conversation.as_str(), &*opened.features), ("cv1", &["math".to_owned()][..]));
        assert_eq!(opened.expires_at, Timestamp::from_seconds(5));
        let issued = Issued { token: "ours".into(), expires_at: Timestamp::from_seconds(4) };
        let reply: Value = serde_json::from_slice(&opened.reply(&issued).body).expect("JSON");
        let told = json!({ "id": "w1", "conversationId": "cv1", "token": "ours", "expiresAt": 4_000, "messages": [] });
        assert_eq!(reply, told);
    }

    #[test]
    fn an_answer_that_is_not_as_documented_opens_nothing() {
        for name in ["conversationId", "token", "expiresAt"] {
            let mut less = answer();
            less.as_object_mut().expect("an object").remove(name);
            assert!(Opened::read(less.to_string().as_bytes(), None).is_none(), "{name}");
        }
        let asked = ConversationId::parse("cv9").expect("an id");
        assert!(Opened::read(answer().to_string().as_bytes(), Some(&asked)).is_none(), "two conversations");
        let bare = json!({ "id": "cv9", "token": "t", "expiresAt": 1 }).to_string();
        assert!(Opened::read(bare.as_bytes(), Some(&asked)).is_some_and(|opened| opened.features.is_empty()));
        assert!(Opened::read(b"[]", None).is_none());
    }
}
