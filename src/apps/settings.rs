//! What is filled in where settings leave something open, and what stays when they are replaced.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use sidegate_core::dialect::Dialect;
use sidegate_core::id::AppId;
use sidegate_core::secret::SecretDigest;
use sidegate_core::token::Algorithm;

use super::AppSettings;
use super::document::wipe;

/// How many retired keys an app may have: a token that none of them signed is held against each.
const MAX_RETIRED: usize = 8;

/// The keys of `identity` that are never shown.
const HIDDEN_OF_IDENTITY: [&str; 6] =
    ["encryption_keys", "signing_keys", "mint_signing_key", "mint_encryption_key", "secret", "previous_secret"];
/// How many of them are of workspaces, the others of bots.
const OF_WORKSPACES: usize = 4;

/// The tables of `inject` whose values are templates.
const TEMPLATES: [&str; 3] = ["headers", "query", "body"];

impl AppSettings {
    /// The id, if one is given that is one.
    #[must_use]
    pub fn id(&self) -> Option<AppId> {
        AppId::parse(self.get("id")?.as_str()?).ok()
    }

    /// The algorithm of its keys; that of the default if none is given, or none that is known.
    pub(super) fn algorithm(&self) -> Algorithm {
        let named = self.get("token").and_then(|token| token.get("algorithm")).and_then(Value::as_str);
        let known = Algorithm::ALL.into_iter().find(|algorithm| Some(algorithm.name()) == named);
        known.unwrap_or(Algorithm::Hs256)
    }

    /// The dialect that is named, if one is.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        let named = self.get("dialect").and_then(Value::as_str)?;
        Dialect::ALL.into_iter().find(|dialect| dialect.name() == named)
    }

    /// Whether the token table lacks a member, and one could be put there.
    pub(super) fn lacks_token(&self, name: &str) -> bool {
        match self.get("token") {
            None => true,
            Some(Value::Object(token)) => !token.contains_key(name),
            // A problem when the app is read.
            Some(_) => false,
        }
    }

    /// Puts a member into the token table; makes the table if there is none.
    pub fn set_token(&mut self, name: &str, value: Value) {
        self.set_in("token", name, value);
    }

    fn set_in(&mut self, table: &str, name: &str, value: Value) {
        if self.get(table).is_none() {
            self.set(table, Map::new());
        }
        if let Some(Value::Object(table)) = self.get_mut(table) {
            table.insert(name.to_owned(), value).as_mut().into_iter().for_each(wipe);
        }
    }

    /// Makes `key` the one that signs.
    pub(super) fn set_key(&mut self, key: &SecretString) {
        self.set_token("key", json!({ "value": key.expose_secret() }));
    }

    /// Puts a new secret before those that are there, of which at most one stays.
    pub(super) fn add_secret(&mut self, secret: &SecretString, keep_previous: bool) {
        let new = SecretDigest::of(secret).to_string();
        let before = self.get("secret_digests").and_then(Value::as_array).and_then(|digests| digests.first().cloned());
        let digests: Vec<Value> = std::iter::once(new.into()).chain(before.filter(|_| keep_previous)).collect();
        self.set("secret_digests", digests);
    }

    /// Whether it has a secret for identity tokens.
    pub(super) fn has_identity(&self) -> bool {
        self.get("identity").is_some_and(|identity| identity.get("secret").is_some())
    }

    /// Makes `secret` the one that signs identity tokens; the one that did still verifies, if it is kept.
    pub(super) fn rotate_identity(&mut self, secret: &SecretString, keep_previous: bool) {
        self.end_identity();
        let before = self.get("identity").and_then(|identity| identity.get("secret")).cloned();
        if let Some(before) = before.filter(|_| keep_previous) {
            self.set_in("identity", "previous_secret", before);
        }
        self.set_in("identity", "secret", json!({ "value": secret.expose_secret() }));
    }

    /// Drops the previous secret for identity tokens.
    pub(super) fn end_identity(&mut self) {
        if let Some(Value::Object(identity)) = self.get_mut("identity") {
            identity.remove("previous_secret").as_mut().into_iter().for_each(wipe);
        }
    }

    /// Makes `key` the one that signs, and retires the one that did. Those retired before stay,
    /// unless they are dropped.
    pub(super) fn rotate_key(&mut self, key: &SecretString, drop_retired: bool) {
        let token = self.get("token");
        let before = token.and_then(|token| token.get("key")).cloned();
        let older = token.and_then(|token| token.get("retired_keys")).and_then(Value::as_array).cloned();
        let retired: Vec<Value> =
            before.into_iter().chain(older.filter(|_| !drop_retired).into_iter().flatten()).collect();
        self.set_token("retired_keys", retired.into());
        self.set_key(key);
    }

    /// Whether there are more retired keys than may be.
    pub(super) fn has_too_many_keys(&self) -> bool {
        let retired = self.get("token").and_then(|token| token.get("retired_keys")).and_then(Value::as_array);
        retired.is_some_and(|retired| retired.len() > MAX_RETIRED)
    }

    fn keep(&mut self, before: &Self, table: &str, names: &[&str]) {
        for name in names {
            let given = self.get(table).is_some_and(|table| table.get(name).is_some());
            if let (false, Some(kept)) = (given, before.get(table).and_then(|table| table.get(name))) {
                self.set_in(table, name, kept.clone());
            }
        }
    }

    /// Whether another server or vendor than `before` is to make the tokens.
    fn asks_another(&self, before: &Self) -> bool {
        ["upstream", "vendor"].iter().any(|name| self.get(name) != before.get(name))
    }

    /// Whether the upstream makes the tokens. Where it keeps ChatBotKit's widgets, they are the gate's all the same.
    pub(super) fn is_upstreams(&self) -> bool {
        let is = |name: &str, text: &str| self.get(name).and_then(Value::as_str) == Some(text);
        is("authority", "upstream") && !is("dialect", Dialect::ChatBotKit.name())
    }

    /// Takes over from `before` what these settings leave out because it is never shown: digests of
    /// secrets, keys with their algorithm, and each template, and `trade.realtime`, in whose place null
    /// stands.
    pub(super) fn keep_hidden(&mut self, before: &Self) {
        if let (None, Some(digests)) = (self.get("secret_digests"), before.get("secret_digests")) {
            self.set("secret_digests", digests.clone());
        }
        let hidden: &[(&str, &[&str])] = match self.is_upstreams() {
            false => &[("token", &["algorithm", "key", "retired_keys"])],
            // Another upstream or vendor would be shown what is not for it.
            true if self.asks_another(before) => &[],
            true => &[("trade", &["credential"])],
        };
        for (table, names) in hidden {
            self.keep(before, table, names);
        }
        let kind = |settings: &Self| settings.get("authorize").and_then(|rule| rule.get("kind")).cloned();
        if kind(self).is_some() && kind(self) == kind(before) {
            self.keep(before, "authorize", &["secret_digests", "keys"]);
        }
        // Whoever gives another secret may want to be rid of the one before, too.
        let replaced = self.has_identity();
        let kept = if replaced { &HIDDEN_OF_IDENTITY[..OF_WORKSPACES] } else { &HIDDEN_OF_IDENTITY };
        self.keep(before, "identity", kept);
        self.keep(before, "challenge", &["secret"]);
        let realtime = before.get("trade").and_then(|trade| trade.get("realtime"));
        let given = self.get_mut("trade").and_then(|trade| trade.get_mut("realtime"));
        if let (Some(kept), Some(given @ Value::Null)) = (realtime, given) {
            *given = kept.clone();
        }
        for table in TEMPLATES {
            let kept = before.get("inject").and_then(|inject| inject.get(table));
            let given = self.get_mut("inject").and_then(|inject| inject.get_mut(table)).and_then(Value::as_object_mut);
            for (name, template) in given.into_iter().flatten().filter(|(_, template)| template.is_null()) {
                if let Some(kept) = kept.and_then(|kept| kept.get(name)) {
                    *template = kept.clone();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(value: Value) -> AppSettings {
        let Value::Object(members) = value else { unreachable!("an object") };
        members.into()
    }

    fn value(mut settings: AppSettings) -> Value {
        settings.as_value(Clone::clone)
    }

    #[test]
    fn what_is_never_shown_stays_unless_it_is_given() {
        let before = || {
            settings(json!({
                "secret_digests": ["d"], "origins": ["o"],
                "token": { "algorithm": "ES256", "key": "k", "retired_keys": ["r"], "ttl": "1h" },
                "inject": { "headers": { "A": "a", "B": "b" }, "body": { "/c": true } },
            }))
        };
        let mut bare = settings(json!({ "id": "x" }));
        bare.keep_hidden(&before());
        let keys = json!({ "algorithm": "ES256", "key": "k", "retired_keys": ["r"] });
        assert_eq!(value(bare), json!({ "id": "x", "secret_digests": ["d"], "token": keys }));
        let given = json!({
            "secret_digests": ["e"], "token": { "algorithm": "EdDSA", "key": "l", "retired_keys": [] },
            "inject": { "headers": { "A": null, "B": "z", "C": null }, "body": { "/c": null } },
        });
        let mut full = settings(given);
        full.keep_hidden(&before());
        let expected = json!({
            "secret_digests": ["e"], "token": { "algorithm": "EdDSA", "key": "l", "retired_keys": [] },
            "inject": { "headers": { "A": "a", "B": "z", "C": null }, "body": { "/c": true } },
        });
        assert_eq!(value(full), expected);
    }

    #[test]
    fn settings_of_any_shape_are_taken_without_panic() {
        for odd in
            [json!(null), json!(1), json!("x"), json!([null]), json!({ "headers": 1, "key": 1, "retired_keys": 1 })]
        {
            for name in ["id", "token", "inject", "secret_digests"] {
                let mut settings = settings(json!({ name: odd.clone() }));
                settings.keep_hidden(&self::settings(json!({ name: odd.clone(), "token": odd.clone() })));
                settings.rotate_key(&"k".into(), false);
                settings.add_secret(&"s".into(), true);
                let _ =
                    (settings.id(), settings.algorithm(), settings.lacks_token("key"), settings.has_too_many_keys());
            }
        }
    }

    #[test]
    fn a_rotation_retires_the_key_that_signed() {
        let mut settings =
            settings(json!({ "token": { "key": { "value": "1" }, "retired_keys": [{ "value": "0" }] } }));
        settings.rotate_key(&"2".into(), false);
        settings.rotate_key(&"3".into(), true);
        settings.rotate_key(&"4".into(), false);
        let retired = json!([{ "value": "3" }, { "value": "2" }]);
        assert_eq!(value(settings), json!({ "token": { "key": { "value": "4" }, "retired_keys": retired } }));
    }

    #[test]
    fn a_new_secret_leaves_one_before_it_at_most() {
        let mut settings = settings(json!({}));
        for (secret, keep, left) in [("a", true, 1), ("b", true, 2), ("c", true, 2), ("d", false, 1)] {
            settings.add_secret(&secret.into(), keep);
            let digests = settings.get("secret_digests").and_then(Value::as_array).expect("a list");
            assert_eq!(
                (digests.len(), digests[0].as_str()),
                (left, Some(&*SecretDigest::of(&secret.into()).to_string()))
            );
        }
    }
}
