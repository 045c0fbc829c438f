//! The body of `POST /api/v1/workspaces/{id}/session`: how a visitor comes in. The route is the gate's own; the
//! vendor's is not documented. Members of other names are ignored.

use secrecy::SecretString;

use super::guest::Guest;
use super::members::{Members, body, invalid};
use super::workspace::Locale;
use crate::denial::{Code, Denial};
use crate::session::Mode;

/// The longest proof that is passed on, in bytes. One of Turnstile has at most 2,048.
const MAX_PROOF: usize = 4096;

/// The body, read and not yet believed.
#[derive(Debug)]
pub struct Wire {
    /// What the visitor shows.
    pub shown: Shown,
    /// The language that the page asks for, if the widget speaks it.
    pub locale: Option<Locale>,
    /// A proof that no program is asking, as it came.
    pub proof: Option<String>,
}

/// What a visitor shows.
#[derive(Debug)]
pub enum Shown {
    /// `token`: an identity token.
    Token(SecretString),
    /// `guest`: the form, filled in as it must be.
    Guest(Guest),
    /// Neither.
    Nothing,
}

impl Shown {
    /// How such a visitor comes in.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Token(_) => Mode::Identified,
            Self::Guest(_) => Mode::Guest,
            Self::Nothing => Mode::Anonymous,
        }
    }
}

/// Reads the body; an empty one shows nothing, and `null` counts as absent.
///
/// # Errors
/// [`Code::InvalidRequest`] if it is no object, shows two things at once, or has a member of another kind;
/// [`Code::InvalidGuest`]; [`Code::ConsentRequired`].
pub fn parse_session(bytes: &[u8]) -> Result<Wire, Denial> {
    let text = if bytes.is_empty() { "{}" } else { body(bytes)? };
    let members = Members::of(text).ok_or(Code::InvalidRequest)?;
    let shown = match (members.read("token", "a string")?, members.raw("guest")) {
        (Some(_), Some(_)) => return Err(invalid("token and guest may not stand together")),
        (Some(token), None) => Shown::Token(token),
        (None, Some(form)) => Shown::Guest(Guest::read(form)?),
        (None, None) => Shown::Nothing,
    };
    let locale = members.read::<String>("locale", "a string")?;
    let proof = members.read::<String>("proof", "a string")?;
    if proof.as_ref().is_some_and(|proof| proof.len() > MAX_PROOF) {
        return Err(invalid(format!("proof must have at most {MAX_PROOF} bytes")));
    }
    Ok(Wire { shown, locale: locale.as_deref().and_then(Locale::of), proof })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Row {
        name: String,
        body: String,
        code: Option<String>,
        mode: Option<String>,
        locale: Option<String>,
    }

    #[test]
    fn bodies_are_taken_or_refused() {
        let rows = include_str!("../../../../tests/fixtures/mitigate/sessions.json");
        for Row { name, body, code, mode, locale } in serde_json::from_str::<Vec<Row>>(rows).expect("rows") {
            let outcome = parse_session(body.as_bytes());
            assert_eq!(outcome.as_ref().err().map(|denial| denial.code.name()), code.as_deref(), "{name}");
            let Ok(wire) = outcome else { continue };
            assert_eq!(Some(wire.shown.mode().name()), mode.as_deref(), "{name}");
            assert_eq!(wire.locale.map(Locale::name), locale.as_deref(), "{name}");
        }
    }

    #[test]
    fn a_token_and_a_proof_are_handed_on_and_the_token_is_not_printed() {
        let wire = parse_session(br#"{"token":"canary","proof":"1:abc"}"#).expect("a body");
        assert_eq!(wire.proof.as_deref(), Some("1:abc"));
        assert!(matches!(&wire.shown, Shown::Token(token) if token.expose_secret() == "canary"));
        assert!(!format!("{wire:?}").contains("canary"));
        let long = |length| parse_session(format!(r#"{{"proof":"{}"}}"#, "x".repeat(length)).as_bytes()).is_ok();
        assert!(long(4096) && !long(4097));
    }
}
