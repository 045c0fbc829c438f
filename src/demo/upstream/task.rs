//! One conversation: its messages, and the reply that is being written, if any.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::{Refusal, body::NewMessage, events::Live, reply};

/// How many messages, questions and answers together, one task holds.
pub(super) const MAX_MESSAGES: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Pending,
    Running,
    Completed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    User,
    Assistant,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    pub(super) id: String,
    role: Role,
    content: String,
    created_at: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attached_files: Vec<String>,
}

/// A reply on its way to the browser.
#[derive(Clone)]
pub(super) struct Run {
    /// The events so far. The sender goes when the reply is complete.
    pub(super) events: watch::Receiver<Vec<Live>>,
    /// Told when somebody watches.
    pub(super) watched: Arc<Notify>,
}

/// What a new run needs to do its work.
pub(super) struct Job {
    pub(super) task: String,
    pub(super) text: String,
    pub(super) events: watch::Sender<Vec<Live>>,
    pub(super) watched: Arc<Notify>,
}

#[derive(Clone)]
pub(super) struct Task {
    pub(super) id: String,
    /// The end user that the gate vouched for, if it did.
    pub(super) owner: Option<String>,
    pub(super) listed: bool,
    pub(super) status: Status,
    pub(super) created_at: String,
    pub(super) messages: Vec<Message>,
    pub(super) run: Option<Run>,
}

/// A task as the API shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    id: String,
    status: Status,
    created_at: String,
    message_count: usize,
}

impl Task {
    pub(super) fn summary(&self) -> Summary {
        Summary {
            id: self.id.clone(),
            status: self.status,
            created_at: self.created_at.clone(),
            message_count: self.messages.len(),
        }
    }

    pub(super) fn push(&mut self, role: Role, content: String, files: Vec<String>, now: String) {
        let id = format!("{}_msg_{}", self.id, self.messages.len() + 1);
        let message = Message { id, role, content, created_at: now, attached_files: files };
        self.messages.push(message);
    }

    /// Takes the question and opens a run for its answer.
    pub(super) fn ask(&mut self, asked: NewMessage, now: String) -> Result<Job, Refusal> {
        if self.run.is_some() {
            return Err(conflict("TASK_RUNNING", "The task still answers the last message."));
        }
        // Room for the question and its answer.
        if self.messages.len() + 2 > MAX_MESSAGES {
            return Err(conflict("TASK_FULL", "The task holds as many messages as it may."));
        }
        let text = reply::text(&asked.message, &asked.context);
        self.push(Role::User, asked.message, asked.files, now);
        Ok(self.open_run(text))
    }

    fn open_run(&mut self, text: String) -> Job {
        let (sender, events) = watch::channel(Vec::new());
        let watched = Arc::new(Notify::new());
        self.run = Some(Run { events, watched: Arc::clone(&watched) });
        Job { task: self.id.clone(), text, events: sender, watched }
    }
}

fn conflict(code: &str, message: &str) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, code, message)
}
