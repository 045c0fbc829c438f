//! What a service token may do, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a service token may do, such as `admin:apps:read`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    /// See apps of the registry.
    pub const APPS_READ: &str = "admin:apps:read";
    /// Create, change and disable apps of the registry.
    pub const APPS_WRITE: &str = "admin:apps:write";
    /// See service tokens, never their secrets.
    pub const TOKENS_READ: &str = "admin:tokens:read";
    /// Create, rotate and revoke service tokens.
    pub const TOKENS_WRITE: &str = "admin:tokens:write";
    /// Revoke widget tokens.
    pub const REVOKE: &str = "admin:revoke";

    /// Ask for session tokens of end users (Orcheo).
    pub const CHATKIT_SESSION: &str = "chatkit:session";

    /// Have tokens made that a vendor lets its customer sign.
    pub const TOKENS_MINT: &str = "tokens:mint";

    /// See widgets and blueprints (ChatBotKit).
    pub const WIDGETS_READ: &str = "widgets:read";
    /// Make, change and remove them.
    pub const WIDGETS_WRITE: &str = "widgets:write";
    /// Open sessions with bots and conversations (ChatBotKit).
    pub const CONVERSATIONS: &str = "conversations:session";

    /// Every scope that is asked for anywhere.
    pub const ALL: [&str; 10] = [
        Self::APPS_READ,
        Self::APPS_WRITE,
        Self::TOKENS_READ,
        Self::TOKENS_WRITE,
        Self::REVOKE,
        Self::CHATKIT_SESSION,
        Self::TOKENS_MINT,
        Self::WIDGETS_READ,
        Self::WIDGETS_WRITE,
        Self::CONVERSATIONS,
    ];

    /// What ChatBotKit's API asks for: a token with nothing else looks like the vendor's.
    pub const OF_CHATBOTKIT: [&str; 3] = [Self::WIDGETS_READ, Self::WIDGETS_WRITE, Self::CONVERSATIONS];

    /// What a service token may do that is for workspaces: all else is for apps of every workspace, or of none.
    pub const OF_WORKSPACES: [&str; 2] = [Self::TOKENS_WRITE, Self::CHATKIT_SESSION];

    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScope;

impl fmt::Display for UnknownScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be one of {}", Scope::ALL.join(", "))
    }
}

impl std::error::Error for UnknownScope {}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        if Self::ALL.contains(&text) { Ok(Self(text.to_owned())) } else { Err(UnknownScope) }
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
