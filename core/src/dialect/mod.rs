//! The vendors' wire formats. A dialect is a pure translator: it reads a request's head or body
//! into core's words and writes core's results in the vendor's. No I/O, no clock, no decision.

pub mod chat9;
pub mod chatbotkit;
pub mod mitigate;
pub mod orcheo;
pub mod sigmic;
mod verify;

pub use verify::UnverifiedTarget;

use http::{HeaderMap, Method};

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
}

/// What a call on the public listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// One of Sigmic's chat routes.
    Sigmic(sigmic::Operation),
    /// One of Orcheo's chat routes.
    Orcheo(orcheo::Operation),
    /// One of Chat9's widget routes.
    Chat9(chat9::Operation),
    /// One of Mitigate's chat routes.
    Mitigate(mitigate::Operation),
}

/// What an operation needs from the request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyUse {
    /// It has none; a body that is sent is refused.
    None,
    /// JSON, rewritten where the app injects fields.
    Json,
    /// JSON as above, or a form with files that passes as it comes.
    JsonOrForm,
    /// A form with a file, of a size that the app says, that passes as it comes.
    Form,
    /// JSON that says what is asked for: read, allowed or refused, and bound to what the token names.
    Decide,
}

/// What becomes of the upstream's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerUse {
    /// It passes, chunk by chunk.
    Pass,
    /// It names a new conversation, whose owner is recorded before it passes.
    RecordOwner,
    /// It names a new attachment, whose owner is recorded, and where the server keeps it, which is removed.
    RecordUpload,
    /// Its events begin with a new conversation, whose owner is recorded before they pass.
    RecordOwnerOfStream,
    /// It lists conversations, and only the caller's pass.
    FilterList,
    /// What the request's body asks for decides.
    AsAsked,
    /// It may name a new conversation, whose owner is then recorded before it passes.
    RecordOwnerIfNamed,
    /// It may say that the session has ended, which is then closed before that passes.
    WatchEnd,
}

/// A recognised call: what it is, and the conversation that its path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it is.
    pub operation: Operation,
    /// The conversation in the path.
    pub conversation: Option<ConversationId>,
}

/// Why a path and method are no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCall {
    /// No route has this path.
    UnknownPath,
    /// A route has it, for these methods.
    OtherMethod {
        /// Whose route.
        dialect: Dialect,
        /// For `Allow` and preflights.
        allow: &'static str,
    },
}

/// Finds the call of a path. The route fixes the dialect; no header or token changes it.
///
/// # Errors
/// [`NoCall`].
pub fn route(method: &Method, path: &str) -> Result<Call, NoCall> {
    let routes =
        [sigmic::route, orcheo::route, chat9::route, mitigate::route].into_iter().map(|route| route(method, path));
    let known = |found: &Result<Call, NoCall>| !matches!(found, Err(NoCall::UnknownPath));
    routes.into_iter().find(known).unwrap_or(Err(NoCall::UnknownPath))
}

/// The dialect and methods of a path, whatever the method; for preflights.
#[must_use]
pub fn methods(path: &str) -> Option<(Dialect, &'static str)> {
    match route(&Method::OPTIONS, path) {
        Err(NoCall::OtherMethod { dialect, allow }) => Some((dialect, allow)),
        _ => None,
    }
}

/// The place of a dialect's first operation in [`Operation::all`].
const ORCHEO: usize = sigmic::Operation::ALL.len();
const CHAT9: usize = ORCHEO + orcheo::Operation::ALL.len();
const MITIGATE: usize = CHAT9 + chat9::Operation::ALL.len();

impl Operation {
    /// Every operation, for tables of metrics.
    pub fn all() -> impl Iterator<Item = Self> {
        let sigmic = sigmic::Operation::ALL.iter().copied().map(Self::Sigmic);
        let orcheo = orcheo::Operation::ALL.iter().copied().map(Self::Orcheo);
        let chat9 = chat9::Operation::ALL.iter().copied().map(Self::Chat9);
        sigmic.chain(orcheo).chain(chat9).chain(mitigate::Operation::ALL.iter().copied().map(Self::Mitigate))
    }

    /// Its place in [`Self::all`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Sigmic(operation) => operation as usize,
            Self::Orcheo(operation) => ORCHEO + operation as usize,
            Self::Chat9(operation) => CHAT9 + operation as usize,
            Self::Mitigate(operation) => MITIGATE + operation as usize,
        }
    }

    /// Whose route it is.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Sigmic(_) => Dialect::Sigmic,
            Self::Orcheo(_) => Dialect::Orcheo,
            Self::Chat9(_) => Dialect::Chat9,
            Self::Mitigate(_) => Dialect::Mitigate,
        }
    }

    /// The route's template, for logs and metrics: `/api/v1/tasks/{id}/stream`.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::Sigmic(operation) => operation.template(),
            Self::Orcheo(operation) => operation.template(),
            Self::Chat9(operation) => operation.template(),
            Self::Mitigate(operation) => operation.template(),
        }
    }

    /// Its method.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Sigmic(sigmic::Operation::CreateTask | sigmic::Operation::SendMessage) | Self::Orcheo(_) => "POST",
            Self::Sigmic(_) => "GET",
            Self::Chat9(operation) => operation.method(),
            Self::Mitigate(operation) => operation.allow(),
        }
    }

    /// What it needs from the request's body.
    #[must_use]
    pub const fn body_use(self) -> BodyUse {
        match self {
            Self::Sigmic(operation) => operation.body_use(),
            Self::Orcheo(operation) => operation.body_use(),
            Self::Chat9(operation) => operation.body_use(),
            Self::Mitigate(operation) => operation.body_use(),
        }
    }

    /// Members of a JSON body that a browser may not choose; removed unless the app injects them.
    #[must_use]
    pub const fn owned_fields(self) -> &'static [&'static str] {
        match self {
            Self::Sigmic(operation) => operation.owned_fields(),
            Self::Orcheo(_) => &[],
            Self::Chat9(operation) => operation.owned_fields(),
            // What is not a browser's was set when the body was checked.
            Self::Mitigate(_) => &[],
        }
    }

    /// What becomes of the upstream's answer.
    #[must_use]
    pub const fn answer_use(self) -> AnswerUse {
        match self {
            Self::Sigmic(operation) => operation.answer_use(),
            Self::Orcheo(operation) => operation.answer_use(),
            Self::Chat9(operation) => operation.answer_use(),
            Self::Mitigate(operation) => operation.answer_use(),
        }
    }
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 4] = [Self::Sigmic, Self::Orcheo, Self::Chat9, Self::Mitigate];

    /// Whether the upstream verifies tokens, too, with the key that signs them.
    #[must_use]
    pub const fn shares_key(self) -> bool {
        match self {
            Self::Sigmic | Self::Chat9 | Self::Mitigate => false,
            Self::Orcheo => true,
        }
    }

    /// Whether its visitors show tokens.
    #[must_use]
    pub const fn has_tokens(self) -> bool {
        match self {
            Self::Sigmic | Self::Orcheo | Self::Mitigate => true,
            Self::Chat9 => false,
        }
    }

    /// Whether the gate keeps a session for each of its visitors.
    #[must_use]
    pub const fn has_sessions(self) -> bool {
        match self {
            Self::Sigmic | Self::Orcheo => false,
            Self::Chat9 | Self::Mitigate => true,
        }
    }

    /// Whether its widget lives in a frame of its own, whose origin is then that of its requests.
    #[must_use]
    pub const fn has_frames(self) -> bool {
        match self {
            Self::Sigmic | Self::Orcheo => false,
            Self::Chat9 | Self::Mitigate => true,
        }
    }

    /// What templates may name of a visitor.
    #[must_use]
    pub const fn visitor_fields(self) -> &'static [&'static str] {
        match self {
            Self::Sigmic | Self::Orcheo => &[],
            Self::Chat9 => &chat9::FIELDS,
            Self::Mitigate => &mitigate::FIELDS,
        }
    }

    /// Why a request without any token is refused.
    #[must_use]
    pub const fn without_token(self) -> Code {
        match self {
            Self::Sigmic | Self::Mitigate => Code::AuthRequired,
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
        }
    }

    /// The conversation that an answer to [`AnswerUse::RecordOwner`] names; `None` if it is not of the
    /// documented shape.
    #[must_use]
    pub fn created(self, body: &[u8]) -> Option<ConversationId> {
        match self {
            Self::Sigmic => sigmic::created_task(body),
            Self::Orcheo => orcheo::created_attachment(body),
            Self::Chat9 => None,
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
            Self::Chat9 | Self::Mitigate => None,
        }
    }

    /// Whether each of its tokens carries an id.
    #[must_use]
    pub const fn always_has_id(self) -> bool {
        match self {
            Self::Sigmic | Self::Chat9 => false,
            Self::Orcheo | Self::Mitigate => true,
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
            Self::Chat9 | Self::Mitigate => Err(Code::JwtNotConfigured.into()),
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
            Self::Chat9 | Self::Mitigate => Err(Code::JwtNotConfigured.into()),
        }
    }
}
