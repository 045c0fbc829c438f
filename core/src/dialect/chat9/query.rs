//! The query of a widget's requests: which bot, which session.

use std::borrow::Cow;

use url::form_urlencoded;

use super::fields;
use crate::denial::{Code, Denial};
use crate::id::{AppId, SessionId};

/// What a query says; each parameter once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The bot.
    pub unverified_bot: Option<String>,
    session: Option<String>,
    locale: Option<String>,
}

impl Query {
    /// Reads a query; parameters of other names are dropped.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] for a parameter that stands there twice: two readers could then
    /// disagree on what it says.
    pub fn parse(text: Option<&str>) -> Result<Self, Denial> {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            let place = match &*name {
                "bot_id" => &mut query.unverified_bot,
                "session_id" => &mut query.session,
                "locale" => &mut query.locale,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(Denial::because(Code::InvalidRequest, format!("{name} stands there twice")));
            }
        }
        Ok(query)
    }

    /// The session. Only the gate makes sessions, so an id that is no UUID of its own names none.
    ///
    /// # Errors
    /// [`Code::SessionInvalid`] for what is no UUID, or missing; [`Code::SessionNotFound`].
    pub fn session(&self) -> Result<SessionId, Denial> {
        let text = self.session.as_deref().unwrap_or_default();
        if !is_uuid(text) {
            return Err(Code::SessionInvalid.into());
        }
        SessionId::parse(&text.to_ascii_lowercase()).map_err(|_| Code::SessionNotFound.into())
    }

    /// The browser's language, if it is a tag.
    #[must_use]
    pub fn locale(&self) -> Option<Cow<'_, str>> {
        fields::locale(self.locale.as_deref()?)
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The query as the upstream gets it: the bot and the session that were checked, and nothing that the
/// browser says beside but its language.
#[must_use]
pub fn bound_query(bot: &AppId, session: Option<&str>, locale: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("bot_id", bot.as_str());
    for (name, value) in [("session_id", session), ("locale", locale)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";

    #[test]
    fn a_query_is_read_and_bound() {
        let query =
            Query::parse(Some(&format!("bot_id=ch%5f1&session_id={ID}&locale=en-US&user_id=admin"))).expect("read");
        assert_eq!(query.unverified_bot.as_deref(), Some("ch_1"));
        assert_eq!(query.session().expect("a session").as_str(), ID);
        let bot = "ch_1".parse().expect("an id");
        let bound = bound_query(&bot, Some(ID), query.locale().as_deref());
        assert_eq!(bound, format!("bot_id=ch_1&session_id={ID}&locale=en-US"));
        assert_eq!(bound_query(&bot, None, None), "bot_id=ch_1");
    }

    #[test]
    fn a_parameter_stands_there_once() {
        for twice in ["bot_id=a&bot_id=a", "session_id=a&bot_id=b&session%5Fid=c", "locale=en&locale=de"] {
            assert_eq!(Query::parse(Some(twice)).expect_err(twice).code, Code::InvalidRequest);
        }
    }

    #[test]
    fn a_session_is_a_uuid_of_ours() {
        let code = |text: &str| {
            let query = Query::parse(Some(&format!("session_id={text}"))).expect("read");
            query.session().map_err(|denial| denial.code)
        };
        assert!(code(&ID.to_ascii_uppercase()).is_ok());
        for bad in ["", "1", "null", "0b6ad1a85b0e4a398a523cf4cf64a3d1", "../../etc/passwd", &"x".repeat(36)] {
            assert_eq!(code(bad), Err(Code::SessionInvalid), "{bad}");
        }
        assert_eq!(code("0b6ad1a8-5b0e-1a39-8a52-3cf4cf64a3d1"), Err(Code::SessionNotFound));
        assert_eq!(Query::default().session().expect_err("none").code, Code::SessionInvalid);
    }
}
