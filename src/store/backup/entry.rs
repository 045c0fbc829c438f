//! The lines of a backup. Their form is a promise: a change of it is a new version.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, ConversationId, EndUserId, TokenId};
use sidegate_core::revocation::Revocation;
use sidegate_core::service_token::ServiceToken;

pub(super) const FORMAT: &str = "sidegate-store";
pub(super) const VERSION: u64 = 1;

/// The longest line, its end included. A context is some KiB.
pub(super) const MAX_LINE: usize = 64 * 1024 * 1024;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u64,
    pub(super) exported_at: Timestamp,
}

/// Every other line: an object with one member.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Context(Context),
    Owner(Owner),
    Use(Use),
    Revocation(Revoked),
    /// One of the registry, its secret as a digest.
    ServiceToken(Box<ServiceToken>),
    /// One of the registry.
    App(App),
    /// The last one.
    End(End),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    pub(super) app: AppId,
    pub(super) token: TokenId,
    pub(super) sealed: Sealed,
    pub(super) expires_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    pub(super) id: AppId,
    pub(super) sealed: Sealed,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Owner {
    pub(super) app: AppId,
    pub(super) end_user: EndUserId,
    pub(super) conversation: ConversationId,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Use {
    pub(super) app: AppId,
    pub(super) token: TokenId,
    pub(super) until: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoked {
    pub(super) revocation: Revocation,
    pub(super) until: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// The lines between the header and this one.
    pub(super) entries: u64,
}

/// A sealed context or app in unpadded base64url.
#[derive(Debug)]
pub(super) struct Sealed(pub(super) Bytes);

impl Sealed {
    pub(super) fn from_text(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok().map(|bytes| Self(bytes.into()))
    }

    pub(super) fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| de::Error::custom("no base64url"))
    }
}
