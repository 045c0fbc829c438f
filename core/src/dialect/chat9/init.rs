//! `POST /widget/session/init`: a page asks for a session.

use serde::Deserialize;
use serde_json::Value;

use super::fields;
use crate::denial::{Code, Denial};
use crate::json;

/// The most characters of a `locale`.
const MAX_LOCALE: usize = 64;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Init {
    /// Which bot's.
    pub unverified_bot: String,
    /// Who the customer's server says that it is.
    pub identity_token: Option<String>,
    /// The browser's language, if it is a tag.
    pub locale: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    bot_id: Value,
    #[serde(default)]
    identity_token: Value,
    #[serde(default)]
    locale: Value,
}

/// Reads the body; members of other names are ignored, as the vendor does. An empty token is none.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub fn parse_init(body: &[u8]) -> Result<Init, Denial> {
    let refused = |rule: &str| Denial::because(Code::InvalidRequest, rule.to_owned());
    let wire: Wire = json::read_object(body).map_err(|fault| refused(&fields::said(&fault)))?;
    let Value::String(unverified_bot) = wire.bot_id else {
        return Err(refused("bot_id is required, and a string"));
    };
    let identity_token = match wire.identity_token {
        Value::Null => None,
        Value::String(token) => Some(token).filter(|token| !token.is_empty()),
        _ => return Err(refused("identity_token must be a string or null")),
    };
    let locale = match wire.locale {
        Value::Null => None,
        Value::String(text) if text.chars().count() <= MAX_LOCALE => fields::locale(&text).map(|tag| tag.into_owned()),
        _ => return Err(refused("locale must be a string of at most 64 characters")),
    };
    Ok(Init { unverified_bot, identity_token, locale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_request_is_read() {
        let init = |body: &str| parse_init(body.as_bytes()).expect("a request");
        let bare = init(r#"{"bot_id":"ch_1","more":1}"#);
        assert_eq!((bare.unverified_bot.as_str(), bare.identity_token, bare.locale), ("ch_1", None, None));
        let whole = init(r#"{"bot_id":"ch_1","identity_token":"a.b","locale":"en-US"}"#);
        assert_eq!((whole.identity_token.as_deref(), whole.locale.as_deref()), (Some("a.b"), Some("en-US")));
        let none = init(r#"{"bot_id":"ch_1","identity_token":"","locale":"x y"}"#);
        assert_eq!((none.identity_token, none.locale), (None, None));
        assert_eq!(init(r#"{"bot_id":"ch_1","identity_token":null,"locale":null}"#), bare_of("ch_1"));
    }

    fn bare_of(bot: &str) -> Init {
        Init { unverified_bot: bot.to_owned(), identity_token: None, locale: None }
    }

    #[test]
    fn others_are_refused() {
        let long = format!(r#"{{"bot_id":"a","locale":"{}"}}"#, "x".repeat(65));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"bot_id":7}"#,
            r#"{"bot_id":null}"#,
            r#"{"bot_id":"a","bot_id":"b"}"#,
            r#"{"bot_id":"a","identity_token":{}}"#,
            r#"{"bot_id":"a","locale":7}"#,
            &long,
        ] {
            assert_eq!(parse_init(bad.as_bytes()).expect_err(bad).code, Code::InvalidRequest, "{bad}");
        }
    }
}
