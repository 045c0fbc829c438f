//! Setups that wait or run: one of a widget at a time, in the order in which they were asked for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sidegate_core::denial::{Code, Denial};
use sidegate_core::id::{AppId, ObjectId};
use tokio::sync::{Notify, Semaphore};

use super::Widgets;
use super::languages::waits;
use crate::store::{ObjectKind, ObjectQuery, Unavailable};

/// How many may wait and run.
const MOST: usize = 256;

/// When to come back if as many do.
const RETRY: Duration = Duration::from_secs(5);

/// How many languages are translated at once, of whichever widgets.
const LANGUAGES_AT_ONCE: usize = 4;

/// Setups under way.
#[derive(Debug)]
pub struct Setups {
    state: Mutex<State>,
    added: Notify,
    /// Places for languages that are translated.
    pub(super) places: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<ObjectId>,
    known: HashMap<ObjectId, Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has not begun: it will find whatever changes until then.
    Waits,
    Runs,
    /// It was asked for while it runs, and begins anew at its end.
    RunsTwice,
}

/// A setup that runs, until this is dropped.
pub(super) struct Job {
    pub(super) widget: ObjectId,
    setups: Arc<Setups>,
}

impl Default for Setups {
    fn default() -> Self {
        let places = Semaphore::new(LANGUAGES_AT_ONCE);
        Self { state: Mutex::default(), added: Notify::new(), places }
    }
}

impl Setups {
    /// Asks for a widget's setup.
    ///
    /// # Errors
    /// [`Code::Overloaded`] if too many wait.
    pub(super) fn add(&self, widget: &ObjectId) -> Result<(), Denial> {
        let mut state = self.state();
        let full = state.known.len() >= MOST;
        match state.known.get_mut(widget) {
            Some(Phase::Waits) => {}
            Some(phase) => *phase = Phase::RunsTwice,
            None if full => return Err(Denial::retry(Code::Overloaded, RETRY)),
            None => state.wait(widget.clone()),
        }
        drop(state);
        self.added.notify_one();
        Ok(())
    }

    /// The next one, once there is one.
    pub(super) async fn next(self: &Arc<Self>) -> Job {
        loop {
            if let Some(widget) = self.state().begin() {
                // One that nobody has heard of may wait behind it.
                self.added.notify_one();
                return Job { widget, setups: Arc::clone(self) };
            }
            self.added.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Widgets {
    /// Goes on with the setups of an app that a gate left undone when it ended, as far as there is room. Should another
    /// replica be at one of them, both make the same.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn resume_setups(&self, app: &AppId) -> Result<(), Unavailable> {
        let labels = [waits()];
        let (kind, take) = (ObjectKind::LanguageMap, MOST);
        let undone = ObjectQuery { kind, app, after: None, newest_first: false, parent: None, labels: &labels, take };
        for map in self.registry.objects(&undone).await? {
            // One for which there is no room goes on when it is asked for again.
            let _ = map.id.parse().map(|widget| self.setups.add(&widget));
        }
        Ok(())
    }
}

impl State {
    fn wait(&mut self, widget: ObjectId) {
        self.waiting.push_back(widget.clone());
        self.known.insert(widget, Phase::Waits);
    }

    fn begin(&mut self) -> Option<ObjectId> {
        let widget = self.waiting.pop_front()?;
        self.known.insert(widget.clone(), Phase::Runs);
        Some(widget)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let mut state = self.setups.state();
        if state.known.remove(&self.widget) == Some(Phase::RunsTwice) {
            state.wait(self.widget.clone());
            self.setups.added.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn id(text: &str) -> ObjectId {
        text.parse().expect("an id")
    }

    #[test]
    fn one_of_a_widget_runs_at_a_time_and_once_more_if_asked_meanwhile() {
        let setups = Arc::new(Setups::default());
        let next = || setups.next().now_or_never();
        for widget in ["a", "b", "a"] {
            setups.add(&id(widget)).expect("room");
        }
        let (first, second) = (next().expect("a"), next().expect("b"));
        assert_eq!((first.widget.as_str(), second.widget.as_str()), ("a", "b"));
        assert!(next().is_none());
        for _ in 0..3 {
            setups.add(&first.widget).expect("room");
        }
        assert!(next().is_none());
        drop((first, second));
        let again = next().expect("a");
        assert_eq!(again.widget.as_str(), "a");
        drop(again);
        assert!(next().is_none());
        assert!(setups.state().known.is_empty());
    }

    #[test]
    fn no_more_than_so_many_wait() {
        let setups = Arc::new(Setups::default());
        for number in 0..MOST {
            setups.add(&id(&format!("w{number}"))).expect("room");
        }
        assert_eq!(setups.add(&id("x")).expect_err("full").code, Code::Overloaded);
        setups.add(&id("w7")).expect("it waits already");
        drop(setups.next().now_or_never().expect("one"));
        setups.add(&id("x")).expect("room");
    }
}
