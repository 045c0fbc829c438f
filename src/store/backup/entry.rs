//! The lines of a backup. Their form is a promise: a change of it is a new version.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, ConversationId, EndUserId, SessionDigest, TokenId};
use sidegate_core::revocation::Revocation;
use sidegate_core::service_token::ServiceToken;
use sidegate_core::session::ResumeKey;

use crate::store;

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
    Session(Session),
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

/// A chat session.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    pub(super) app: AppId,
    pub(super) session: SessionDigest,
    pub(super) sealed: Sealed,
    /// By what its visitor finds it again, if that one may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resume: Option<Sealed>,
    pub(super) opened_at: Timestamp,
    pub(super) active_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) started: bool,
    pub(super) closed: bool,
}

impl Session {
    pub(super) fn new(app: AppId, session: SessionDigest, kept: store::Session) -> Self {
        Self {
            app,
            session,
            sealed: Sealed(kept.sealed),
            resume: kept.resume.map(|key| Sealed(Bytes::copy_from_slice(key.as_bytes()))),
            opened_at: kept.opened_at,
            active_at: kept.active_at,
            expires_at: kept.expires_at,
            started: kept.started,
            closed: kept.closed,
        }
    }

    /// As a store keeps it. What is no key finds nothing.
    pub(super) fn kept(&self) -> store::Session {
        store::Session {
            sealed: self.sealed.0.clone(),
            resume: self.resume.as_ref().and_then(|key| ResumeKey::from_bytes(&key.0)),
            opened_at: self.opened_at,
            active_at: self.active_at,
            expires_at: self.expires_at,
            started: self.started,
            closed: self.closed,
        }
    }
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

/// A sealed context, session or app, in unpadded base64url.
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
