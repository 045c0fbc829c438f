//! What a request of a chat route is, whichever vendor's.

use http::Method;

use super::{Dialect, chat9, chatbotkit, mitigate, orcheo, sigmic};
use crate::id::ConversationId;

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
    /// One of ChatBotKit's conversation routes.
    ChatBotKit(chatbotkit::Operation),
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
    let routes = [sigmic::route, orcheo::route, chat9::route, mitigate::route, chatbotkit::route];
    let known = |found: &Result<Call, NoCall>| !matches!(found, Err(NoCall::UnknownPath));
    routes.into_iter().map(|route| route(method, path)).find(known).unwrap_or(Err(NoCall::UnknownPath))
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
const CHATBOTKIT: usize = MITIGATE + mitigate::Operation::ALL.len();

impl Operation {
    /// Every operation, for tables of metrics.
    pub fn all() -> impl Iterator<Item = Self> {
        let sigmic = sigmic::Operation::ALL.iter().copied().map(Self::Sigmic);
        let orcheo = orcheo::Operation::ALL.iter().copied().map(Self::Orcheo);
        let chat9 = chat9::Operation::ALL.iter().copied().map(Self::Chat9);
        let mitigate = mitigate::Operation::ALL.iter().copied().map(Self::Mitigate);
        let chatbotkit = chatbotkit::Operation::ALL.iter().copied().map(Self::ChatBotKit);
        sigmic.chain(orcheo).chain(chat9).chain(mitigate).chain(chatbotkit)
    }

    /// Its place in [`Self::all`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Sigmic(operation) => operation as usize,
            Self::Orcheo(operation) => ORCHEO + operation as usize,
            Self::Chat9(operation) => CHAT9 + operation as usize,
            Self::Mitigate(operation) => MITIGATE + operation as usize,
            Self::ChatBotKit(operation) => CHATBOTKIT + operation as usize,
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
            Self::ChatBotKit(_) => Dialect::ChatBotKit,
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
            Self::ChatBotKit(operation) => operation.template(),
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
            Self::ChatBotKit(operation) => operation.allow(),
        }
    }

    /// Whether it is a message of the visitor's by its route alone. What is asked of Orcheo's gateway, the body says.
    #[must_use]
    pub const fn is_message(self) -> bool {
        match self {
            Self::Sigmic(operation) => {
                matches!(operation, sigmic::Operation::CreateTask | sigmic::Operation::SendMessage)
            }
            Self::Orcheo(_) => false,
            Self::Chat9(operation) => matches!(operation, chat9::Operation::Chat),
            Self::Mitigate(mitigate::Operation::CreateChat) => true,
            Self::ChatBotKit(operation) => operation.is_message(),
        }
    }

    /// Whether its answer may be a stream, likewise.
    #[must_use]
    pub const fn may_stream(self) -> bool {
        match self {
            Self::Sigmic(operation) => matches!(operation, sigmic::Operation::StreamTask),
            Self::Orcheo(_) => false,
            Self::ChatBotKit(chatbotkit::Operation::Receive) => true,
            Self::Chat9(_) | Self::Mitigate(_) | Self::ChatBotKit(_) => self.is_message(),
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
            Self::ChatBotKit(operation) => operation.body_use(),
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
            Self::ChatBotKit(operation) => operation.owned_fields(),
        }
    }

    /// Members of this body that no browser may choose, beside those.
    #[must_use]
    pub fn surplus(self, body: &[u8]) -> Vec<String> {
        match self {
            Self::ChatBotKit(operation) => operation.surplus(body),
            Self::Sigmic(_) | Self::Orcheo(_) | Self::Chat9(_) | Self::Mitigate(_) => Vec::new(),
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
            Self::ChatBotKit(operation) => operation.answer_use(),
        }
    }
}
