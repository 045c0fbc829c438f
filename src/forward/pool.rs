//! A worker's upstream connections. A pool belongs to one thread, so it needs no lock.
//!
//! An upstream that a reload has retired has no connections here, and its place may be another one's: requests that
//! were admitted before open their own, and leave none behind.

use std::cell::RefCell;

use super::Endpoint;
use super::http1::Http1;
use super::http2::{Http2, Stream};
use crate::wire::Scratch;

/// A worker's connections, by upstream and address.
#[derive(Default)]
pub(super) struct Pool {
    upstreams: RefCell<Vec<Vec<Connections>>>,
}

#[derive(Default)]
struct Connections {
    idle: Vec<Idle>,
    http2: Vec<Http2>,
    budget: Budget,
}

/// How many requests may be sent once more: an upstream that breaks every connection is not to get them all twice.
#[derive(Default)]
struct Budget {
    /// Requests that have begun lately.
    begun: u32,
    /// Those that were sent once more.
    repeated: u32,
    sweeps: u32,
}

impl Budget {
    /// So many in any case: when an upstream is restarted, what was under way is sent once more.
    const FREE: u32 = 32;
    /// One of so many.
    const SHARE: u32 = 10;
    /// Every so many seconds half of what was is forgotten.
    const WINDOW: u32 = 10;

    fn takes_one(&mut self) -> bool {
        let left = self.repeated < Self::FREE + self.begun / Self::SHARE;
        self.repeated += u32::from(left);
        left
    }

    const fn tick(&mut self) {
        self.sweeps += 1;
        if self.sweeps >= Self::WINDOW {
            *self = Self { begun: self.begun / 2, repeated: self.repeated / 2, sweeps: 0 };
        }
    }
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
    pub(super) fn take(&self, endpoint: &Endpoint, scratch: &Scratch) -> Option<Box<Http1>> {
        if endpoint.is_retired() {
            return None;
        }
        self.with(endpoint, |connections| {
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
    pub(super) fn put(&self, endpoint: &Endpoint, connection: Box<Http1>) {
        let keeps = longest(endpoint) > 0 && !endpoint.is_retired();
        if !keeps {
            return;
        }
        self.with(endpoint, |connections| {
            if connections.idle.len() < endpoint.settings.max_requests {
                connections.idle.push(Idle { connection, sweeps: 0 });
            }
        });
    }

    /// Closes the connections to an address that is one no more: another one may get its place.
    pub(super) fn close(&self, endpoint: &Endpoint) {
        self.with(endpoint, |connections| *connections = Connections::default());
    }

    /// A request begins: a stream on a shared HTTP/2 connection, if there is one that lives and has room.
    pub(super) fn begin(&self, endpoint: &Endpoint) -> Option<Stream> {
        if endpoint.is_retired() {
            return None;
        }
        self.with(endpoint, |connections| {
            connections.budget.begun = connections.budget.begun.saturating_add(1);
            connections.http2.retain(|connection| !connection.is_closed());
            connections.http2.iter().find_map(Http2::stream)
        })
    }

    /// Whether a request may be sent once more. Those that may are a tenth of all, and a few.
    pub(super) fn may_repeat(&self, endpoint: &Endpoint) -> bool {
        // Of one that is retired few are left, and its place may be another's.
        endpoint.is_retired() || self.with(endpoint, |connections| connections.budget.takes_one())
    }

    /// Keeps a connection for others to share.
    pub(super) fn put_http2(&self, endpoint: &Endpoint, connection: Http2) {
        if !endpoint.is_retired() {
            self.with(endpoint, |connections| connections.http2.push(connection));
        }
    }

    /// Closes connections that could idle too long before the next sweep. Called every second, and
    /// counts by that: the clock is not asked at each request.
    pub(super) fn sweep(&self, endpoint: &Endpoint) {
        let longest = longest(endpoint);
        self.with(endpoint, |connections| {
            connections.budget.tick();
            // One is kept however little there is to do; what came for a rush goes behind it.
            let mut kept = 0..;
            connections
                .http2
                .retain(|connection| !connection.is_closed() && (kept.next() == Some(0) || !connection.idles()));
            connections.idle.retain_mut(|idle| {
                idle.sweeps += 1;
                idle.sweeps < longest
            });
        });
    }

    fn with<T>(&self, endpoint: &Endpoint, run: impl FnOnce(&mut Connections) -> T) -> T {
        let (upstream, address) = endpoint.place;
        let mut upstreams = self.upstreams.borrow_mut();
        run(at(at(&mut upstreams, upstream), address))
    }
}

/// What stands at a place, which is made if there is none.
fn at<T: Default>(list: &mut Vec<T>, place: usize) -> &mut T {
    if list.len() <= place {
        list.resize_with(place + 1, T::default);
    }
    &mut list[place]
}

/// How many sweeps a connection may idle. The first may come right after it began, so this is never
/// longer than `pool_idle`, which is chosen below the upstream's own; less than a second keeps none.
fn longest(endpoint: &Endpoint) -> u64 {
    endpoint.settings.pool_idle.as_secs()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::config::UpstreamSettings;
    use crate::forward::Upstream;
    use crate::wire::Io;
    use crate::wire::testing::pair;

    fn endpoint(pool_idle: Duration, max_requests: usize) -> Arc<Endpoint> {
        let url = "http://127.0.0.1:1".parse().expect("a URL");
        let settings = UpstreamSettings { pool_idle, max_requests, ..UpstreamSettings::new("chat", vec![url]) };
        Arc::clone(&Upstream::new(settings, 0, None).expect("an upstream").endpoints()[0])
    }

    async fn connection() -> Box<Http1> {
        Http1::new(Io::Plain(pair().await.0))
    }

    fn idle(pool: &Pool, endpoint: &Endpoint) -> usize {
        pool.with(endpoint, |connections| connections.idle.len())
    }

    #[tokio::test]
    async fn a_connection_never_idles_longer_than_pool_idle() {
        // A sweep may come right after a connection was put back: the second one a second later.
        for (pool_idle, sweeps) in [(900, 0), (1_000, 1), (1_900, 1), (2_000, 2), (4_000, 4)] {
            let (pool, endpoint) = (Pool::default(), endpoint(Duration::from_millis(pool_idle), 10));
            pool.put(&endpoint, connection().await);
            let mut seen = 0;
            while idle(&pool, &endpoint) > 0 {
                pool.sweep(&endpoint);
                seen += 1;
            }
            assert_eq!(seen, sweeps, "{pool_idle} ms");
        }
    }

    #[test]
    fn a_tenth_of_the_requests_may_be_repeated_and_a_few_in_any_case() {
        let mut budget = Budget::default();
        let taken = |budget: &mut Budget| (0..1_000).filter(|_| budget.takes_one()).count();
        assert_eq!(taken(&mut budget), 32);
        budget.begun = 500;
        assert_eq!(taken(&mut budget), 50);
        for _ in 0..10 {
            budget.tick();
        }
        assert_eq!(taken(&mut budget), 32 + 25 - 41, "half of what was is forgotten");
    }

    #[tokio::test]
    async fn one_that_is_retired_gets_and_leaves_nothing_at_a_place_that_is_anothers() {
        let (pool, scratch) = (Pool::default(), Scratch::default());
        let (old, new) = (endpoint(Duration::from_secs(60), 10), endpoint(Duration::from_secs(60), 10));
        assert_eq!(old.place, new.place);
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
        let (pool, endpoint) = (Pool::default(), endpoint(Duration::from_secs(60), 3));
        for _ in 0..5 {
            pool.put(&endpoint, connection().await);
        }
        assert_eq!(idle(&pool, &endpoint), 3);
    }
}
