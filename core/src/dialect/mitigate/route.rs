//! Mitigate's chat route, and the gate's own routes around it.

use http::Method;

use crate::dialect::{AnswerUse, BodyUse, Call, Dialect, NoCall};
use crate::id::AppId;

/// A chat route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST /api/v1/chats`: a message, in a new chat or one that exists.
    CreateChat,
}

impl Operation {
    /// Every route, in the order of the enum.
    pub const ALL: &[Self] = &[Self::CreateChat];

    /// The route of a path, which is compared as sent.
    fn of(path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|operation| operation.template() == path)
    }

    /// The path.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::CreateChat => "/api/v1/chats",
        }
    }

    /// Its methods, for `Allow` and preflights.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        match self {
            Self::CreateChat => "POST",
        }
    }

    /// What it needs from the request's body.
    #[must_use]
    pub const fn body_use(self) -> BodyUse {
        match self {
            Self::CreateChat => BodyUse::Decide,
        }
    }

    /// What becomes of the upstream's answer.
    #[must_use]
    pub const fn answer_use(self) -> AnswerUse {
        match self {
            Self::CreateChat => AnswerUse::AsAsked,
        }
    }
}

/// Finds the chat route of a path.
///
/// # Errors
/// [`NoCall`].
pub fn route(method: &Method, path: &str) -> Result<Call, NoCall> {
    let operation = Operation::of(path).ok_or(NoCall::UnknownPath)?;
    if method.as_str() != operation.allow() {
        return Err(NoCall::OtherMethod { dialect: Dialect::Mitigate, allow: operation.allow() });
    }
    Ok(Call { operation: crate::dialect::Operation::Mitigate(operation), conversation: None })
}

/// A route of a workspace, for those who have no token yet or an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkspaceRoute {
    /// A visitor comes in.
    Session,
    /// Another token in place of one that is about to end.
    Refresh,
    /// What a widget is told before.
    WidgetConfig,
}

impl WorkspaceRoute {
    /// Every route.
    pub const ALL: [Self; 3] = [Self::Session, Self::Refresh, Self::WidgetConfig];

    /// The route of a path and the workspace in it. Paths are compared as sent: an escape, a dot segment, a doubled or
    /// a trailing slash makes it another path, which is not served.
    #[must_use]
    pub fn of(path: &str) -> Option<(Self, AppId)> {
        let (id, leaf) = path.strip_prefix("/api/v1/workspaces/")?.split_once('/')?;
        let route = Self::ALL.into_iter().find(|route| route.leaf() == leaf)?;
        Some((route, AppId::parse(id).ok()?))
    }

    const fn leaf(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Refresh => "session/refresh",
            Self::WidgetConfig => "widget-config",
        }
    }

    /// The path with `{id}` for the workspace, for logs and metrics.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::Session => "/api/v1/workspaces/{id}/session",
            Self::Refresh => "/api/v1/workspaces/{id}/session/refresh",
            Self::WidgetConfig => "/api/v1/workspaces/{id}/widget-config",
        }
    }

    /// Its methods, for `Allow` and preflights.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        match self {
            Self::Session | Self::Refresh => "POST",
            Self::WidgetConfig => "GET",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chat_route_and_nothing_else_is_found() {
        for (index, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(Operation::of(operation.template()), Some(*operation));
            assert_eq!(*operation as usize, index);
        }
        for path in ["/api/v1/chats/", "/api/v1/chats/1", "/API/v1/chats", "//api/v1/chats", "/api/v1/chat%73", "/", ""]
        {
            assert_eq!(Operation::of(path), None, "{path}");
        }
    }

    #[test]
    fn the_routes_of_a_workspace_are_found() {
        for route in WorkspaceRoute::ALL {
            let path = route.template().replace("{id}", "ws_1");
            let (found, workspace) = WorkspaceRoute::of(&path).expect("a route");
            assert_eq!((found, workspace.as_str()), (route, "ws_1"));
        }
        for path in [
            "/api/v1/workspaces",
            "/api/v1/workspaces/ws_1",
            "/api/v1/workspaces//session",
            "/api/v1/workspaces/ws_1/session/",
            "/api/v1/workspaces/ws_1//session",
            "/api/v1/workspaces/../session",
            "/api/v1/workspaces/ws%5f1/session",
            "/api/v1/workspaces/ws_1/session/refresh/",
            "/api/v1/workspaces/ws_1/embedded_chat.js",
            "/api/v1/workspaces/ws_1/x/session",
            "/api/v1/Workspaces/ws_1/session",
        ] {
            assert_eq!(WorkspaceRoute::of(path), None, "{path}");
        }
    }
}
