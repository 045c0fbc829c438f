//! The `…/stream` of a task: its history, then, if a reply is under way, that reply as
//! it is written. Also the writing itself ([`execute`]).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use super::{
    Service,
    task::{Job, Task},
};

/// A silent stream says so this often, or a proxy would take it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A reply starts when somebody watches, or after this. The wait lets a person who types
/// the calls by hand see it being written.
const PATIENCE: Duration = Duration::from_secs(30);

/// One event of a reply.
#[derive(Debug, Clone)]
pub(super) struct Live {
    name: &'static str,
    data: Value,
}

impl Live {
    fn new(name: &'static str, data: Value) -> Self {
        Self { name, data }
    }

    /// The event as sent. JSON text has no raw line break, so one `data` line holds it.
    fn wire(&self) -> String {
        format!("event: {}\ndata: {}\n\n", self.name, self.data)
    }
}

/// The stream of `task`: it ends after `history_done` when the task is idle, after `done`
/// otherwise.
pub(super) fn body(task: Task) -> Body {
    let past = stream::iter([history(&task)]);
    let live = task.run.map(|run| {
        run.watched.notify_one();
        stream::unfold(Cursor { events: run.events, sent: 0 }, Cursor::advance)
    });
    let live = stream::iter(live).flatten();
    Body::from_stream(past.chain(live).map(Ok::<_, Infallible>))
}

fn history(task: &Task) -> Bytes {
    let messages = task.messages.iter().map(|message| Live::new("history_message", json!(message)));
    let summary = json!({
        "messageCount": task.messages.len(),
        "isStreaming": task.run.is_some(),
    });
    let events = messages.chain([Live::new("history_done", summary)]);
    events.map(|event| event.wire()).collect::<String>().into()
}

/// How far one watcher has come in a reply.
struct Cursor {
    events: watch::Receiver<Vec<Live>>,
    sent: usize,
}

impl Cursor {
    async fn advance(mut self) -> Option<(Bytes, Self)> {
        loop {
            let news = self.unsent();
            if !news.is_empty() {
                return Some((news.into(), self));
            }
            match timeout(HEARTBEAT, self.events.changed()).await {
                Ok(Ok(())) => {}
                // The writer is gone and everything was sent.
                Ok(Err(_)) => return None,
                Err(_) => return Some((Bytes::from_static(b":heartbeat\n\n"), self)),
            }
        }
    }

    fn unsent(&mut self) -> String {
        let events = self.events.borrow_and_update();
        let news = events.iter().skip(self.sent).map(Live::wire).collect();
        self.sent = events.len();
        news
    }
}

/// Writes the reply of `job`, one piece at a time.
pub(super) async fn execute(service: Arc<Service>, job: Job) {
    // Unwatched is fine, too: the reply is then found in the history.
    let _ = timeout(PATIENCE, job.watched.notified()).await;
    service.tasks.start(&job.task);
    for event in script(&job.text) {
        job.events.send_modify(|events| events.push(event));
        tokio::time::sleep(service.settings.pace).await;
    }
    let done = Live::new("done", json!({ "finalResponse": job.text }));
    // Before `done`, so that whoever sees it may send the next message at once.
    service.tasks.complete(&job.task, job.text, (service.settings.now)());
    job.events.send_modify(|events| events.push(done));
}

fn script(text: &str) -> impl Iterator<Item = Live> {
    let opening = [
        Live::new("status", json!({ "status": "connecting" })),
        Live::new("status", json!({ "status": "processing" })),
        Live::new("thought", json!({ "text": "Looking at the context that came along." })),
    ];
    let piece = |text| Live::new("content", json!({ "text": text, "isPartial": true }));
    opening.into_iter().chain(text.split_inclusive(' ').map(piece))
}
