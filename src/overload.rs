//! When a worker has more to do than it can do in time, new requests are refused at once, before anything is verified
//! for them; streams that are under way go on.
//!
//! Two things say so. Its own clock: a task that wants to run at a given moment runs late if others wait before it. And
//! how many requests are under way, streams included. Each has to be well below its bound before requests are
//! taken again, or the gate would waver.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::ListenSettings;

/// How often a worker looks whether it is late.
const PULSE: Duration = Duration::from_millis(100);

/// Looks in a row that find the same until it is believed: one may be late by accident.
const LOOKS: u32 = 3;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The worker is late.
    Lag,
    /// As many requests are under way as it takes.
    Requests,
    /// As many connections are open as the listener takes.
    Connections,
}

impl Reason {
    /// Every reason, in the order of the enum, with its label.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Lag, "lag"), (Self::Requests, "requests"), (Self::Connections, "connections")];
}

/// How loaded one worker is.
#[derive(Debug)]
pub struct Overload {
    /// How many workers there are, each of which takes its share.
    workers: usize,
    /// Requests under way that it takes.
    most: Cell<usize>,
    /// How late it may be; `None` if that says nothing.
    max_lag: Cell<Option<Duration>>,
    under_way: Cell<usize>,
    is_full: Cell<bool>,
    is_late: Cell<bool>,
    /// Looks in a row that say otherwise than `is_late`.
    looks: Cell<u32>,
    /// Told when there may be something to look at again.
    begun: Notify,
}

/// A request that is under way, until it is dropped.
#[derive(Debug)]
pub struct UnderWay(Rc<Overload>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
    }
}

impl Overload {
    /// That of one of `workers`, each of which takes its share.
    #[must_use]
    pub fn new(listen: &ListenSettings, workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            most: Cell::new(listen.max_requests.div_ceil(workers.max(1))),
            max_lag: Cell::new(listen.max_lag),
            under_way: Cell::new(0),
            is_full: Cell::new(false),
            is_late: Cell::new(false),
            looks: Cell::new(0),
            begun: Notify::new(),
        }
    }

    /// Takes these bounds from now on.
    pub fn follow(&self, listen: &ListenSettings) {
        self.most.set(listen.max_requests.div_ceil(self.workers));
        if self.max_lag.replace(listen.max_lag) != listen.max_lag {
            // What was found was held against the other bound.
            self.is_late.set(false);
            self.looks.set(0);
            self.begun.notify_one();
        }
    }

    /// A request begins.
    #[must_use]
    pub fn enter(self: &Rc<Self>) -> UnderWay {
        if self.under_way.replace(self.under_way.get() + 1) == 0 && self.max_lag.get().is_some() {
            self.begun.notify_one();
        }
        UnderWay(Rc::clone(self))
    }

    /// Why a request that has begun is to be refused, if it is.
    #[must_use]
    pub fn sheds(&self) -> Option<Reason> {
        let (under_way, most) = (self.under_way.get(), self.most.get());
        if under_way > most {
            self.is_full.set(true);
        } else if under_way <= most - most / 16 {
            self.is_full.set(false);
        }
        match (self.is_late.get(), self.is_full.get()) {
            (true, _) => Some(Reason::Lag),
            (false, true) => Some(Reason::Requests),
            (false, false) => None,
        }
    }

    /// Looks again and again whether the worker is late, until it is dropped; not while it has nothing to do.
    pub async fn watch(&self) {
        loop {
            if self.max_lag.get().is_none() || self.under_way.get() == 0 && !self.is_late.get() {
                self.begun.notified().await;
            }
            let due = Instant::now() + PULSE;
            tokio::time::sleep_until(due).await;
            self.note(due.elapsed());
        }
    }

    fn note(&self, late: Duration) {
        let Some(max) = self.max_lag.get() else { return };
        let is_late = self.is_late.get();
        let says_otherwise = if is_late { late < max / 2 } else { late >= max };
        let looks = if says_otherwise { self.looks.get() + 1 } else { 0 };
        self.looks.set(looks % LOOKS);
        if looks < LOOKS {
            return;
        }
        self.is_late.set(!is_late);
        let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        match is_late {
            false => tracing::warn!(late_ms, "a worker cannot keep up; it refuses new requests"),
            true => tracing::info!(late_ms, "the worker keeps up again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Input, load};

    const MAX: Duration = Duration::from_millis(100);

    fn overload(most: usize, max_lag: Option<Duration>) -> Rc<Overload> {
        let cell = || Cell::new(false);
        let (under_way, looks) = (Cell::new(0), Cell::new(0));
        let (most, max_lag) = (Cell::new(most), Cell::new(max_lag));
        let begun = Notify::new();
        Rc::new(Overload { workers: 1, most, max_lag, under_way, is_full: cell(), is_late: cell(), looks, begun })
    }

    #[test]
    fn requests_are_taken_again_when_some_have_ended_not_only_one() {
        let overload = overload(32, None);
        let mut under_way: Vec<_> = (0..32).map(|_| overload.enter()).collect();
        assert_eq!(overload.sheds(), None);
        under_way.push(overload.enter());
        assert_eq!(overload.sheds(), Some(Reason::Requests));
        under_way.truncate(31);
        assert_eq!(overload.sheds(), Some(Reason::Requests));
        under_way.truncate(30);
        assert_eq!(overload.sheds(), None);
    }

    #[test]
    fn a_single_request_may_be_the_most() {
        let overload = overload(1, None);
        let first = overload.enter();
        assert_eq!(overload.sheds(), None);
        let second = overload.enter();
        assert_eq!(overload.sheds(), Some(Reason::Requests));
        drop((first, second));
        let _third = overload.enter();
        assert_eq!(overload.sheds(), None);
    }

    #[test]
    fn a_worker_is_late_when_it_is_so_for_a_while_and_in_time_likewise() {
        let overload = overload(9, Some(MAX));
        let note = |lates: &[u64]| {
            lates.iter().for_each(|late| overload.note(Duration::from_millis(*late)));
            overload.sheds()
        };
        assert_eq!(note(&[900, 900, 0, 900, 900]), None, "not in a row");
        assert_eq!(note(&[100]), Some(Reason::Lag));
        assert_eq!(note(&[60, 60, 60, 60, 10, 10, 50, 10, 10]), Some(Reason::Lag), "not well below, or not in a row");
        assert_eq!(note(&[49]), None);
        assert_eq!(note(&[100, 100, 100]), Some(Reason::Lag));
    }

    #[test]
    fn new_bounds_hold_at_once_and_what_was_held_against_others_does_not() {
        let listen = |lines: &str| {
            let documents = vec![("test.toml".into(), format!("[listen]\n{lines}\n"))];
            load(&Input { documents, ..Input::default() }).expect("good").settings.listen
        };
        let overload = Rc::new(Overload::new(&listen("max_requests = 9\nmax_lag = \"100ms\""), 2));
        (0..3).for_each(|_| overload.note(MAX));
        overload.follow(&listen("max_requests = 8\nmax_lag = \"100ms\""));
        assert_eq!(overload.sheds(), Some(Reason::Lag), "as before");
        overload.follow(&listen("max_requests = 8\nmax_lag = \"0s\""));
        assert_eq!(overload.sheds(), None);
        let _under_way = [overload.enter(), overload.enter()];
        assert_eq!(overload.sheds(), None);
        overload.follow(&listen("max_requests = 2\nmax_lag = \"0s\""));
        assert_eq!(overload.sheds(), Some(Reason::Requests), "one is its share");
    }

    #[test]
    fn without_a_bound_lateness_says_nothing() {
        let overload = overload(9, None);
        (0..9).for_each(|_| overload.note(Duration::from_secs(9)));
        assert_eq!(overload.sheds(), None);
    }
}
