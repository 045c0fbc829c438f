//! What the upstream remembers of its requests, and the counts that tests wait for.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Uri, Version, request::Parts};
use http_body::Frame;

use super::Shared;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    /// In the order in which `HeaderMap` keeps them: first arrival of each name. For the
    /// very bytes see [`Upstream::raw`].
    pub headers: HeaderMap,
    pub body: Bytes,
    /// False when the peer broke off, or the behaviour did not read to the end.
    pub body_complete: bool,
    /// Connections are counted from 1.
    pub connection: usize,
}

impl Recorded {
    /// The header's first value, or "" when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Counts that only grow, but for `open`. Tests wait for them.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Connections accepted, and those still open.
    pub connections: usize,
    pub open: usize,
    /// Request heads seen; requests recorded (the body read, or not meant to be).
    pub heads: usize,
    pub recorded: usize,
    /// Body bytes taken off the wire, over all requests.
    pub body_bytes: usize,
    /// Requests that the peer gave up on before they were answered to the end.
    pub cancelled: usize,
    /// `WebSocket`s whose peer has gone.
    pub websockets_closed: usize,
}

/// To answer to the end. Hyper drops what it holds when the peer leaves, so a pledge that
/// is dropped unkept means that the request was cancelled.
pub(super) struct Pledge {
    pub(super) shared: Arc<Shared>,
    kept: bool,
}

impl Pledge {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), kept: false }
    }

    pub(super) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Pledge {
    fn drop(&mut self) {
        if !self.kept {
            self.shared.advance(|seen| seen.cancelled += 1);
        }
    }
}

/// A request being recorded; it is entered when dropped, complete or not.
pub(super) struct Record {
    request: Recorded,
    body: BytesMut,
    pub(super) complete: bool,
    shared: Arc<Shared>,
}

impl Record {
    pub(super) fn new(head: &Parts, connection: usize, shared: Arc<Shared>) -> Self {
        let request = Recorded {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            headers: head.headers.clone(),
            body: Bytes::new(),
            body_complete: false,
            connection,
        };
        Self { request, body: BytesMut::new(), complete: false, shared }
    }

    pub(super) fn take(&mut self, frame: Frame<Bytes>) {
        let Ok(bytes) = frame.into_data() else { return };
        self.body.extend_from_slice(&bytes);
        self.shared.advance(|seen| seen.body_bytes += bytes.len());
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let mut request = self.request.clone();
        request.body = self.body.split().freeze();
        request.body_complete = self.complete;
        self.shared.requests.lock().unwrap().push(request);
        self.shared.advance(|seen| seen.recorded += 1);
    }
}
