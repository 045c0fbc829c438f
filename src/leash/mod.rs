//! Streams on a leash: what a stream was admitted by is asked again while it runs, silent or not, so that it ends when it
//! would not be admitted any more.
//!
//! Each worker lists its own streams. When a task hears that something has changed by which streams are admitted
//! ([`Changes`]), it asks for each of them, and wakes those that must end.

mod changes;
mod closings;
mod spending;

pub use changes::Changes;
pub use closings::{Closings, follow_closings};
pub use spending::{Spending, Tether};

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sidegate_core::denial::Code;
use sidegate_core::ending::Ending;
use sidegate_core::entropy;
use sidegate_core::id::{ObjectId, SessionDigest};
use sidegate_core::policy::Permit;
use sidegate_core::secret::SecretDigest;
use tokio::sync::Notify;

use crate::gate::Gates;
use crate::metrics::Metrics;
use crate::store::Unavailable;

/// After all streams were asked for. With the 300 ms after which a change is heard of they end within a second, and many
/// changes cost little.
const REST: Duration = Duration::from_millis(100);

/// What a stream was admitted by.
#[derive(Debug)]
pub struct Grounds {
    /// The proof that it was.
    pub permit: Permit,
    /// The digest of its token's text, if it has one.
    pub token: Option<SecretDigest>,
    /// Its session, where the dialect has such.
    pub session: Option<SessionDigest>,
    /// Its widget, where the gate keeps them.
    pub widget: Option<ObjectId>,
    /// What it uses of its leash, if it has one: its place among the streams is kept as long as it runs.
    pub tether: Option<Arc<Tether>>,
}

/// A worker's streams.
pub struct Leashes {
    /// A stream may live longer than the configuration that it began with.
    gates: Gates,
    metrics: Arc<Metrics>,
    last: Cell<u64>,
    held: RefCell<BTreeMap<u64, Rc<Leash>>>,
    /// Those that were not asked for yet: something may have changed since they were admitted.
    fresh: RefCell<Vec<u64>>,
    /// Told when there is one.
    taken_on: Notify,
    /// Why all end, those to come as well.
    all: Cell<Option<Ending>>,
    /// Whether the gate stops soon.
    draining: Cell<bool>,
}

struct Leash {
    grounds: Grounds,
    ending: Cell<Option<Ending>>,
    waker: RefCell<Option<Waker>>,
    closes_session: Cell<bool>,
    /// Whether it has not been told yet that the gate stops soon.
    has_news: Cell<bool>,
}

/// A stream's end of it; dropped with the stream.
pub struct Held {
    number: u64,
    leash: Rc<Leash>,
    leashes: Rc<Leashes>,
}

impl Leashes {
    /// None yet.
    #[must_use]
    pub fn new(gates: Gates, metrics: Arc<Metrics>) -> Rc<Self> {
        let (held, fresh) = (RefCell::default(), RefCell::default());
        Rc::new(Self {
            gates,
            metrics,
            last: Cell::new(0),
            held,
            fresh,
            taken_on: Notify::new(),
            all: Cell::new(None),
            draining: Cell::new(false),
        })
    }

    /// Takes a stream on.
    #[must_use]
    pub fn hold(self: &Rc<Self>, grounds: Grounds) -> Held {
        let number = self.last.get() + 1;
        self.last.set(number);
        let leash = Rc::new(Leash {
            grounds,
            ending: self.all.clone(),
            waker: RefCell::default(),
            closes_session: Cell::new(false),
            has_news: self.draining.clone(),
        });
        self.held.borrow_mut().insert(number, Rc::clone(&leash));
        self.fresh.borrow_mut().push(number);
        self.taken_on.notify_one();
        Held { number, leash, leashes: Rc::clone(self) }
    }

    /// Tells all streams of this worker, and all that begin from now on, that the gate stops soon.
    pub fn announce_drain(&self) {
        self.draining.set(true);
        for leash in self.held.borrow().values() {
            leash.has_news.set(true);
            leash.wake();
        }
    }

    /// Ends all streams of this worker, and all that begin from now on. A stream that ends already goes on ending as it does.
    pub fn end_all(&self, ending: Ending) {
        self.all.set(Some(ending));
        self.held.borrow().values().for_each(|leash| leash.end(ending));
    }

    /// A session that streams have seen the end of was closed: its other streams end.
    pub fn closed(&self, session: &SessionDigest) {
        let gate = self.gates.load();
        if gate.closings.add(session.clone()) {
            gate.changes.tell();
        }
    }

    /// Ends streams that would not be admitted any more, until the task is aborted.
    pub async fn follow(self: Rc<Self>) {
        let mut changes = self.gates.load().changes.hear();
        loop {
            let changed = tokio::select! {
                // An error would mean that nothing changes any more.
                changed = changes.changed() => changed.is_ok(),
                () = self.taken_on.notified() => false,
            };
            let fresh = self.fresh.take();
            let asked: Vec<_> = match changed {
                true => self.held.borrow().iter().map(|(number, leash)| (*number, Rc::clone(leash))).collect(),
                false => fresh.iter().filter_map(|number| self.held_by(*number)).collect(),
            };
            let unanswered = self.ask(asked).await;
            if changed || !unanswered.is_empty() {
                tokio::time::sleep(REST).await;
            }
            if !unanswered.is_empty() {
                self.fresh.borrow_mut().extend(unanswered);
                self.taken_on.notify_one();
            }
        }
    }

    fn held_by(&self, number: u64) -> Option<(u64, Rc<Leash>)> {
        Some((number, Rc::clone(self.held.borrow().get(&number)?)))
    }

    /// Ends those of them that would not be admitted now. Returns those of which that cannot be said.
    async fn ask(&self, asked: Vec<(u64, Rc<Leash>)>) -> Vec<u64> {
        let (mut widgets, mut unanswered) = (HashMap::new(), Vec::new());
        for (number, leash) in asked {
            let ending = match self.of_grounds(&leash) {
                Some(ending) => Ok(Some(ending)),
                None => self.of_widget(&leash.grounds, &mut widgets).await,
            };
            match ending {
                Ok(Some(ending)) => leash.end(ending),
                Ok(None) => {}
                Err(Unavailable) => unanswered.push(number),
            }
        }
        unanswered
    }

    fn of_grounds(&self, leash: &Leash) -> Option<Ending> {
        let (gate, grounds) = (self.gates.load(), &leash.grounds);
        let claims = grounds.permit.claims();
        if gate.registry.load().app(claims.app.as_str()).is_none() {
            return Some(Ending::Revoked);
        }
        if gate.revoked.list().revokes_token(claims, grounds.token.as_ref()) {
            return Some(Ending::Revoked);
        }
        let session = grounds.session.as_ref().filter(|_| !leash.closes_session.get());
        let is_closed = session.is_some_and(|session| gate.closings.has(session));
        is_closed.then_some(Ending::SessionClosed)
    }

    /// What has become of a stream's widget. Each is asked for once in a round.
    async fn of_widget(
        &self,
        grounds: &Grounds,
        asked: &mut HashMap<ObjectId, Option<Ending>>,
    ) -> Result<Option<Ending>, Unavailable> {
        let Some(id) = &grounds.widget else { return Ok(None) };
        if let Some(ending) = asked.get(id) {
            return Ok(*ending);
        }
        let ending = match self.gates.load_full().widgets.find(id).await? {
            Some(served) if served.widget.app != grounds.permit.app().id => Some(Ending::Revoked),
            Some(served) => match served.widget.enabled() {
                Err(denial) if denial.code == Code::WidgetDisabled => Some(Ending::WidgetDisabled),
                _ => None,
            },
            None => Some(Ending::Revoked),
        };
        asked.insert(id.clone(), ending);
        Ok(ending)
    }
}

impl Leash {
    fn end(&self, ending: Ending) {
        if self.ending.get().is_none() {
            self.ending.set(Some(ending));
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Held {
    /// Why it must end now, if it must.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.leash.ending.get()
    }

    /// Waits until it must end.
    pub fn poll_ending(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        if let Some(ending) = self.ending() {
            return Poll::Ready(ending);
        }
        let mut waker = self.leash.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker @ None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether the gate stops soon, and it has not been told.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.leash.has_news.get()
    }

    /// It has been told.
    pub fn heard_news(&self) {
        self.leash.has_news.set(false);
    }

    /// It sees the end of its session itself, and passes that on: it is not ended by it.
    pub fn closes_session(&self) {
        self.leash.closes_session.set(true);
    }

    /// Counts that it has ended before its upstream.
    pub fn count(&self, ending: Ending) {
        self.leashes.metrics.stream_ended(ending);
    }

    /// Counts bytes that were sent, and ends it if they were the last that its token may have.
    pub fn sent(&self, bytes: usize) {
        if let Some(tether) = &self.leash.grounds.tether {
            tether.sent(bytes);
            if tether.has_no_bytes() {
                self.leash.end(Ending::BytesUsedUp);
            }
        }
    }

    /// Four bytes that nobody can guess, to mask a frame with (RFC 6455 section 5.3).
    #[must_use]
    pub fn mask(&self) -> [u8; 4] {
        entropy::bytes(&*self.leashes.gates.load().entropy).unwrap_or_default()
    }

    /// The dialect of its app, in whose words it ends.
    #[must_use]
    pub fn dialect(&self) -> sidegate_core::dialect::Dialect {
        self.leash.grounds.permit.app().dialect
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leashes.held.borrow_mut().remove(&self.number);
    }
}
