//! A worker's upstream connections. A pool belongs to one thread, so it needs no lock.

use std::cell::RefCell;

use hyper::client::conn::http2;

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
    idle: Vec<Idle>,
    http2: Option<http2::SendRequest<RequestBody>>,
}

/// A connection that waits for its next request.
struct Idle {
    connection: Box<Http1>,
    /// How many sweeps it has seen.
    sweeps: u64,
}

impl Pool {
    /// A connection that another request left behind, checked for a close that has arrived. The
    /// last one used comes first: it is the least likely to be stale.
    pub(super) fn take(&self, upstream: &Upstream, scratch: &Scratch) -> Option<Box<Http1>> {
        self.with(upstream, |connections| {
            while let Some(mut idle) = connections.idle.pop() {
                if idle.connection.is_ready(scratch) {
                    return Some(idle.connection);
                }
            }
            None
        })
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, upstream: &Upstream, connection: Box<Http1>) {
        self.with(upstream, |connections| {
            if connections.idle.len() < MAX_IDLE {
                connections.idle.push(Idle { connection, sweeps: 0 });
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

    /// Closes connections that have idled too long. Called every second, and counts by that: the
    /// clock is not asked at each request.
    pub(super) fn sweep(&self, upstream: &Upstream) {
        let longest = upstream.settings.pool_idle.as_secs();
        self.with(upstream, |connections| {
            connections.idle.retain_mut(|idle| {
                idle.sweeps += 1;
                idle.sweeps <= longest
            });
        });
    }

    fn with<T>(&self, upstream: &Upstream, run: impl FnOnce(&mut Connections) -> T) -> T {
        let mut upstreams = self.upstreams.borrow_mut();
        if upstreams.len() <= upstream.index {
            upstreams.resize_with(upstream.index + 1, Connections::default);
        }
        run(&mut upstreams[upstream.index])
    }
}
