//! A worker's upstream connections. A pool belongs to one thread, so it needs no lock.

use std::cell::RefCell;

use hyper::client::conn::http2;
use tokio::time::Instant;

use super::Upstream;
use super::http1::Http1;
use super::request_body::RequestBody;
use crate::wire::Scratch;

/// Idle HTTP/1.1 connections that one worker keeps for one upstream.
const MAX_IDLE: usize = 256;

/// A worker's connections, by upstream index.
#[derive(Default)]
pub(super) struct Pool {
    upstreams: RefCell<Vec<Connections>>,
}

#[derive(Default)]
struct Connections {
    #[expect(clippy::vec_box, reason = "a connection moves at each request")]
    idle: Vec<Box<Http1>>,
    http2: Option<http2::SendRequest<RequestBody>>,
}

impl Pool {
    /// A connection that another request left behind, checked for a close that has arrived. The
    /// last one used comes first: it is the least likely to be stale.
    pub(super) fn take(&self, upstream: &Upstream, scratch: &Scratch) -> Option<Box<Http1>> {
        let now = Instant::now();
        self.with(upstream, |connections| {
            while let Some(mut connection) = connections.idle.pop() {
                if is_fresh(&connection, upstream, now) && connection.is_ready(scratch) {
                    return Some(connection);
                }
            }
            None
        })
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, upstream: &Upstream, mut connection: Box<Http1>) {
        connection.set_idle();
        self.with(upstream, |connections| {
            if connections.idle.len() < MAX_IDLE {
                connections.idle.push(connection);
            }
        });
    }

    /// The shared HTTP/2 connection, if there is a live one.
    pub(super) fn http2(&self, upstream: &Upstream) -> Option<http2::SendRequest<RequestBody>> {
        self.with(upstream, |connections| {
            connections.http2.take_if(|sender| sender.is_closed());
            connections.http2.clone()
        })
    }

    pub(super) fn put_http2(&self, upstream: &Upstream, sender: http2::SendRequest<RequestBody>) {
        self.with(upstream, |connections| connections.http2 = Some(sender));
    }

    /// Closes connections that have idled too long.
    pub(super) fn sweep(&self, upstream: &Upstream) {
        let now = Instant::now();
        self.with(upstream, |connections| connections.idle.retain(|connection| is_fresh(connection, upstream, now)));
    }

    fn with<T>(&self, upstream: &Upstream, run: impl FnOnce(&mut Connections) -> T) -> T {
        let mut upstreams = self.upstreams.borrow_mut();
        if upstreams.len() <= upstream.index {
            upstreams.resize_with(upstream.index + 1, Connections::default);
        }
        run(&mut upstreams[upstream.index])
    }
}

fn is_fresh(connection: &Http1, upstream: &Upstream, now: Instant) -> bool {
    connection.idle_since().is_none_or(|since| now.duration_since(since) < upstream.settings.pool_idle)
}
