//! What an identity token says of its visitor (seeds/002, "Token field reference").

use std::borrow::Cow;

use crate::json::InvalidJson;

/// The fields beside `user_id` with the most characters that are kept of each (contracts 3.1, from the
/// vendor's backend).
const OPTIONAL: [(&str, usize); 6] =
    [("email", 320), ("name", 200), ("plan_tier", 64), ("audience_tag", 64), ("company", 200), ("locale", 35)];

/// The most characters of `user_id`.
pub(super) const MAX_USER_ID: usize = 200;

/// What templates may name of a visitor: `{{user.email}}`.
pub const FIELDS: [&str; 7] = ["user_id", "email", "name", "plan_tier", "audience_tag", "company", "locale"];

/// The optional fields; each is text or absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub struct UserFields {
    /// Shown to those who answer.
    #[serde(default)]
    pub email: Option<String>,
    /// Shown to those who answer.
    #[serde(default)]
    pub name: Option<String>,
    /// Decides about the priority of an escalation.
    #[serde(default)]
    pub plan_tier: Option<String>,
    /// A label of the customer's own.
    #[serde(default)]
    pub audience_tag: Option<String>,
    /// Whom the visitor works for.
    #[serde(default)]
    pub company: Option<String>,
    /// The language, such as `en-US`.
    #[serde(default)]
    pub locale: Option<String>,
}

impl UserFields {
    fn all(&self) -> [Option<&String>; 6] {
        let Self { email, name, plan_tier, audience_tag, company, locale } = self;
        [email, name, plan_tier, audience_tag, company, locale].map(Option::as_ref)
    }

    /// Names and values of those that are there, as they stand.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let named = OPTIONAL.into_iter().zip(self.all());
        named.filter_map(|((name, _), value)| Some((name, value?.as_str())))
    }

    /// The same cut to what is kept, as the vendor's backend cuts them, without control characters: those
    /// may stand in no header, and would end the conversation of whoever has one in a name. What is blank
    /// then is absent.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&'static str, String)> {
        let named = OPTIONAL.into_iter().zip(self.all());
        named.filter_map(|((name, most), value)| {
            let plain: String = value?.chars().filter(|letter| !letter.is_control()).take(most).collect();
            let text = plain.trim();
            (!text.is_empty()).then(|| (name, text.to_owned()))
        })
    }

    /// The name of the first one that would not be kept as it stands; in a token that is made here nothing
    /// is cut in silence.
    pub(super) fn first_cut(&self) -> Option<&'static str> {
        let kept: Vec<_> = self.kept().collect();
        let stays = |name: &str, value: &str| kept.iter().any(|(known, text)| *known == name && text == value);
        self.given().find(|(name, value)| !stays(name, value)).map(|(name, _)| name)
    }
}

/// A BCP 47 tag of the shape that the vendor takes from browsers, at most 35 characters; others count as absent.
#[must_use]
pub(super) fn locale(text: &str) -> Option<Cow<'_, str>> {
    let mut parts = text.split('-');
    let language = parts
        .next()
        .is_some_and(|part| (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let others =
        parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    (language && others && text.len() <= 35).then(|| text.into())
}

/// A fault of a body as its reader says it.
pub(super) fn said(fault: &InvalidJson) -> String {
    format!("The body is refused: {fault}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_cut_as_the_vendor_cuts_them() {
        let fields = UserFields {
            email: Some("a@b".into()),
            name: Some(format!(" Zoë\r\n{}", "x".repeat(300))),
            plan_tier: Some("  ".into()),
            ..UserFields::default()
        };
        let kept: Vec<_> = fields.kept().collect();
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[0], ("email", "a@b".to_owned()));
        assert!(kept[1].1.starts_with("Zoëx") && kept[1].1.chars().count() == 199);
        assert_eq!(fields.first_cut(), Some("name"));
        assert_eq!(UserFields { email: Some("a@b".into()), ..UserFields::default() }.first_cut(), None);
    }

    #[test]
    fn a_locale_is_a_tag() {
        for good in ["en", "en-US", "zh-Hans-CN", "de-1996", "sr-Latn-RS-x-a"] {
            assert!(locale(good).is_some(), "{good}");
        }
        for bad in ["", "e", "en_US", "en-", "-en", "en--US", "12", "en US", "en-\u{e9}", &"en-aaaaaaaa".repeat(5)] {
            assert!(locale(bad).is_none(), "{bad}");
        }
    }
}
