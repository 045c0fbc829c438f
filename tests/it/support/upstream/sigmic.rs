//! The default behaviour: the outlines of Sigmic's task API (contracts, 4.3).

use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use serde_json::{Value, json};

use super::Reply;

const PREFIX: &str = "/api/v1/tasks";

/// Remembers no more than how many tasks were created: `task_1` to `task_N`.
#[derive(Default)]
pub(super) struct Tasks(AtomicUsize);

impl Tasks {
    pub(super) fn answer(&self, method: &Method, path: &str) -> Reply {
        let Some(rest) = path.strip_prefix(PREFIX) else {
            return not_found();
        };
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", []) => self.create(),
            ("GET", []) => self.list(),
            ("GET", [id]) if self.knows(id) => success(&json!({ "id": id, "status": "completed" })),
            ("GET", [id, "history"]) if self.knows(id) => success(&json!([])),
            ("GET", [id, "stream"]) if self.knows(id) => stream(),
            ("POST", [id, "messages"]) if self.knows(id) => success(&json!({ "status": "running" })),
            _ => not_found(),
        }
    }

    fn create(&self) -> Reply {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        success(&json!({ "id": format!("task_{number}"), "status": "pending" }))
    }

    fn list(&self) -> Reply {
        let total = self.0.load(Ordering::SeqCst);
        let task = |n| json!({ "id": format!("task_{n}"), "status": "completed" });
        let data: Vec<Value> = (1..=total).rev().map(task).collect();
        let pagination = json!({ "total": total, "limit": 50, "offset": 0, "hasMore": false });
        Reply::json(200, &json!({ "success": true, "data": data, "pagination": pagination }))
    }

    fn knows(&self, id: &str) -> bool {
        let number = id.strip_prefix("task_").and_then(|number| number.parse().ok());
        number.is_some_and(|number: usize| (1..=self.0.load(Ordering::SeqCst)).contains(&number))
    }
}

fn success(data: &Value) -> Reply {
    Reply::json(200, &json!({ "success": true, "data": data }))
}

/// A reply in full, at once. For live ones a test scripts `Behaviour::sse`.
fn stream() -> Reply {
    let events = "event: history_done\ndata: {\"messageCount\":1,\"isStreaming\":true}\n\n\
        event: content\ndata: {\"text\":\"hello\",\"isPartial\":true}\n\n\
        event: done\ndata: {\"finalResponse\":\"hello\"}\n\n";
    Reply::new(200, events).header("content-type", "text/event-stream")
}

fn not_found() -> Reply {
    let error = json!({ "message": "There is nothing here.", "code": "NOT_FOUND" });
    Reply::json(404, &json!({ "success": false, "error": error }))
}
