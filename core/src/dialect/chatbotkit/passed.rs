//! Sessions that the vendor opens, for widgets that it keeps: its answer, in which the gate's token stands for the vendor's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::id::ConversationId;
use crate::message::Reply;
use crate::policy::Issued;

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
