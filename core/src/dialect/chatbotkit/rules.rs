//! What the settings of a widget may be. A rule that is broken is said in words that follow the member's name.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::id::ObjectId;
use crate::origin::OriginSet;

/// The longest session that may be set, in milliseconds: an hour (seeds/001, "Session and Privacy").
const MAX_SESSION: u64 = 3_600_000;

/// The longest list of origins, and of languages, in bytes.
const MAX_ORIGINS: usize = 8 * 1024;
const MAX_LANGUAGES: usize = 1024;

/// How many languages a widget speaks at most.
const MOST_LANGUAGES: usize = 40;

/// What a text may be. Each may be empty.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Anything of at most so many bytes.
    Length(usize),
    /// An id.
    Id,
    /// Origins in a list.
    Origins,
    /// Language tags in a list.
    Languages,
}

type Broken = Cow<'static, str>;

pub(super) fn text(raw: &RawValue, rule: Rule) -> Result<String, Broken> {
    let text: String = serde_json::from_str(raw.get()).map_err(|_| "must be a string")?;
    match rule {
        Rule::Length(most) => at_most(&text, most)?,
        Rule::Id if text.is_empty() || ObjectId::parse(&text).is_ok() => {}
        Rule::Id => return Err("must be 1 to 64 letters, digits, '_' or '-'".into()),
        Rule::Origins => {
            at_most(&text, MAX_ORIGINS)?;
            origins(&text)?;
        }
        Rule::Languages => {
            at_most(&text, MAX_LANGUAGES)?;
            check_languages(&text)?;
        }
    }
    Ok(text)
}

fn at_most(text: &str, most: usize) -> Result<(), Broken> {
    if text.len() > most { Err(format!("must have at most {most} bytes").into()) } else { Ok(()) }
}

pub(super) fn flag(raw: &RawValue) -> Result<bool, Broken> {
    serde_json::from_str(raw.get()).map_err(|_| "must be a boolean".into())
}

pub(super) fn session_duration(raw: &RawValue) -> Result<u64, Broken> {
    let duration = integer(raw).filter(|millis| *millis <= MAX_SESSION);
    duration.ok_or_else(|| format!("must be an integer from 0 to {MAX_SESSION}").into())
}

/// A number that is an integer, however it is written: to JSON, 5.0 is 5.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within its bounds it is exact")]
pub(super) fn integer(raw: &RawValue) -> Option<u64> {
    let number: serde_json::Number = serde_json::from_str(raw.get()).ok()?;
    let exact = |float: &f64| float.fract() == 0.0 && (0.0..9e15).contains(float);
    number.as_u64().or_else(|| number.as_f64().filter(exact).map(|float| float as u64))
}

/// The items of a list as customers write it: between commas, semicolons and space.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| matches!(letter, ',' | ';') || letter.is_whitespace()).filter(|item| !item.is_empty())
}

/// The origins of a list. A slash at an origin's end is dropped.
///
/// # Errors
/// Which of them is none, counted from one, and why.
pub(super) fn origins(text: &str) -> Result<OriginSet, Broken> {
    let entries: Vec<_> = items(text).map(|entry| entry.trim_end_matches('/')).collect();
    OriginSet::parse(&entries).map_err(|(index, fault)| format!("entry {} {fault}", index + 1).into())
}

fn check_languages(text: &str) -> Result<(), Broken> {
    if let Some(index) = items(text).position(|tag| !is_tag(tag)) {
        return Err(format!("entry {} must be a language tag", index + 1).into());
    }
    if items(text).nth(MOST_LANGUAGES).is_some() {
        return Err(format!("must have at most {MOST_LANGUAGES} languages").into());
    }
    Ok(())
}

/// What is said of the first member of another name. A name that could be anything is not repeated.
pub(super) fn unknown<'a>(mut names: impl Iterator<Item = &'a str>, known: impl Fn(&str) -> bool) -> Option<String> {
    let name = names.find(|name| !known(name))?;
    let is_plain = ObjectId::parse(name).is_ok();
    Some(format!("{} is not allowed", if is_plain { name } else { "another member" }))
}

/// Whether a text has the shape of a language tag (RFC 5646 section 2.1): a language of letters, then parts of letters
/// and digits.
pub(super) fn is_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let is_part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 35
        && (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(is_part)
}
