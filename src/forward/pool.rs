//! A worker's upstream connections. A pool belongs to one thread, so it needs no lock.
//!
//! An upstream that a reload has retired has no connections here, and its place may be another one's: requests that
//! were admitted before open their own, and leave none behind.

use std::cell::RefCell;

use hyper::client::conn::http2;

use super::Upstream;
use super::http1::Http1;
use super::request_body::RequestBody;
use crate::wire::Scratch;

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
        if upstream.is_retired() {
            return None;
        }
        self.with(upstream, |connections| {
            while let Some(mut idle) = connections.idle.pop() {
                if idle.connection.is_ready(scratch) {
                    return Some(idle.connection);
                }
            }
            None
        })
    }

    /// Keeps a connection for the next request; in all, as many as there may be requests at once.
    /// Fewer would be opened and closed all the time by many clients that come in waves.
    pub(super) fn put(&self, upstream: &Upstream, connection: Box<Http1>) {
        let keeps = longest(upstream) > 0 && !upstream.is_retired();
        if !keeps {
            return;
        }
        self.with(upstream, |connections| {
            if connections.idle.len() < upstream.settings.max_requests {
                connections.idle.push(Idle { connection, sweeps: 0 });
            }
        });
    }

    /// Closes the connections to an upstream that is one no more: another one may get its place.
    pub(super) fn close(&self, upstream: &Upstream) {
        self.with(upstream, |connections| *connections = Connections::default());
    }

    /// The shared HTTP/2 connection, if there is a live one.
    pub(super) fn http2(&self, upstream: &Upstream) -> Option<http2::SendRequest<RequestBody>> {
        if upstream.is_retired() {
            return None;
        }
        self.with(upstream, |connections| {
            connections.http2.take_if(|sender| sender.is_closed());
            connections.http2.clone()
        })
    }

    pub(super) fn put_http2(&self, upstream: &Upstream, sender: http2::SendRequest<RequestBody>) {
        if !upstream.is_retired() {
            self.with(upstream, |connections| connections.http2 = Some(sender));
        }
    }

    /// Closes connections that could idle too long before the next sweep. Called every second, and
    /// counts by that: the clock is not asked at each request.
    pub(super) fn sweep(&self, upstream: &Upstream) {
        let longest = longest(upstream);
        self.with(upstream, |connections| {
            connections.idle.retain_mut(|idle| {
                idle.sweeps += 1;
                idle.sweeps < longest
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

/// How many sweeps a connection may idle. The first may come right after it began, so this is never
/// longer than `pool_idle`, which is chosen below the upstream's own; less than a second keeps none.
fn longest(upstream: &Upstream) -> u64 {
    upstream.settings.pool_idle.as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Protocol, Service, UpstreamSettings};
    use crate::wire::Io;
    use crate::wire::testing::pair;

    fn upstream(pool_idle: Duration, max_requests: usize) -> Upstream {
        let deadline = Duration::from_secs(1);
        let settings = UpstreamSettings {
            name: "chat".into(),
            url: "http://127.0.0.1:1".parse().expect("a URL"),
            protocol: Protocol::Http1,
            ca: None,
            headers: Vec::new(),
            service: Service::default(),
            connect_timeout: deadline,
            first_byte_timeout: deadline,
            idle_timeout: deadline,
            keep_alive: None,
            read_on: None,
            pool_idle,
            max_requests,
        };
        Upstream::new(settings, 0, None).expect("an upstream")
    }

    async fn connection() -> Box<Http1> {
        Http1::new(Io::Plain(pair().await.0))
    }

    fn idle(pool: &Pool, upstream: &Upstream) -> usize {
        pool.with(upstream, |connections| connections.idle.len())
    }

    #[tokio::test]
    async fn a_connection_never_idles_longer_than_pool_idle() {
        // A sweep may come right after a connection was put back: the second one a second later.
        for (pool_idle, sweeps) in [(900, 0), (1_000, 1), (1_900, 1), (2_000, 2), (4_000, 4)] {
            let (pool, upstream) = (Pool::default(), upstream(Duration::from_millis(pool_idle), 10));
            pool.put(&upstream, connection().await);
            let mut seen = 0;
            while idle(&pool, &upstream) > 0 {
                pool.sweep(&upstream);
                seen += 1;
            }
            assert_eq!(seen, sweeps, "{pool_idle} ms");
        }
    }

    #[tokio::test]
    async fn one_that_is_retired_gets_and_leaves_nothing_at_a_place_that_is_anothers() {
        let (pool, scratch) = (Pool::default(), Scratch::default());
        let (old, new) = (upstream(Duration::from_secs(60), 10), upstream(Duration::from_secs(60), 10));
        assert_eq!(old.index, new.index);
        pool.put(&old, connection().await);
        old.retire();
        pool.close(&old);
        assert_eq!(idle(&pool, &new), 0);
        pool.put(&new, connection().await);
        pool.put(&old, connection().await);
        assert!(pool.take(&old, &scratch).is_none());
        assert_eq!(idle(&pool, &new), 1);
    }

    #[tokio::test]
    async fn as_many_are_kept_as_requests_may_be_under_way() {
        let (pool, upstream) = (Pool::default(), upstream(Duration::from_secs(60), 3));
        for _ in 0..5 {
            pool.put(&upstream, connection().await);
        }
        assert_eq!(idle(&pool, &upstream), 3);
    }
}
