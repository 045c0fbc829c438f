//! Streams and WebSockets end when what admitted them does, silent or not, and say why.

mod aborts;
mod disconnect;
mod draining;
mod keep_alive;
mod last_words;
mod revoked;
mod tether;
mod websocket;

use http::Method;
use reqwest::Response;
use serde_json::Value;

use crate::support::admin::done;
use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, StreamHandle, Upstream};
use crate::support::wire::{stream_path, within};

/// The last event of a stream whose token has expired, as Sigmic's pages get it.
pub const EXPIRED: &str =
    "event: sidegate.expired\ndata: {\"code\":\"TOKEN_EXPIRED\",\"message\":\"The token has expired\"}\n\n";
/// The same where it was revoked.
pub const REVOKED: &str =
    "event: sidegate.expired\ndata: {\"code\":\"TOKEN_REVOKED\",\"message\":\"The token has been revoked\"}\n\n";

/// A stream of events that a page has opened with a token, after its first one.
pub async fn opened(upstream: &Upstream, gate: &Gate, token: &str) -> (Response, StreamHandle) {
    let path = stream_path(gate, token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let answer = within(gate.chat(Method::GET, &path, token).send()).await.expect("an answer");
    begun(answer, stream).await
}

/// A stream of events that has begun.
pub async fn begun(mut answer: Response, stream: StreamHandle) -> (Response, StreamHandle) {
    assert_eq!(answer.status(), 200);
    passes(&mut answer, &stream).await;
    (answer, stream)
}

/// Asserts that an event passes.
pub async fn passes(answer: &mut Response, stream: &StreamHandle) {
    stream.chunk("data: 1\n\n");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), "data: 1\n\n");
}

/// What comes until the end, which must be a proper one.
pub async fn rest(answer: Response) -> String {
    within(answer.text()).await.expect("a clean end")
}

/// Revokes something.
pub async fn revoke(gate: &Gate, body: Value) {
    done(gate, Method::POST, "/admin/v1/revocations", body).await;
}

/// The data of the one event that came.
pub fn data_of(event: &str) -> Value {
    let data = event.strip_prefix("event: sidegate.expired\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
    serde_json::from_str(data.unwrap_or_else(|| panic!("no last event: {event:?}"))).expect("JSON")
}
