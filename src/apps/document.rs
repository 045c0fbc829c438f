//! What the registry keeps of an app: one JSON object, sealed as a whole, because it holds keys, and
//! templates may hold secrets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::zeroize::{Zeroize as _, Zeroizing};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sidegate_core::clock::Timestamp;
use sidegate_core::context::seal::{SealedFor, Sealer};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::entropy::Entropy;
use sidegate_core::id::AppId;

use crate::store::{Entry, EntryKind};

/// Bytes of an app's document before it is sealed.
const MAX_DOCUMENT: usize = 64 * 1024;

/// An app of the registry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) settings: AppSettings,
    pub(super) created_at: Timestamp,
    pub(super) changed_at: Timestamp,
    /// Since when it is not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) disabled_at: Option<Timestamp>,
    /// Until when the second of the secret digests is good; as long as it is there if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous_secret_until: Option<Timestamp>,
    /// Until when the previous identity secret is good; as long as it is there if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous_identity_until: Option<Timestamp>,
}

/// One `[[apps]]` table as JSON. May hold secrets: it cannot be printed, and is wiped when dropped.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AppSettings(Map<String, Value>);

impl std::fmt::Debug for AppSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AppSettings({} members)", self.0.len())
    }
}

impl From<Map<String, Value>> for AppSettings {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

impl Drop for AppSettings {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

pub(super) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl AppSettings {
    /// The member of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Sets a member.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(mut before) = self.0.insert(name.to_owned(), value.into()) {
            wipe(&mut before);
        }
    }

    /// The member of a name, for changes.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.get_mut(name)
    }

    /// Another one that says the same.
    pub(super) fn copy(&self) -> Self {
        Self(self.0.clone())
    }

    /// Does something with all of it as one value.
    pub(super) fn as_value<T>(&mut self, read: impl FnOnce(&Value) -> T) -> T {
        let value = Value::Object(std::mem::take(&mut self.0));
        let outcome = read(&value);
        if let Value::Object(members) = value {
            self.0 = members;
        }
        outcome
    }
}

impl Document {
    /// A new app.
    pub(super) const fn new(settings: AppSettings, now: Timestamp) -> Self {
        let (disabled_at, previous_secret_until, previous_identity_until) = (None, None, None);
        let (created_at, changed_at) = (now, now);
        Self { settings, created_at, changed_at, disabled_at, previous_secret_until, previous_identity_until }
    }

    /// Opens an entry.
    ///
    /// # Errors
    /// Why it cannot be used; nothing of its content.
    pub(super) fn open(entry: &Entry, sealer: Option<&Sealer>) -> Result<Self, &'static str> {
        let id = AppId::parse(&entry.id).map_err(|_| "its id is none of an app")?;
        let sealer = sealer.ok_or("it is sealed, and no store.seal_keys are configured")?;
        let sealed = URL_SAFE_NO_PAD.decode(&entry.document).map_err(|_| "it is not a sealed document")?;
        let plaintext = sealer.open(SealedFor::App(&id), &sealed).ok_or("none of store.seal_keys opens it")?;
        let document: Self = serde_json::from_slice(&plaintext).map_err(|_| "it is not as this version writes apps")?;
        let same = document.settings.get("id").and_then(Value::as_str) == Some(id.as_str());
        if same { Ok(document) } else { Err("it is another app's") }
    }

    /// The entry to write in the place of the one of `revision`.
    ///
    /// # Errors
    /// [`Code::PayloadTooLarge`]; [`Code::Internal`] if there is no randomness to seal with.
    pub(super) fn seal(
        &self,
        id: &AppId,
        revision: u64,
        sealer: &Sealer,
        entropy: &dyn Entropy,
    ) -> Result<Entry, Denial> {
        let plaintext = serde_json::to_vec(self).map(Zeroizing::new).map_err(|_| Code::Internal)?;
        if plaintext.len() > MAX_DOCUMENT {
            return Err(Denial::because(Code::PayloadTooLarge, "The app's settings are longer than 64 KiB"));
        }
        let sealed = sealer.seal(SealedFor::App(id), &plaintext, entropy).map_err(|_| Code::Internal)?;
        let document = URL_SAFE_NO_PAD.encode(sealed);
        Ok(Entry { kind: EntryKind::App, id: id.as_str().to_owned(), revision, document })
    }

    /// Forgets previous secrets whose time is over.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        if self.previous_secret_until.is_some_and(|until| until <= now) {
            self.previous_secret_until = None;
            if let Some(Value::Array(digests)) = self.settings.get_mut("secret_digests") {
                digests.truncate(1);
            }
        }
        if self.previous_identity_until.is_some_and(|until| until <= now) {
            self.previous_identity_until = None;
            self.settings.end_identity();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sidegate_core::context::seal::new_key;

    use super::*;
    use crate::system::System;

    fn document(id: &str) -> Document {
        let settings = json!({ "id": id, "token": { "key": { "value": "canary" } }, "secret_digests": ["new", "old"] });
        let Value::Object(settings) = settings else { unreachable!("an object") };
        let (created_at, changed_at) = (Timestamp::from_seconds(1), Timestamp::from_seconds(2));
        let previous_secret_until = Some(Timestamp::from_seconds(10));
        let previous_identity_until = None;
        let settings = settings.into();
        Document { settings, created_at, changed_at, disabled_at: None, previous_secret_until, previous_identity_until }
    }

    fn sealer() -> Sealer {
        Sealer::from_text(&new_key(&System).expect("a key")).expect("a sealer")
    }

    #[test]
    fn it_opens_for_its_id_and_keys_only_and_says_why_not() {
        let (sealer, id) = (sealer(), AppId::parse("a").expect("id"));
        let entry = document("a").seal(&id, 3, &sealer, &System).expect("sealed");
        let opened = Document::open(&entry, Some(&sealer)).expect("it opens");
        assert_eq!((opened.created_at, opened.settings.0["id"].as_str()), (Timestamp::from_seconds(1), Some("a")));
        let fault = |entry: &Entry, sealer: Option<&Sealer>| Document::open(entry, sealer).expect_err("refused");
        assert!(fault(&entry, None).contains("no store.seal_keys"));
        assert!(fault(&entry, Some(&self::sealer())).contains("none of store.seal_keys"));
        let other = Entry { id: "b".into(), ..entry.clone() };
        assert!(fault(&other, Some(&sealer)).contains("none of store.seal_keys"));
        let plain = Entry { document: "{}".into(), ..entry };
        assert!(fault(&plain, Some(&sealer)).contains("not a sealed document"));
        let mislabelled = document("b").seal(&id, 1, &sealer, &System).expect("sealed");
        assert_eq!(fault(&mislabelled, Some(&sealer)), "it is another app's");
    }

    #[test]
    fn it_cannot_be_printed() {
        assert!(!format!("{:?}", document("a")).contains("canary"));
    }

    #[test]
    fn one_that_is_too_long_is_refused() {
        let mut document = document("a");
        document.settings.set("origins", "x".repeat(MAX_DOCUMENT));
        let refused = document.seal(&AppId::parse("a").expect("id"), 1, &sealer(), &System).expect_err("refused");
        assert_eq!(refused.code, Code::PayloadTooLarge);
    }

    #[test]
    fn a_previous_secret_is_forgotten_when_its_time_is_over() {
        let mut document = document("a");
        document.tidy(Timestamp::from_seconds(9));
        assert_eq!(document.settings.get("secret_digests"), Some(&json!(["new", "old"])));
        document.tidy(Timestamp::from_seconds(10));
        assert_eq!(document.settings.get("secret_digests"), Some(&json!(["new"])));
        assert_eq!(document.previous_secret_until, None);
    }
}
