//! A token's own env and secrets, and the templates that place them into forwarded requests.

pub mod inject;
pub mod place;
pub mod seal;
pub mod template;

use std::borrow::Cow;
use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::denial::{Code, Denial};
use crate::id::{AppId, TokenId};

/// The env and secrets of one token: server-side values that never reach a browser. Of a chat session
/// beside, what is known of its visitor.
#[derive(Clone, Debug, Default)]
pub struct SessionContext {
    env: BTreeMap<String, SecretString>,
    secrets: BTreeMap<String, SecretString>,
    /// Vouched for by the customer's server.
    user: BTreeMap<String, SecretString>,
    /// What the visitor says, and nobody has checked.
    unverified: BTreeMap<String, SecretString>,
}

/// Whose context it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextKey<'a> {
    /// The app that the token was issued for.
    pub app: &'a AppId,
    /// The token's `jti`.
    pub token: &'a TokenId,
}

/// How much context one token may carry.
#[derive(Clone, Copy, Debug)]
pub struct ContextLimits {
    /// Names in `env` and `secrets` together.
    pub max_entries: usize,
    /// Bytes of one name.
    pub max_name: usize,
    /// Bytes of one value.
    pub max_value: usize,
    /// Bytes of all names and values together.
    pub max_total: usize,
}

/// As [`SessionContext`], readable by serde: exists only between a check and a seal, or an opening
/// and its reader.
#[derive(Serialize, Deserialize)]
struct Plain<'a> {
    #[serde(borrow)]
    env: Texts<'a>,
    #[serde(borrow)]
    secrets: Texts<'a>,
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    user: Texts<'a>,
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    unverified: Texts<'a>,
}

type Texts<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

impl SessionContext {
    /// The same with a secret under a name of the dialect's own, which it has bounded.
    #[must_use]
    pub fn and_secret(mut self, name: &str, value: SecretString) -> Self {
        self.secrets.insert(name.to_owned(), value);
        self
    }

    /// Checks names (`^[A-Za-z_][A-Za-z0-9_]*$`) and sizes.
    ///
    /// # Errors
    /// [`Code::InvalidEnv`], naming the key, never the value.
    pub fn new(
        env: Vec<(String, SecretString)>,
        secrets: Vec<(String, SecretString)>,
        limits: &ContextLimits,
    ) -> Result<Self, Denial> {
        if env.len() + secrets.len() > limits.max_entries {
            return Err(invalid(format!("env and secrets may have at most {} entries together", limits.max_entries)));
        }
        let mut total = 0;
        for (field, name, value) in
            env.iter().map(|(name, value)| ("env", name, value)).chain(secrets.iter().map(|(n, v)| ("secrets", n, v)))
        {
            check_entry(field, name, value.expose_secret(), limits)?;
            total += name.len() + value.expose_secret().len();
        }
        if total > limits.max_total {
            return Err(invalid(format!("env and secrets may have at most {} bytes together", limits.max_total)));
        }
        Ok(Self { env: env.into_iter().collect(), secrets: secrets.into_iter().collect(), ..Self::default() })
    }

    /// What is known of a visitor: names and values of the dialect's own, which it has bounded.
    #[must_use]
    pub fn of_user(user: impl IntoIterator<Item = (String, String)>) -> Self {
        let user = user.into_iter().map(|(name, value)| (name, value.into())).collect();
        Self { user, ..Self::default() }
    }

    /// The same with something that a visitor says, and nobody has checked.
    #[must_use]
    pub fn and_unverified(mut self, name: &str, value: String) -> Self {
        self.unverified.insert(name.to_owned(), value.into());
        self
    }

    /// Whether there is nothing to keep; such a token carries no `jti`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.env.is_empty() && self.secrets.is_empty() && self.user.is_empty() && self.unverified.is_empty()
    }

    /// The value of `{{user.NAME}}`.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&SecretString> {
        self.user.get(name)
    }

    /// The value of `{{unverified.NAME}}`.
    #[must_use]
    pub fn unverified(&self, name: &str) -> Option<&SecretString> {
        self.unverified.get(name)
    }

    /// The value of `{{env.NAME}}`.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&SecretString> {
        self.env.get(name)
    }

    /// The value of `{{secrets.NAME}}`.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&SecretString> {
        self.secrets.get(name)
    }

    /// The value of `{{mcp.NAME}}`: secrets win over env (Sigmic, "Environment Variables & Secrets").
    #[must_use]
    pub fn mcp(&self, name: &str) -> Option<&SecretString> {
        self.secret(name).or_else(|| self.env(name))
    }

    /// The plaintext that is sealed: JSON, wiped when dropped.
    ///
    /// # Errors
    /// [`Code::Internal`] if it cannot be written, which no context that passed [`Self::new`] is.
    pub fn to_plaintext(&self) -> Result<Zeroizing<Vec<u8>>, Denial> {
        let plain = Plain {
            env: borrow(&self.env),
            secrets: borrow(&self.secrets),
            user: borrow(&self.user),
            unverified: borrow(&self.unverified),
        };
        serde_json::to_vec(&plain).map(Zeroizing::new).map_err(|_| Code::Internal.into())
    }

    /// Reads what [`Self::to_plaintext`] wrote; `None` if it did not.
    #[must_use]
    pub fn from_plaintext(plaintext: &[u8]) -> Option<Self> {
        let plain: Plain<'_> = serde_json::from_slice(plaintext).ok()?;
        let keep = |map: Texts<'_>| {
            map.into_iter().map(|(name, value)| (name.into_owned(), SecretString::from(value.into_owned()))).collect()
        };
        Some(Self {
            env: keep(plain.env),
            secrets: keep(plain.secrets),
            user: keep(plain.user),
            unverified: keep(plain.unverified),
        })
    }
}

fn borrow(map: &BTreeMap<String, SecretString>) -> Texts<'_> {
    map.iter().map(|(name, value)| (name.into(), value.expose_secret().into())).collect()
}

fn check_entry(field: &str, name: &str, value: &str, limits: &ContextLimits) -> Result<(), Denial> {
    let shown = printable(name);
    if name.len() > limits.max_name {
        return Err(invalid(format!("{field}: the name \"{shown}\"… is longer than {} bytes", limits.max_name)));
    }
    if !is_variable_name(name) {
        return Err(invalid(format!(
            "{field}: the name \"{shown}\" must be letters, digits and underscores, and not start with a digit"
        )));
    }
    if value.len() > limits.max_value {
        return Err(invalid(format!("{field}: the value of \"{shown}\" is longer than {} bytes", limits.max_value)));
    }
    Ok(())
}

fn invalid(message: String) -> Denial {
    Denial::because(Code::InvalidEnv, message)
}

/// A name from outside, fit for a message: its first 64 characters, escaped.
pub(crate) fn printable(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

/// `^[A-Za-z_][A-Za-z0-9_]*$`.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    name.bytes()
        .enumerate()
        .all(|(index, byte)| byte == b'_' || byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit()))
        && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ContextLimits = ContextLimits { max_entries: 3, max_name: 8, max_value: 16, max_total: 32 };

    fn entries(pairs: &[(&str, &str)]) -> Vec<(String, SecretString)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
    }

    fn refusal(env: &[(&str, &str)], secrets: &[(&str, &str)]) -> String {
        let denial = SessionContext::new(entries(env), entries(secrets), &LIMITS).expect_err("a refusal");
        assert_eq!(denial.code, Code::InvalidEnv);
        denial.message.into_owned()
    }

    #[test]
    fn secrets_win_over_env_for_mcp() {
        let context = SessionContext::new(entries(&[("A", "env"), ("B", "b")]), entries(&[("A", "secret")]), &LIMITS)
            .expect("ok");
        assert_eq!(context.mcp("A").map(ExposeSecret::expose_secret), Some("secret"));
        assert_eq!(context.mcp("B").map(ExposeSecret::expose_secret), Some("b"));
        assert_eq!(context.env("A").map(ExposeSecret::expose_secret), Some("env"));
        assert!(context.secret("B").is_none());
    }

    #[test]
    fn refusals_name_the_key_and_never_the_value() {
        assert!(refusal(&[("1A", "canary")], &[]).contains("env: the name \"1A\""));
        assert!(refusal(&[], &[("A-B", "canary")]).contains("secrets: the name \"A-B\""));
        assert!(refusal(&[("", "canary")], &[]).contains("\"\""));
        assert!(refusal(&[("A\n", "canary")], &[]).contains("A\\n"));
        let long = refusal(&[("A", "canary-canary-canary")], &[]);
        assert!(long.contains("\"A\"") && !long.contains("canary"));
        assert!(refusal(&[("A", ""), ("B", "")], &[("C", ""), ("D", "")]).contains("at most 3"));
        assert!(refusal(&[("A", "0123456789abcdef"), ("B", "0123456789abcdef")], &[]).contains("32 bytes"));
        assert!(refusal(&[("ABCDEFGHI", "")], &[]).contains("8 bytes"));
    }

    #[test]
    fn plaintext_round_trips() {
        let context = SessionContext::new(entries(&[("A", "é\"\n")]), entries(&[("B", "s")]), &LIMITS).expect("ok");
        let read = SessionContext::from_plaintext(&context.to_plaintext().expect("JSON")).expect("our own");
        assert_eq!(read.env("A").map(ExposeSecret::expose_secret), Some("é\"\n"));
        assert_eq!(read.secret("B").map(ExposeSecret::expose_secret), Some("s"));
        assert!(!format!("{read:?}").contains('é'));
    }
}
