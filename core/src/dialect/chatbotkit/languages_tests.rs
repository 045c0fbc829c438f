//! Maps: what is in them, when it changes, and what of a setup is kept.

use serde_json::{Value, json};

use super::*;
use crate::dialect::chatbotkit::{Patch, from_document, to_document};

fn fields(value: &Value) -> Fields {
    Fields::default().apply(&Patch::parse(value.to_string().as_bytes()).expect("a patch")).expect("fields")
}

fn texts(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

fn shown(fields: &Fields, kept: Option<&LanguageMap>) -> Value {
    serde_json::from_slice(&languages_answer(fields, kept).expect("a map").body).expect("JSON")
}

fn etag(fields: &Fields, kept: Option<&LanguageMap>) -> String {
    languages_answer(fields, kept).expect("a map").etag
}

/// What the first setup has made.
fn made(fields: &Fields, translated: &[(&str, &[(&str, &str)])]) -> LanguageMap {
    let translated = translated.iter().map(|(tag, pairs)| ((*tag).to_owned(), texts(pairs))).collect();
    let asked = LanguageMap::default().to_be_made();
    asked.with(1, &default_texts(fields), translated).expect("the first")
}

#[test]
fn labels_are_always_there_and_own_texts_where_they_are_set() {
    let bare: Vec<_> = default_texts(&Fields::default()).into_keys().collect();
    assert_eq!(bare, LABELS.map(|(key, _)| key));
    let own = default_texts(&fields(&json!({ "title": "Shop", "intro": "", "initial": "Hi", "placeholder": "Ask" })));
    assert_eq!((own.len(), own.get("intro")), (LABELS.len() + 3, None));
    assert_eq!([&own["title"], &own["initial"], &own["placeholder"]], ["Shop", "Hi", "Ask"]);
}

#[test]
fn each_language_counts_once() {
    let fields = fields(&json!({ "language": "lv, LV; de\npt-BR pt-br" }));
    assert_eq!(languages(&fields), ["lv", "de", "pt-BR"]);
    assert!(languages(&Fields::default()).is_empty());
}

#[test]
fn before_a_setup_there_is_the_untranslated_map() {
    let fields = fields(&json!({ "title": "Shop", "language": "lv" }));
    let map = shown(&fields, None);
    assert_eq!((&map["version"], &map["default"]["title"], &map["languages"]), (&json!(0), &json!("Shop"), &json!({})));
    let asked = LanguageMap::default().to_be_made();
    assert!(asked.is_stale());
    assert_eq!(shown(&fields, Some(&asked)), map);
}

#[test]
fn a_language_that_was_set_up_has_every_element() {
    let fields = fields(&json!({ "title": "Shop", "language": "LV de fr" }));
    let kept = made(&fields, &[("lv", &[("title", "Veikals")]), ("de", &[]), ("it", &[("title", "Negozio")])]);
    assert!(!kept.is_stale());
    let map = shown(&fields, Some(&kept));
    assert_eq!(map["version"], 1);
    let (latvian, german) = (&map["languages"]["LV"], &map["languages"]["de"]);
    assert_eq!((&latvian["title"], &latvian["dialog.yes"]), (&json!("Veikals"), &json!("Yes")));
    assert_eq!(german, &map["default"]);
    // One that was not set up, and one that the widget does not speak.
    assert_eq!(map["languages"].as_object().map(serde_json::Map::len), Some(2), "{map}");
}

#[test]
fn a_translation_of_another_text_is_not_served() {
    let before = fields(&json!({ "title": "Shop", "intro": "Hello", "language": "lv" }));
    let kept = made(&before, &[("lv", &[("title", "Veikals"), ("intro", "Sveiki")])]);
    let after = before.apply(&Patch::parse(br#"{"title":"Store"}"#).expect("a patch")).expect("fields");
    let map = shown(&after, Some(&kept));
    assert_eq!(map["default"]["title"], "Store");
    assert_eq!(
        (&map["languages"]["lv"]["title"], &map["languages"]["lv"]["intro"]),
        (&json!("Store"), &json!("Sveiki"))
    );
    assert_eq!(shown(&before, Some(&kept))["languages"]["lv"]["title"], "Veikals");
}

#[test]
fn the_tag_is_of_the_bytes() {
    let fields = fields(&json!({ "title": "Shop", "language": "lv" }));
    let kept = made(&fields, &[("lv", &[("title", "Veikals")])]);
    let tag = etag(&fields, Some(&kept));
    assert!(tag.len() == 34 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    assert_eq!(etag(&fields, Some(&kept)), tag);
    assert_eq!(etag(&fields, Some(&kept.clone().to_be_made())), tag);
    let again = kept.clone().to_be_made().with(2, &default_texts(&fields), Vec::new()).expect("the second");
    assert!(![etag(&fields, None), etag(&fields, Some(&again))].contains(&tag));
}

#[test]
fn a_later_setup_stays_and_what_is_too_long_does_not() {
    let fields = fields(&json!({ "title": "Shop", "language": "lv de fr" }));
    let texts_now = default_texts(&fields);
    let twice = LanguageMap::default().to_be_made().to_be_made();
    let second = twice.with(2, &texts_now, Vec::new()).expect("the second");
    assert_eq!(second.clone().with(1, &texts_now, Vec::new()), None);
    let long = || texts(&[("title", &"x".repeat(MAX_KEPT - 1))]);
    let short = texts(&[("title", "y")]);
    let translated = vec![("lv".to_owned(), long()), ("de".to_owned(), long()), ("fr".to_owned(), short.clone())];
    let kept = second.with(2, &texts_now, translated).expect("again");
    assert_eq!(kept.languages["de"], Texts::new());
    assert_eq!((kept.languages["lv"].len(), &kept.languages["fr"]), (1, &short));
    let document = to_document(&kept).expect("a document");
    assert_eq!(from_document::<LanguageMap>(&document), Some(kept));
    assert_eq!(from_document::<LanguageMap>(r#"{"asked":1}"#), None);
}
