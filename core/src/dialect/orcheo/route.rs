//! Orcheo's chat routes.

use http::Method;

use crate::dialect::{AnswerUse, BodyUse, Call, Dialect, NoCall};

/// Where customers' servers ask for a token of an end user.
pub const SESSION_PATH: &str = "/api/chatkit/session";

/// Where pages ask for one: the route of the vendor's guide.
pub const TOKEN_PATH: &str = "/chatkit-token";

/// Where pages ask for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRoute {
    /// [`TOKEN_PATH`].
    Guide,
    /// The first one, where pages of OpenAI's ChatKit ask for theirs by convention.
    Start,
    /// Another one, in place of one that the body names.
    Refresh,
    /// One for OpenAI's Realtime API.
    Realtime,
}

impl TokenRoute {
    const ALL: [Self; 4] = [Self::Guide, Self::Start, Self::Refresh, Self::Realtime];

    /// The route of a path, which is compared as sent.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.path() == path)
    }

    /// The path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Guide => TOKEN_PATH,
            Self::Start => "/api/chatkit/start",
            Self::Refresh => "/api/chatkit/refresh",
            Self::Realtime => "/api/realtime/client_secrets",
        }
    }
}

/// A chat route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST /api/chatkit`: every request of the ChatKit protocol, told apart by its body's `type`.
    Gateway,
    /// `POST /api/chatkit/upload`: a file.
    Upload,
}

impl Operation {
    /// Every route, in the order of the enum.
    pub const ALL: &[Self] = &[Self::Gateway, Self::Upload];

    /// The path.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::Gateway => "/api/chatkit",
            Self::Upload => "/api/chatkit/upload",
        }
    }

    pub(in crate::dialect) const fn body_use(self) -> BodyUse {
        match self {
            Self::Gateway => BodyUse::Decide,
            Self::Upload => BodyUse::Form,
        }
    }

    pub(in crate::dialect) const fn answer_use(self) -> AnswerUse {
        match self {
            Self::Gateway => AnswerUse::AsAsked,
            Self::Upload => AnswerUse::RecordUpload,
        }
    }
}

/// Finds the chat route of a path, which is compared as sent.
///
/// # Errors
/// [`NoCall`].
pub fn route(method: &Method, path: &str) -> Result<Call, NoCall> {
    let operation = Operation::ALL.iter().find(|operation| operation.template() == path).ok_or(NoCall::UnknownPath)?;
    if method != Method::POST {
        return Err(NoCall::OtherMethod { dialect: Dialect::Orcheo, allow: "POST" });
    }
    Ok(Call { operation: crate::dialect::Operation::Orcheo(*operation), conversation: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_uploads_and_nothing_else_are_found() {
        for operation in Operation::ALL {
            let call = route(&Method::POST, operation.template()).expect("a route");
            assert_eq!(call.operation, crate::dialect::Operation::Orcheo(*operation));
        }
        for path in ["/api/chatkit/", "/api/chatkit/session", "/API/chatkit", "//api/chatkit", "/api/chatki%74", "/"] {
            assert_eq!(route(&Method::POST, path), Err(NoCall::UnknownPath), "{path}");
        }
        let other = NoCall::OtherMethod { dialect: Dialect::Orcheo, allow: "POST" };
        assert_eq!(route(&Method::GET, "/api/chatkit"), Err(other));
        assert_eq!(route(&Method::PUT, "/api/chatkit/upload"), Err(other));
    }
}
