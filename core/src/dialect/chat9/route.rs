//! Chat9's widget routes (contracts 3.2).

use http::Method;

use super::body::OWNED_FIELDS;
use crate::dialect::{AnswerUse, BodyUse, Call, Dialect, NoCall};

/// Where pages ask for a session.
pub const INIT_PATH: &str = "/widget/session/init";

/// Below which customers' servers work on identity secrets.
pub const KYC_PATH: &str = "/tenants/me/kyc";

/// A widget route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST /widget/chat`.
    Chat,
    /// `GET /widget/history`.
    History,
    /// `POST /widget/escalate`.
    Escalate,
    /// `GET /widget/config`.
    Config,
    /// `GET /widget/health`.
    Health,
}

impl Operation {
    /// Every route, in the order of the enum.
    pub const ALL: &[Self] = &[Self::Chat, Self::History, Self::Escalate, Self::Config, Self::Health];

    /// The path.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::Chat => "/widget/chat",
            Self::History => "/widget/history",
            Self::Escalate => "/widget/escalate",
            Self::Config => "/widget/config",
            Self::Health => "/widget/health",
        }
    }

    /// The method.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Chat | Self::Escalate => "POST",
            Self::History | Self::Config | Self::Health => "GET",
        }
    }

    /// Whether it is about a session.
    #[must_use]
    pub const fn needs_session(self) -> bool {
        match self {
            Self::Chat | Self::History | Self::Escalate => true,
            Self::Config | Self::Health => false,
        }
    }

    pub(in crate::dialect) const fn body_use(self) -> BodyUse {
        match self {
            Self::Chat | Self::Escalate => BodyUse::Decide,
            Self::History | Self::Config | Self::Health => BodyUse::None,
        }
    }

    pub(in crate::dialect) const fn owned_fields(self) -> &'static [&'static str] {
        match self {
            Self::Chat | Self::Escalate => OWNED_FIELDS,
            Self::History | Self::Config | Self::Health => &[],
        }
    }

    pub(in crate::dialect) const fn answer_use(self) -> AnswerUse {
        match self {
            Self::Chat | Self::History | Self::Escalate => AnswerUse::WatchEnd,
            Self::Config | Self::Health => AnswerUse::Pass,
        }
    }
}

/// Whether a path is one of the widget's routes that name their bot in the query.
#[must_use]
pub fn is_widget(path: &str) -> bool {
    Operation::ALL.iter().any(|operation| operation.template() == path)
}

/// Finds the widget route of a path, which is compared as sent.
///
/// # Errors
/// [`NoCall`].
pub fn route(method: &Method, path: &str) -> Result<Call, NoCall> {
    let found = Operation::ALL.iter().copied().find(|operation| operation.template() == path);
    let operation = found.ok_or(NoCall::UnknownPath)?;
    if method.as_str() != operation.method() {
        return Err(NoCall::OtherMethod { dialect: Dialect::Chat9, allow: operation.method() });
    }
    Ok(Call { operation: crate::dialect::Operation::Chat9(operation), conversation: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_and_nothing_else() {
        for (index, operation) in Operation::ALL.iter().copied().enumerate() {
            let method = operation.method().parse().expect("a method");
            let call = route(&method, operation.template()).expect("a route");
            assert_eq!(call.operation, crate::dialect::Operation::Chat9(operation));
            assert_eq!(operation as usize, index);
            let other = NoCall::OtherMethod { dialect: Dialect::Chat9, allow: operation.method() };
            assert_eq!(route(&Method::DELETE, operation.template()), Err(other));
        }
        for path in ["/widget", "/widget/", "/widget/chat/", "/widget/Chat", "/widget/../widget/chat", INIT_PATH] {
            assert_eq!(route(&Method::POST, path), Err(NoCall::UnknownPath), "{path}");
        }
    }
}
