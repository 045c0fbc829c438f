//! The handles by which a test moves a behaviour on.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};

use super::behaviour::Step;

/// Lets a held answer go. Dropped, it lets go too.
pub struct Release(pub(super) watch::Sender<bool>);

impl Release {
    pub fn release(&self) {
        self.0.send_replace(true);
    }
}

/// Speaks for a scripted body, which ends when this is dropped.
pub struct StreamHandle(pub(super) mpsc::UnboundedSender<Step>);

impl StreamHandle {
    fn step(&self, step: Step) {
        assert!(self.0.send(step).is_ok(), "the peer of this stream has gone");
    }

    pub fn chunk(&self, bytes: impl Into<Bytes>) {
        self.step(Step::Chunk(bytes.into()));
    }

    /// A chunk, if the peer is still there; whether it is.
    pub fn offer(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Step::Chunk(bytes.into())).is_ok()
    }

    /// An event named `name`.
    pub fn event(&self, name: &str, data: &serde_json::Value) {
        self.chunk(format!("event: {name}\ndata: {data}\n\n"));
    }

    pub fn end(&self) {
        self.step(Step::End);
    }

    /// Breaks off without a proper end: closes (HTTP/1.1), resets the stream (HTTP/2).
    pub fn abort(&self) {
        self.step(Step::Abort);
    }

    /// Resets the TCP connection. Let the peer have the chunks first: a reset may undo them.
    pub fn reset(&self) {
        self.step(Step::Reset);
    }

    /// Until the peer has closed this stream.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// Lets the upstream read a request body.
pub struct ReadHandle(pub(super) Arc<Semaphore>);

impl ReadHandle {
    /// This many frames more; the end of the body counts as one.
    pub fn frames(&self, n: usize) {
        self.0.add_permits(n);
    }

    /// The rest.
    pub fn all(&self) {
        self.0.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}
