//! The token of a session: the vendor's JWT, which names one conversation and what it may do.

use std::borrow::Cow;

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::dialect::orcheo::{self, Workspaces};
use crate::id::ConversationId;
use crate::leash::Leash;
use crate::token::{Claims, KeyRing};

/// What `aud` says: this dialect's marker, without which a token is one of another.
pub const AUDIENCE: &str = "enduser/conversation";

/// Where [`Claims::details`] have them.
const CONVERSATION: &str = "conversationId";
const FEATURES: &str = "features";

/// The claims as they stand in the token.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireClaims<'a> {
    /// The session's id.
    pub sub: Cow<'a, str>,
    /// What the session may do.
    pub options: Options<'a>,
    /// The conversation.
    pub conversation_id: Cow<'a, str>,
    /// The owner, which is the app.
    pub user_id: Cow<'a, str>,
    /// Issued at, in seconds.
    pub iat: u64,
    /// Expires at, in seconds.
    pub exp: u64,
    /// [`AUDIENCE`].
    pub aud: Cow<'a, str>,
}

/// What a session may do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Options<'a> {
    engine: Engine<'a>,
    limits: Limits<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Engine<'a> {
    features: Vec<Feature<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Feature<'a> {
    name: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Limits<'a> {
    special: Special<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Special<'a> {
    rate: Rate<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Rate<'a> {
    id: Cow<'a, str>,
}

impl<'a> Options<'a> {
    fn new(features: &[&'a str], limiter: &'a str) -> Self {
        let features = features.iter().map(|name| Feature { name: Cow::from(*name) }).collect();
        let rate = Rate { id: limiter.into() };
        Self { engine: Engine { features }, limits: Limits { special: Special { rate } } }
    }
}

impl TryFrom<WireClaims<'_>> for Claims {
    type Error = Denial;

    fn try_from(wire: WireClaims<'_>) -> Result<Self, Denial> {
        let invalid = |_| Denial::from(Code::InvalidToken);
        if wire.aud != AUDIENCE {
            return Err(Code::InvalidToken.into());
        }
        let conversation = ConversationId::parse(&wire.conversation_id).map_err(invalid)?;
        Ok(Self {
            app: wire.user_id.parse().map_err(invalid)?,
            subject: wire.sub.parse().map_err(invalid)?,
            origins: Vec::new(),
            id: Some(wire.sub.parse().map_err(invalid)?),
            workflow: None,
            workspaces: Workspaces::default(),
            leash: Leash::default(),
            details: details(&conversation, &wire.features()),
            issued_at: Timestamp::from_seconds(wire.iat),
            not_before: None,
            expires_at: Timestamp::from_seconds(wire.exp),
        })
    }
}

impl WireClaims<'_> {
    fn features(&self) -> Vec<&str> {
        self.options.engine.features.iter().map(|feature| &*feature.name).collect()
    }
}

/// [`Claims::details`] of a session of this conversation, which may do this.
#[must_use]
pub fn details(conversation: &ConversationId, features: &[&str]) -> Map<String, Value> {
    Map::from_iter([(CONVERSATION.to_owned(), json!(conversation)), (FEATURES.to_owned(), json!(features))])
}

/// The conversation that a token of this dialect is for.
///
/// # Errors
/// [`Code::InvalidToken`] for claims of another dialect.
pub fn conversation(claims: &Claims) -> Result<ConversationId, Denial> {
    let id = claims.details.get(CONVERSATION).and_then(Value::as_str).ok_or(Code::InvalidToken)?;
    ConversationId::parse(id).map_err(|_| Code::InvalidToken.into())
}

/// Whether a token's conversation may do this.
#[must_use]
pub fn has_feature(claims: &Claims, name: &str) -> bool {
    features(claims).any(|feature| feature == name)
}

/// What a token's conversation may do.
pub(super) fn features(claims: &Claims) -> impl Iterator<Item = &str> {
    claims.details.get(FEATURES).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Signs `claims` for a session of this conversation. The vendor's server keeps a limit for each session, under its id.
///
/// # Errors
/// [`Code::Internal`] for claims without an id, which are not made for this dialect; else as [`KeyRing::sign`].
pub fn sign(
    keys: &KeyRing,
    claims: &Claims,
    conversation: &ConversationId,
    features: &[&str],
) -> Result<String, Denial> {
    let id = claims.id.as_ref().ok_or(Code::Internal)?.as_str();
    keys.sign_without_typ(&WireClaims {
        sub: id.into(),
        options: Options::new(features, id),
        conversation_id: conversation.as_str().into(),
        user_id: claims.app.as_str().into(),
        iat: claims.issued_at.seconds(),
        exp: claims.expires_at.seconds(),
        aud: AUDIENCE.into(),
    })
}

/// The token of a request: `Authorization: Bearer …`, once.
///
/// # Errors
/// [`Code::AuthRequired`] without any, [`Code::InvalidAuthFormat`] for another scheme or several fields.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Denial> {
    orcheo::bearer(headers)?.ok_or_else(|| Code::AuthRequired.into())
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
