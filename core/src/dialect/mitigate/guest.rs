//! The form that a guest fills in (seeds/000, "Anonymous & Guest Signup"): name, email and consent.

use std::fmt;

use serde_json::value::RawValue;

use super::members::Members;
use crate::denial::{Code, Denial};

const NAME: &str = "name must be 1 to 200 characters without control characters";
const EMAIL: &str = "email must be an address of at most 320 bytes";

/// Who a guest says to be; nobody has checked it.
#[derive(Clone, PartialEq, Eq)]
pub struct Guest {
    name: String,
    email: String,
}

/// Personal data stay out of logs.
impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guest(…)")
    }
}

impl Guest {
    /// Reads a form. Space around name and email is dropped; members of other names are ignored.
    ///
    /// # Errors
    /// [`Code::InvalidGuest`], naming each field that is not as it must be; [`Code::ConsentRequired`] unless
    /// `consent` is `true` itself.
    pub(super) fn read(form: &RawValue) -> Result<Self, Denial> {
        let invalid = |message: String| Denial::because(Code::InvalidGuest, message);
        let form = Members::of(form.get()).ok_or_else(|| invalid("guest must be an object".into()))?;
        let text = |field| form.read::<String>(field, "").ok().flatten().map(|text| text.trim().to_owned());
        let (name, email) = (text("name").filter(|name| is_name(name)), text("email").filter(|email| is_email(email)));
        match (name, email) {
            (Some(name), Some(email)) if form.raw("consent").is_some_and(|consent| consent.get() == "true") => {
                Ok(Self { name, email })
            }
            (Some(_), Some(_)) => Err(Code::ConsentRequired.into()),
            (Some(_), None) => Err(invalid(EMAIL.into())),
            (None, Some(_)) => Err(invalid(NAME.into())),
            (None, None) => Err(invalid(format!("{NAME}; {EMAIL}"))),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The email address, as typed.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }
}

fn is_name(name: &str) -> bool {
    (1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

/// The rule of `<input type="email">` in the HTML standard, so that what a browser's form takes is taken here and
/// nothing more. A domain may be one label (`ada@intranet`); quotes, comments and other letters than ASCII's may not
/// stand in it.
pub(in crate::dialect) fn is_email(email: &str) -> bool {
    let Some((local, domain)) = email.split_once('@') else { return false };
    let is_atom = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    email.len() <= 320 && !local.is_empty() && local.bytes().all(is_atom) && domain.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Deserialize)]
    struct Row {
        name: String,
        guest: Box<RawValue>,
        code: Option<String>,
        says: Option<String>,
    }

    #[test]
    fn forms_are_taken_or_refused_by_their_field() {
        let rows = include_str!("../../../../tests/fixtures/mitigate/guests.json");
        for Row { name, guest, code, says } in serde_json::from_str::<Vec<Row>>(rows).expect("rows") {
            let outcome = Guest::read(&guest);
            assert_eq!(outcome.as_ref().err().map(|denial| denial.code.name()), code.as_deref(), "{name}");
            if let (Err(denial), Some(says)) = (outcome, says) {
                assert_eq!(denial.message, says, "{name}");
            }
        }
    }

    #[test]
    fn space_around_a_field_is_dropped_and_debug_shows_nothing() {
        let form = r#"{"name":"\u00a0 Zoë Ādamsone ","email":" zoe@example.com\n","consent":true}"#;
        let guest = Guest::read(&serde_json::from_str::<Box<RawValue>>(form).expect("JSON")).expect("a guest");
        assert_eq!((guest.name(), guest.email()), ("Zoë Ādamsone", "zoe@example.com"));
        assert_eq!(format!("{guest:?}"), "Guest(…)");
    }

    proptest! {
        #[test]
        fn no_refusal_quotes_what_was_typed(name in "[a-z]{201,210}", email in "[a-z]{9,20}") {
            let form = serde_json::json!({ "name": name, "email": email, "consent": true });
            let form = serde_json::value::to_raw_value::<Value>(&form).expect("JSON");
            let message = Guest::read(&form).expect_err("refused").message;
            prop_assert!(!message.contains(&name) && !message.contains(&email));
        }

        #[test]
        fn what_is_taken_has_one_at_and_nothing_that_ends_a_line(email in r#"[a-z@. "\\\r\n\u{0}<>,;:-]{1,12}"#) {
            if is_email(&email) {
                prop_assert_eq!(email.matches('@').count(), 1);
                prop_assert!(!email.contains([' ', '"', '\\', '\r', '\n', '\0', '<', '>', ',', ';', ':']));
            }
        }
    }
}
