//! An app in answers and on the terminal.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use sidegate_core::clock::Timestamp;

use super::known::KnownApp;
use crate::config::Written;

/// An app as it is shown: never its secrets or their digests, its keys, or its templates.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its id.
    pub id: String,
    source: &'static str,
    state: &'static str,
    /// Why it cannot be served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    /// As they may be given back; null if they cannot be read.
    pub settings: Option<Value>,
    secrets: usize,
    keys: usize,
    previous_secret_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_identity_secret_until: Option<String>,
    created_at: Option<String>,
    changed_at: Option<String>,
    disabled_at: Option<String>,
    /// How often it was written, for those of the registry.
    pub revision: Option<u64>,
}

/// An app with its secret, which is shown when it is made and never again.
#[derive(Serialize)]
pub struct WithSecret<'a> {
    #[serde(flatten)]
    app: &'a Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl<'a> WithSecret<'a> {
    /// `app`, and its secret if one was made.
    #[must_use]
    pub fn new(app: &'a Shown, secret: Option<&'a SecretString>) -> Self {
        Self { app, secret: secret.map(|secret| secret.expose_secret()) }
    }
}

impl Shown {
    pub(super) fn configured(id: &str, written: &Written) -> Self {
        Self {
            id: id.to_owned(),
            source: "file",
            state: "active",
            problems: Vec::new(),
            settings: Some(written.settings.clone()),
            secrets: written.secrets,
            keys: written.keys,
            previous_secret_until: None,
            previous_identity_secret_until: None,
            created_at: None,
            changed_at: None,
            disabled_at: None,
            revision: None,
        }
    }

    pub(super) fn kept(id: &str, known: &KnownApp) -> Self {
        let view = known.view.as_ref();
        let time = |at: Option<Timestamp>| at.and_then(Timestamp::rfc3339_millis);
        Self {
            id: id.to_owned(),
            source: "registry",
            state: match (&known.app, view) {
                (_, Some(view)) if view.disabled_at.is_some() => "disabled",
                (Ok(_), _) => "active",
                (Err(_), _) => "unusable",
            },
            problems: known.app.as_ref().err().cloned().unwrap_or_default(),
            settings: view.map(|view| view.written.settings.clone()),
            secrets: view.map_or(0, |view| view.written.secrets),
            keys: view.map_or(0, |view| view.written.keys),
            previous_secret_until: time(view.and_then(|view| view.ends.secret)),
            previous_identity_secret_until: time(view.and_then(|view| view.ends.identity)),
            created_at: time(view.map(|view| view.created_at)),
            changed_at: time(view.map(|view| view.changed_at)),
            disabled_at: time(view.and_then(|view| view.disabled_at)),
            revision: Some(known.revision),
        }
    }
}
