//! `POST /realtime/client_secrets`: what it is asked for, by a customer's server or by an app's settings.

use serde_json::{Map, Value};

use super::members::{Members, expires_after, expiry, invalid, object};
use super::range;
use super::session::joined;
use crate::denial::Denial;

/// Bytes of a session's settings.
const MAX_SESSION: usize = 16 * 1024;

/// A client secret that is asked for; what is left open is OpenAI's to say.
#[derive(Clone, Default, PartialEq)]
pub struct RealtimeSettings {
    /// Seconds until it ends; see [`range::REALTIME_SECONDS`].
    pub expires_after: Option<u32>,
    /// `type`, `model` and whatever else OpenAI takes there.
    pub session: Map<String, Value>,
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealtimeType {
    /// To talk with a model.
    Realtime,
    /// To write down what is said.
    Transcription,
}

/// A session may hold keys for the servers of its tools.
impl std::fmt::Debug for RealtimeSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RealtimeSettings({} members)", self.session.len())
    }
}

impl RealtimeType {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Realtime, Self::Transcription];

    /// Its name at OpenAI.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Transcription => "transcription",
        }
    }
}

/// Reads the body of a customer's server; an empty one asks for nothing in particular.
///
/// # Errors
/// [`crate::denial::Code::InvalidRequest`] with the rule.
pub fn parse_realtime(body: &[u8]) -> Result<RealtimeSettings, Denial> {
    let mut body = Members::of_body(body)?;
    let expires_after = expires_after(&mut body, &range::REALTIME_SECONDS)?;
    let session = body.object("session", "session.")?.map(Members::rest).unwrap_or_default();
    body.finish()?;
    Ok(RealtimeSettings { expires_after, session })
}

impl RealtimeSettings {
    /// Whether what it says can be sent.
    ///
    /// # Errors
    /// [`crate::denial::Code::InvalidRequest`] with the rule.
    pub fn check(&self) -> Result<(), Denial> {
        let known = |name: &str| RealtimeType::ALL.iter().any(|kind| kind.name() == name);
        let kind = self.session.get("type");
        if !self.session.is_empty() && !kind.and_then(Value::as_str).is_some_and(known) {
            return Err(invalid("session.type must be \"realtime\" or \"transcription\""));
        }
        if self.session.get("model").is_some_and(|model| !model.is_string()) {
            return Err(invalid("session.model must be a string"));
        }
        if serde_json::to_string(&self.session).map_or(usize::MAX, |text| text.len()) > MAX_SESSION {
            return Err(invalid("session may have 16384 bytes"));
        }
        Ok(())
    }

    /// These where an app has `bounds`: what is set there stands, and ends no later.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn within(self, bounds: &Self) -> Result<Self, Denial> {
        let expires_after = match (self.expires_after, bounds.expires_after) {
            (Some(asked), Some(bound)) if asked > bound => {
                return Err(invalid(format!("expires_after.seconds may not be more than {bound} here")));
            }
            (asked, bound) => asked.or(bound),
        };
        let whole = Self { expires_after, session: joined("session", self.session, &bounds.session)? };
        whole.check()?;
        Ok(whole)
    }

    /// The body for OpenAI.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let session = (!self.session.is_empty()).then(|| self.session.clone().into());
        let body = object([("expires_after", expiry(self.expires_after)), ("session", session)]);
        body.unwrap_or_else(|| Map::new().into()).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &str, app: &str) -> Result<String, String> {
        let app = parse_realtime(app.as_bytes()).expect("settings");
        let asked = parse_realtime(body.as_bytes()).and_then(|asked| asked.within(&app));
        let asked = asked.map_err(|denial| denial.message.into_owned())?;
        Ok(String::from_utf8(asked.body()).expect("UTF-8"))
    }

    #[test]
    fn what_an_app_sets_stands_and_others_come_beside_it() {
        let app = r#"{"expires_after":{"anchor":"created_at","seconds":60},"session":{"type":"realtime","model":"m"}}"#;
        assert_eq!(
            asked("", app).as_deref(),
            Ok(app.replace(r#""type":"realtime","model":"m""#, r#""model":"m","type":"realtime""#).as_str())
        );
        let more = asked(r#"{"session":{"type":"realtime","instructions":"Be kind."}}"#, app).expect("taken");
        assert!(more.contains(r#""session":{"instructions":"Be kind.","model":"m","type":"realtime"}"#), "{more}");
        for (body, message) in [
            (r#"{"session":{"model":"n"}}"#, "session.model is set for this app, to another value"),
            (
                r#"{"expires_after":{"anchor":"created_at","seconds":61}}"#,
                "expires_after.seconds may not be more than 60 here",
            ),
            (
                r#"{"expires_after":{"anchor":"created_at","seconds":9}}"#,
                "expires_after.seconds must be an integer from 10 to 7200",
            ),
            (r#"{"session":[]}"#, "session must be an object"),
            (r#"{"model":"m"}"#, "The body has a member that is not known here"),
        ] {
            assert_eq!(asked(body, app), Err(message.to_owned()), "{body}");
        }
    }

    #[test]
    fn a_session_says_what_it_is_for() {
        assert_eq!(asked("", ""), Ok("{}".to_owned()));
        assert!(asked(r#"{"session":{"type":"transcription"}}"#, "").is_ok());
        for session in [r#"{"model":"m"}"#, r#"{"type":"chat"}"#, r#"{"type":"realtime","model":1}"#] {
            assert!(asked(&format!(r#"{{"session":{session}}}"#), "").is_err(), "{session}");
        }
        let long = format!(r#"{{"session":{{"type":"realtime","instructions":"{}"}}}}"#, "a".repeat(MAX_SESSION));
        assert_eq!(asked(&long, ""), Err("session may have 16384 bytes".to_owned()));
    }
}
