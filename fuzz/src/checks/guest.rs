//! How a visitor of Mitigate comes in.

use secrecy::ExposeSecret as _;
use serde_json::Value;
use sidegate_core::dialect::mitigate::{Guest, Locale, Shown, parse_session};

use super::text::{assert_plain, is_email, object};

/// See `fuzz_targets/guest.rs`.
pub fn guest(data: &[u8]) {
    session(data);
    // The same bytes as a form, and as the members of one that is good otherwise.
    session(&[br#"{"guest":"#, data, b"}"].concat());
    session(&[br#"{"guest":{"consent":true,"#, data, b"}}"].concat());
}

fn session(body: &[u8]) {
    let Ok(wire) = parse_session(body) else { return };
    let said = Value::Object(object(if body.is_empty() { b"{}" } else { body }));
    match &wire.shown {
        Shown::Token(token) => {
            assert_eq!(said["token"], token.expose_secret());
            assert!(said["guest"].is_null());
        }
        Shown::Guest(guest) => {
            assert!(said["token"].is_null());
            filled_in(guest, &said["guest"]);
        }
        Shown::Nothing => assert!(said["token"].is_null() && said["guest"].is_null()),
    }
    if let Some(locale) = wire.locale {
        assert_eq!(said["locale"], Locale::name(locale));
    }
    assert_eq!(said["proof"].as_str(), wire.proof.as_deref());
    assert!(wire.proof.is_none_or(|proof| proof.len() <= 4096));
}

fn filled_in(guest: &Guest, form: &Value) {
    assert_eq!(form["consent"], true);
    assert_plain(guest.name(), 200);
    assert_eq!(form["name"].as_str().map(str::trim), Some(guest.name()));
    assert_plain(guest.email(), 320);
    assert_eq!(form["email"].as_str().map(str::trim), Some(guest.email()));
    assert!(is_email(guest.email()), "{:?}", guest.email());
}
