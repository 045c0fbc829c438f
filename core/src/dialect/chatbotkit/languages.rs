//! What a widget says in its languages (seeds/001, "Setting Up Widget Integrations"): the texts of its elements, what is
//! kept of their translations, and the map of both that pages get.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use super::rules;
use crate::denial::{Code, Denial};
use crate::entropy::hex;

/// Texts by the key of their element.
pub type Texts = BTreeMap<String, String>;

/// Bytes of translations that are kept of one widget: a document of the store, and an answer to every page.
const MAX_KEPT: usize = 1024 * 1024;

/// Elements that no setting names, in English. Pages know them by these keys, which stay.
const LABELS: [(&str, &str); 10] = [
    ("contact.email", "Email"),
    ("contact.name", "Name"),
    ("control.export", "Export"),
    ("control.language", "Language"),
    ("control.maximize", "Maximize"),
    ("control.minimize", "Minimize"),
    ("control.restart", "Restart"),
    ("dialog.no", "No"),
    ("dialog.restart", "Start a new conversation?"),
    ("dialog.yes", "Yes"),
];

/// What a widget says untranslated: its labels, and those of its own texts that are set.
#[must_use]
pub fn default_texts(fields: &Fields) -> Texts {
    let own = [
        ("title", &fields.title),
        ("placeholder", &fields.placeholder),
        ("intro", &fields.intro),
        ("initial", &fields.initial),
    ];
    let own = own.into_iter().filter_map(|(key, text)| Some((key, text.as_deref().filter(|text| !text.is_empty())?)));
    LABELS.into_iter().chain(own).map(|(key, text)| (key.to_owned(), text.to_owned())).collect()
}

/// The languages that a widget speaks, as they are written, each once.
#[must_use]
pub fn languages(fields: &Fields) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for tag in rules::items(fields.language.as_deref().unwrap_or_default()) {
        if !found.iter().any(|known| known.eq_ignore_ascii_case(tag)) {
            found.push(tag);
        }
    }
    found
}

/// What is kept of a widget's translations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageMap {
    /// How often a setup was asked for.
    asked: u64,
    /// The one that the translations are of; 0 before the first.
    made: u64,
    /// What was translated.
    texts: Texts,
    /// The translations, by language in lower case. An element that is not there could not be translated.
    languages: BTreeMap<String, Texts>,
}

impl LanguageMap {
    /// The setup that was asked for last.
    #[must_use]
    pub const fn asked(&self) -> u64 {
        self.asked
    }

    /// Whether a setup was asked for whose translations are not there yet.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.made < self.asked
    }

    /// The same, with one setup more to come. What there is serves until then.
    #[must_use]
    pub fn to_be_made(self) -> Self {
        Self { asked: self.asked.saturating_add(1), ..self }
    }

    /// What a setup has made, in the place of all that was there; `None` if a later one was ready sooner. Translations
    /// beyond what is kept are left out, language by language.
    #[must_use]
    pub fn with(self, setup: u64, texts: &Texts, translated: Vec<(String, Texts)>) -> Option<Self> {
        if setup < self.made {
            return None;
        }
        let mut room = MAX_KEPT;
        let kept = translated.into_iter().map(|(language, texts)| {
            let left = room.checked_sub(texts.values().map(String::len).sum());
            room = left.unwrap_or(room);
            (language.to_ascii_lowercase(), if left.is_some() { texts } else { Texts::new() })
        });
        let languages = kept.collect();
        Some(Self { asked: self.asked, made: setup, texts: texts.clone(), languages })
    }

    /// What an element says in a language: its translation, if it is one of what the element says now.
    fn translation<'a>(&'a self, of: &'a Texts, key: &str, now: &'a str) -> &'a str {
        let is_current = self.texts.get(key).is_some_and(|then| then == now);
        of.get(key).filter(|_| is_current).map_or(now, |text| text)
    }
}

/// A map as pages get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguagesAnswer {
    /// JSON.
    pub body: Vec<u8>,
    /// The entity tag of these very bytes, with its quotes.
    pub etag: String,
}

#[derive(Serialize)]
struct Wire<'a> {
    version: u64,
    default: &'a Texts,
    languages: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
}

/// The map of a widget with these settings: what it says untranslated, and all of it in each language of its list that
/// was set up. What has no translation, or has changed since, stands there untranslated.
///
/// # Errors
/// [`Code::Internal`] if it cannot be written, which every map can.
pub fn languages_answer(fields: &Fields, kept: Option<&LanguageMap>) -> Result<LanguagesAnswer, Denial> {
    let default = default_texts(fields);
    let of_language = |tag| {
        let kept = kept?;
        let translated = kept.languages.get(&str::to_ascii_lowercase(tag))?;
        let say = |(key, now)| (key, kept.translation(translated, key, now));
        Some((tag, default.iter().map(|(key, now)| (&**key, &**now)).map(say).collect()))
    };
    let languages = languages(fields).into_iter().filter_map(of_language).collect();
    let wire = Wire { version: kept.map_or(0, |kept| kept.made), default: &default, languages };
    let body = serde_json::to_vec(&wire).map_err(|_| Code::Internal)?;
    let digest = digest::digest(&digest::SHA256, &body);
    let etag = format!("\"{}\"", hex(digest.as_ref().get(..16).unwrap_or_default()));
    Ok(LanguagesAnswer { body, etag })
}

#[cfg(test)]
#[path = "languages_tests.rs"]
mod tests;
