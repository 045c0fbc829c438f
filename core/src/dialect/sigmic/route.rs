//! Sigmic's chat routes (docs.sigmic.ai: tasks, streaming).

use http::Method;

use crate::dialect::{AnswerUse, BodyUse, Call, Dialect, NoCall};
use crate::id::ConversationId;

/// Where customers' servers exchange credentials for tokens.
pub const EXCHANGE_PATH: &str = "/api/v1/auth/token";

/// A chat route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST /api/v1/tasks`.
    CreateTask,
    /// `GET /api/v1/tasks`.
    ListTasks,
    /// `GET /api/v1/tasks/{id}`.
    GetTask,
    /// `GET /api/v1/tasks/{id}/history`.
    TaskHistory,
    /// `GET /api/v1/tasks/{id}/stream`.
    StreamTask,
    /// `POST /api/v1/tasks/{id}/messages`.
    SendMessage,
}

impl Operation {
    /// Every route, in the order of the enum.
    pub const ALL: &[Self] =
        &[Self::CreateTask, Self::ListTasks, Self::GetTask, Self::TaskHistory, Self::StreamTask, Self::SendMessage];

    /// The path with `{id}` for the task.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::CreateTask | Self::ListTasks => "/api/v1/tasks",
            Self::GetTask => "/api/v1/tasks/{id}",
            Self::TaskHistory => "/api/v1/tasks/{id}/history",
            Self::StreamTask => "/api/v1/tasks/{id}/stream",
            Self::SendMessage => "/api/v1/tasks/{id}/messages",
        }
    }

    pub(in crate::dialect) const fn body_use(self) -> BodyUse {
        match self {
            Self::CreateTask => BodyUse::JsonOrForm,
            Self::SendMessage => BodyUse::Json,
            Self::ListTasks | Self::GetTask | Self::TaskHistory | Self::StreamTask => BodyUse::None,
        }
    }

    /// Members of the body that are the customer's server's to choose, never a browser's: they fill
    /// the upstream's own `{{mcp.KEY}}` templates (docs.sigmic.ai, tasks/create).
    pub(in crate::dialect) const fn owned_fields(self) -> &'static [&'static str] {
        match self {
            Self::CreateTask => &["env", "secrets"],
            _ => &[],
        }
    }

    pub(in crate::dialect) const fn answer_use(self) -> AnswerUse {
        match self {
            Self::CreateTask => AnswerUse::RecordOwner,
            Self::ListTasks => AnswerUse::FilterList,
            Self::GetTask | Self::TaskHistory | Self::StreamTask | Self::SendMessage => AnswerUse::Pass,
        }
    }
}

/// Finds the chat route of a path. Paths are compared as sent: an escape, a dot segment, a doubled
/// or a trailing slash makes it another path, which is not served.
///
/// # Errors
/// [`NoCall`].
pub fn route(method: &Method, path: &str) -> Result<Call, NoCall> {
    let rest = path.strip_prefix("/api/v1/tasks").ok_or(NoCall::UnknownPath)?;
    if rest.is_empty() {
        return collection(method);
    }
    let rest = rest.strip_prefix('/').ok_or(NoCall::UnknownPath)?;
    let (id, leaf) = rest.split_once('/').map_or((rest, None), |(id, leaf)| (id, Some(leaf)));
    let (operation, wanted, allow) = match leaf {
        None => (Operation::GetTask, Method::GET, "GET"),
        Some("history") => (Operation::TaskHistory, Method::GET, "GET"),
        Some("stream") => (Operation::StreamTask, Method::GET, "GET"),
        Some("messages") => (Operation::SendMessage, Method::POST, "POST"),
        Some(_) => return Err(NoCall::UnknownPath),
    };
    let conversation = ConversationId::parse(id).map_err(|_| NoCall::UnknownPath)?;
    if *method != wanted {
        return Err(NoCall::OtherMethod { dialect: Dialect::Sigmic, allow });
    }
    Ok(call(operation, Some(conversation)))
}

fn collection(method: &Method) -> Result<Call, NoCall> {
    match *method {
        Method::POST => Ok(call(Operation::CreateTask, None)),
        Method::GET => Ok(call(Operation::ListTasks, None)),
        _ => Err(NoCall::OtherMethod { dialect: Dialect::Sigmic, allow: "GET, POST" }),
    }
}

const fn call(operation: Operation, conversation: Option<ConversationId>) -> Call {
    Call { operation: crate::dialect::Operation::Sigmic(operation), conversation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_route_is_found() {
        for (method, path, operation) in [
            (Method::POST, "/api/v1/tasks", Operation::CreateTask),
            (Method::GET, "/api/v1/tasks", Operation::ListTasks),
            (Method::GET, "/api/v1/tasks/t1", Operation::GetTask),
            (Method::GET, "/api/v1/tasks/t1/history", Operation::TaskHistory),
            (Method::GET, "/api/v1/tasks/t1/stream", Operation::StreamTask),
            (Method::POST, "/api/v1/tasks/t1/messages", Operation::SendMessage),
        ] {
            let found = route(&method, path).expect("a route");
            assert_eq!(found.operation, crate::dialect::Operation::Sigmic(operation));
            assert_eq!(found.conversation.is_some(), path.contains("t1"));
        }
    }

    #[test]
    fn nothing_else_is() {
        for path in [
            "/",
            "",
            "/api/v1",
            "/api/v1/tasks/",
            "/api/v1/tasksx",
            "/api/v1/tasks//stream",
            "/api/v1/tasks/../admin",
            "/api/v1/tasks/%2e%2e",
            "/api/v1/tasks/t1/",
            "/api/v1/tasks/t1/stream/",
            "/api/v1/tasks/t1/delete",
            "/API/v1/tasks",
            "//api/v1/tasks",
            "/api/v1/tasks/t1%2fstream",
            "/api/v1/./tasks",
            "/api/v1/auth/token",
        ] {
            assert_eq!(route(&Method::GET, path), Err(NoCall::UnknownPath), "{path}");
        }
        let other = NoCall::OtherMethod { dialect: Dialect::Sigmic, allow: "GET, POST" };
        assert_eq!(route(&Method::DELETE, "/api/v1/tasks"), Err(other));
    }

    #[test]
    fn operations_are_numbered_in_order() {
        for (index, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(*operation as usize, index);
        }
    }
}
