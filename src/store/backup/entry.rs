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

use crate::store::{self, ObjectKind};

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
    /// One that the API keeps.
    Object(Box<Object>),
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

/// An object of the API. Its revision begins anew where it is imported.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) app: AppId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) labels: Vec<(String, String)>,
    pub(super) document: String,
    #[serde(default, skip_serializing_if = "Counts::is_nothing")]
    pub(super) usage: Counts,
}

/// A kind of objects, by its name in a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind(pub(super) ObjectKind);

/// How much an object was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    pub(super) sessions: u64,
    pub(super) messages: u64,
    pub(super) refused: u64,
    pub(super) bytes: u64,
}

impl Counts {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Object {
    pub(super) fn new(object: store::Object, usage: store::Counts) -> Self {
        let store::Object { kind, id, app, parent, labels, document, .. } = object;
        let store::Counts { sessions, messages, refused, bytes } = usage;
        let usage = Counts { sessions, messages, refused, bytes };
        Self { kind: Kind(kind), id, app, parent, labels, document, usage }
    }

    /// As a store keeps it at first.
    pub(super) fn kept(&self) -> store::Object {
        store::Object {
            kind: self.kind.0,
            id: self.id.clone(),
            app: self.app.clone(),
            revision: 1,
            parent: self.parent.clone(),
            labels: self.labels.clone(),
            document: self.document.clone(),
        }
    }

    /// How much it was used, if it was.
    pub(super) fn used(&self) -> Option<store::Usage> {
        let Counts { sessions, messages, refused, bytes } = self.usage;
        let counts = store::Counts { sessions, messages, refused, bytes };
        (!self.usage.is_nothing()).then(|| store::Usage { widget: self.id.clone(), counts })
    }
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

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        ObjectKind::from_name(&name).map(Self).ok_or_else(|| de::Error::custom("no kind of objects"))
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
