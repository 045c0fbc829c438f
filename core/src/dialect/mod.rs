//! The vendors' wire formats. A dialect is a pure translator: it reads a request's head or body
//! into core's words and writes core's results in the vendor's. No I/O, no clock, no decision.

pub mod chat9;
pub mod chatbotkit;
pub mod mitigate;
mod operation;
pub mod orcheo;
pub mod sigmic;
mod verify;

pub use operation::{AnswerUse, BodyUse, Call, NoCall, Operation, methods, route};
pub use verify::{UnverifiedTarget, check_life};

use http::HeaderMap;

use crate::app::TokenPolicy;
use crate::denial::{Code, Denial};
use crate::id::ConversationId;
use crate::message::Reply;
use crate::policy::Issued;
use crate::token::Claims;

/// A vendor's wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Sigmic (seeds/003).
    Sigmic,
    /// Orcheo's ChatKit API (seeds/004).
    Orcheo,
    /// Chat9's widget API (seeds/002).
    Chat9,
    /// Mitigate's embeddable chat (seeds/000).
    Mitigate,
    /// ChatBotKit's widget integrations (seeds/001).
    ChatBotKit,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 5] = [Self::Sigmic, Self::Orcheo, Self::Chat9, Self::Mitigate, Self::ChatBotKit];

    /// Whether the upstream verifies tokens, too, with the key that signs them.
    #[must_use]
    pub const fn shares_key(self) -> bool {
        match self {
            Self::Sigmic | Self::Chat9 | Self::Mitigate | Self::ChatBotKit => false,
            Self::Orcheo => true,
        }
    }

    /// Whether its visitors show tokens.
    #[must_use]
    pub const fn has_tokens(self) -> bool {
        match self {
            Self::Sigmic | Self::Orcheo | Self::Mitigate | Self::ChatBotKit => true,
            Self::Chat9 => false,
        }
    }

    /// Whether the gate keeps a session for each of its visitors.
    #[must_use]
    pub const fn has_sessions(self) -> bool {
        match self {
            Self::Sigmic | Self::Orcheo => false,
            Self::Chat9 | Self::Mitigate | Self::ChatBotKit => true,
        }
    }

    /// Whether its widget lives in a frame of its own, whose origin is then that of its requests.
    #[must_use]
    pub const fn has_frames(self) -> bool {
        match self {
            Self::Sigmic | Self::Orcheo => false,
            Self::Chat9 | Self::Mitigate | Self::ChatBotKit => true,
        }
    }

    /// Whether each of its tokens is for one conversation, so that none needs an owner.
    #[must_use]
    pub const fn names_conversation(self) -> bool {
        matches!(self, Self::ChatBotKit)
    }

    /// What templates may name of a visitor.
    #[must_use]
    pub const fn visitor_fields(self) -> &'static [&'static str] {
        match self {
            Self::Sigmic | Self::Orcheo => &[],
            Self::Chat9 => &chat9::FIELDS,
            Self::Mitigate => &mitigate::FIELDS,
            Self::ChatBotKit => &chatbotkit::FIELDS,
        }
    }

    /// Why a request without any token is refused.
    #[must_use]
    pub const fn without_token(self) -> Code {
        match self {
            Self::Sigmic | Self::Mitigate | Self::ChatBotKit => Code::AuthRequired,
            // Where a workflow is published a page needs none; none is, here.
            Self::Orcheo => Code::NotPublished,
            Self::Chat9 => Code::SessionInvalid,
        }
    }

    /// The widget token of a request, by the dialect's own rules; `None` if it comes without any.
    ///
    /// # Errors
    /// As [`sigmic::bearer`] and [`orcheo::bearer`].
    pub fn token(self, headers: &HeaderMap) -> Result<Option<&str>, Denial> {
        match self {
            Self::Sigmic => sigmic::bearer(headers).map(Some),
            Self::Orcheo => orcheo::bearer(headers),
            // A session is named by the query.
            Self::Chat9 => Ok(None),
            Self::Mitigate => mitigate::bearer(headers).map(Some),
            Self::ChatBotKit => chatbotkit::bearer(headers).map(Some),
        }
    }

    /// Its name in the config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sigmic => "sigmic",
            Self::Orcheo => "orcheo",
            Self::Chat9 => "chat9",
            Self::Mitigate => "mitigate",
            Self::ChatBotKit => "chatbotkit",
        }
    }

    /// The conversation that an answer to [`AnswerUse::RecordOwner`] names; `None` if it is not of the
    /// documented shape.
    #[must_use]
    pub fn created(self, body: &[u8]) -> Option<ConversationId> {
        match self {
            Self::Sigmic => sigmic::created_task(body),
            Self::Orcheo => orcheo::created_attachment(body),
            Self::Chat9 | Self::ChatBotKit => None,
            Self::Mitigate => mitigate::created_chat(body),
        }
    }

    /// A list of conversations with only those that `owned` names, of `owned_total`; `None` if it is not
    /// of the documented shape.
    #[must_use]
    pub fn filter_list(
        self,
        body: &[u8],
        owned_total: u64,
        owned: impl Fn(&ConversationId) -> bool,
    ) -> Option<Vec<u8>> {
        match self {
            Self::Sigmic => sigmic::filter_list(body, owned_total, owned),
            Self::Orcheo => orcheo::filter_list(body, owned),
            Self::Chat9 | Self::Mitigate | Self::ChatBotKit => None,
        }
    }

    /// Whether each of its tokens carries an id.
    #[must_use]
    pub const fn always_has_id(self) -> bool {
        match self {
            Self::Sigmic | Self::Chat9 => false,
            Self::Orcheo | Self::Mitigate | Self::ChatBotKit => true,
        }
    }

    /// A refusal in the vendor's shape.
    #[must_use]
    pub fn refusal(self, denial: &Denial) -> Reply {
        match self {
            Self::Sigmic => sigmic::refusal(denial),
            Self::Orcheo => orcheo::refusal(orcheo::Router::Gateway, denial),
            Self::Chat9 => chat9::refusal(denial),
            Self::Mitigate => mitigate::refusal(denial),
            Self::ChatBotKit => chatbotkit::refusal(denial),
        }
    }

    /// The answer to an exchange in the vendor's shape.
    ///
    /// # Errors
    /// [`Code::Internal`] if the expiry has no textual form; [`Code::JwtNotConfigured`] where there are no tokens.
    pub fn issued(self, issued: &Issued) -> Result<Reply, Denial> {
        match self {
            Self::Sigmic => sigmic::issued(issued),
            Self::Orcheo => orcheo::issued(issued),
            // What they hand out are sessions.
            Self::Chat9 | Self::Mitigate | Self::ChatBotKit => Err(Code::JwtNotConfigured.into()),
        }
    }

    /// Writes and signs a token with the vendor's claims.
    ///
    /// # Errors
    /// As [`crate::token::KeyRing::sign`]; [`Code::JwtNotConfigured`] where there are no tokens.
    pub fn sign(self, policy: &TokenPolicy, claims: &Claims) -> Result<String, Denial> {
        match self {
            Self::Sigmic => sigmic::sign(&policy.keys, claims),
            Self::Orcheo => orcheo::sign(policy, claims),
            Self::Chat9 | Self::Mitigate | Self::ChatBotKit => Err(Code::JwtNotConfigured.into()),
        }
    }
}
