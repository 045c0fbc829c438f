//! Messages that come with a new session (ChatBotKit) are said in its conversation at once, one after the other, as any
//! of its requests would say them; what the bot says to them is in the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::json;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chatbotkit::{Author, Message, Operation};
use sidegate_core::dialect::{self, Call};
use tokio::time::{Instant, timeout_at};

use super::Peer;
use super::service::Common;
use crate::admit::admit_opened;
use crate::forward::{AnswerBody, Failure, Forward, Refused, forward};
use crate::limits::{Sender, Told};
use crate::registry::Registered;
use crate::sessions::Conversation;
use crate::store::Counts;
use crate::widgets::Served;
use crate::wire::ClientBody;

/// For all messages of a session together: who opens it waits for them.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who has sent them.
pub(super) struct Caller<'a> {
    pub(super) common: &'a Common,
    pub(super) peer: &'a Peer,
    pub(super) told: &'a Told,
    pub(super) request_id: &'a HeaderValue,
    pub(super) parts: &'a Parts,
    pub(super) registered: &'a Arc<Registered>,
    pub(super) widget: Option<&'a Arc<Served>>,
}

/// What was said, and why it ended before its end.
pub(super) struct Said {
    pub(super) messages: Vec<Message>,
    pub(super) failed: Option<Denial>,
}

impl Caller<'_> {
    /// Says messages after `first`, until the upstream fails: the session stands all the same.
    pub(super) async fn say(&self, opened: &Conversation, first: Vec<Message>, messages: Vec<Message>) -> Said {
        let (mut said, deadline) = (Said { messages: first, failed: None }, Instant::now() + PATIENCE);
        for message in messages {
            if message.author == Author::Bot {
                said.messages.push(message);
                continue;
            }
            let answered = timeout_at(deadline, self.say_one(opened, &message.text, deadline)).await;
            said.messages.push(message);
            match answered.unwrap_or_else(|_| Err(Failure::ResponseTimeout.into())) {
                Ok(text) => said.messages.push(Message { author: Author::Bot, text }),
                Err(Refused { denial, failure }) => {
                    if let Some(failure) = failure {
                        self.common.metrics.failure(failure);
                    }
                    said.failed = Some(denial);
                    return said;
                }
            }
        }
        said
    }

    async fn say_one(&self, opened: &Conversation, text: &str, ends_at: Instant) -> Result<String, Refused> {
        let gate = &self.common.gate;
        let conversation = sidegate_core::dialect::chatbotkit::conversation(&opened.claims)?;
        let path = format!("{}/conversation/{}/complete", prefix(self.parts.uri.path()), conversation.as_str());
        let call =
            Call { operation: dialect::Operation::ChatBotKit(Operation::Complete), conversation: Some(conversation) };
        let sender = Sender { address: self.peer.client(gate, &self.parts.headers), told: self.told };
        let admission = admit_opened(gate, self.registered, opened, call, (self.widget, sender)).await?;
        let request = Forward {
            client: &self.common.client,
            metrics: &self.common.metrics,
            limits: &gate.limits,
            body_timeout: gate.listen.body_timeout,
            store: &gate.store,
            now: gate.now(),
            forwarded: self.peer.forwarded(&self.parts.headers, None),
            admission: &admission,
            request_id: self.request_id.clone(),
            ends_at,
            leashes: &self.common.leashes,
        };
        let (parts, body) = self.complete(&path, text)?;
        let text =
            answer_text(forward(&request, parts, ClientBody::Read(body)).await?, gate.limits.read_answer).await?;
        if let Some(served) = admission.widget() {
            gate.widgets.tally.add(&served.widget.id, Counts { messages: 1, ..Counts::default() });
        }
        Ok(text)
    }

    /// The request by which the page itself would say it.
    fn complete(&self, path: &str, text: &str) -> Result<(Box<Parts>, Bytes), Denial> {
        let body = Bytes::from(json!({ "text": text }).to_string());
        let json = HeaderValue::from_static("application/json");
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(CONTENT_TYPE, json.clone())
            .header(ACCEPT, json)
            .header(CONTENT_LENGTH, body.len());
        let mut parts = request.body(()).map_err(|_| Code::Internal)?.into_parts().0;
        parts.headers.extend(self.parts.headers.get(ORIGIN).map(|origin| (ORIGIN, origin.clone())));
        Ok((Box::new(parts), body))
    }
}

/// What stands before the routes of the path that was asked for, which the upstream then knows as well.
fn prefix(path: &str) -> &'static str {
    if path.starts_with("/api/") { "/api/v1" } else { "/v1" }
}

/// What the bot says.
async fn answer_text(answer: Response<AnswerBody>, most: usize) -> Result<String, Refused> {
    #[derive(Deserialize)]
    struct Complete {
        text: String,
    }
    if !answer.status().is_success() {
        return Err(Code::UpstreamRefused.into());
    }
    let body = match answer.into_body() {
        AnswerBody::Full(bytes) => bytes,
        AnswerBody::Streamed(streamed) => {
            let limited = http_body_util::Limited::new(*streamed, most);
            limited.collect().await.map_err(|_| Failure::Unreadable)?.to_bytes()
        }
        AnswerBody::Listed(_) | AnswerBody::Tunnel(_) => return Err(Failure::Unreadable.into()),
    };
    let complete: Complete = serde_json::from_slice(&body).map_err(|_| Failure::Unreadable)?;
    Ok(complete.text)
}
