//! A circuit breaker: an upstream that fails again and again is left alone for a while, then tried by one request at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For so long others wait for what becomes of a trial; then one of them tries as well. Whoever tries may take their time.
const TRIAL: Duration = Duration::from_secs(3);

/// When a circuit breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRule {
    /// Failures in a row until it opens; with 0 it never does.
    pub failures: u32,
    /// For how long it stays open at first; each failed trial doubles that.
    pub wait: Duration,
    /// The longest that it stays open.
    pub longest: Duration,
}

impl Default for BreakerRule {
    fn default() -> Self {
        Self { failures: 5, wait: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

/// A circuit breaker, shared by all workers.
#[derive(Debug, Default)]
pub struct Breaker {
    rule: BreakerRule,
    /// Whether anything stands in `state`: who works well costs no lock.
    troubled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// No one may pass before; `None` while it is closed.
    open_until: Option<Instant>,
    /// The wait that began it.
    wait: Duration,
    /// The number of the trial that began last; of none, once one has told whether the upstream works.
    trial: u64,
}

/// Leave to ask the upstream. Dropped without a word, it says nothing about the upstream.
#[derive(Debug)]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    /// Which trial it is, if it is one, and when that began.
    trial: Option<(u64, Instant)>,
}

/// What an outcome has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    None,
    /// It is open from now on.
    Opened,
    /// It is closed again.
    Closed,
}

impl Breaker {
    /// One that is closed.
    #[must_use]
    pub fn new(rule: BreakerRule) -> Self {
        Self { rule, ..Self::default() }
    }

    /// Asks for leave now. While all is well neither clock nor lock is asked.
    ///
    /// # Errors
    /// How long it will still be open.
    pub fn enter_now(&self) -> Result<Pass<'_>, Duration> {
        if self.is_troubled() { self.enter(Instant::now()) } else { Ok(Pass { breaker: self, trial: None }) }
    }

    /// Asks for leave.
    ///
    /// # Errors
    /// How long it will still be open.
    pub fn enter(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut state = self.state();
        let trial = match state.open_until {
            None => None,
            Some(until) if until > now => return Err(until - now),
            Some(_) => {
                state.open_until = Some(now + TRIAL);
                state.trial += 1;
                Some((state.trial, now))
            }
        };
        Ok(Pass { breaker: self, trial })
    }

    /// Whether it is open, or being tried.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_troubled() && self.state().open_until.is_some()
    }

    fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// Whether others wait for what becomes of it.
    #[must_use]
    pub const fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// The upstream works.
    pub fn succeeded(self) -> Turn {
        if !self.breaker.is_troubled() {
            return Turn::None;
        }
        let mut state = self.breaker.state();
        let was_open = state.open_until.is_some();
        // A request from before it opened says nothing about now.
        if was_open && self.trial.is_none() {
            return Turn::None;
        }
        *state = State { trial: state.trial + 1, ..State::default() };
        self.breaker.troubled.store(false, Ordering::Relaxed);
        if was_open { Turn::Closed } else { Turn::None }
    }

    /// The upstream does not work.
    pub fn failed(self, now: Instant) -> Turn {
        let rule = self.breaker.rule;
        if rule.failures == 0 {
            return Turn::None;
        }
        let mut state = self.breaker.state();
        self.breaker.troubled.store(true, Ordering::Relaxed);
        state.failures = state.failures.saturating_add(1);
        let (was_open, is_latest) = (state.open_until.is_some(), self.is_latest(&state));
        if (was_open && !is_latest) || state.failures < rule.failures {
            return Turn::None;
        }
        state.wait = if was_open { state.wait.saturating_mul(2).min(rule.longest) } else { rule.wait };
        state.open_until = Some(now + state.wait);
        state.trial += 1;
        if was_open { Turn::None } else { Turn::Opened }
    }

    /// Whether it is the trial that others wait for.
    fn is_latest(&self, state: &State) -> bool {
        self.trial.is_some_and(|(number, _)| number == state.trial)
    }
}

/// A trial that is given up lets the next one try at once.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let Some((_, began)) = self.trial else { return };
        let mut state = self.breaker.state();
        if self.is_latest(&state) {
            state.open_until = Some(began);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FAILURES: u32 = 5;
    const LONGEST_WAIT: Duration = Duration::from_secs(30);

    fn fail(breaker: &Breaker, now: Instant) -> Turn {
        breaker.enter(now).expect("leave").failed(now)
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        let turns: Vec<_> = (0..FAILURES).map(|_| fail(&breaker, now)).collect();
        assert_eq!(turns[..4], [Turn::None; 4]);
        assert_eq!(turns[4], Turn::Opened);
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_success_starts_the_count_anew() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..FAILURES {
                assert_eq!(fail(&breaker, now), Turn::None);
            }
            assert_eq!(breaker.enter(now).expect("leave").succeeded(), Turn::None);
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn while_it_is_open_nobody_passes_then_one_tries() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.enter(now).expect_err("open"), SECOND);
        let later = now + SECOND;
        let trial = breaker.enter(later).expect("the trial");
        assert_eq!(breaker.enter(later).expect_err("one tries, not all"), TRIAL);
        assert_eq!(trial.succeeded(), Turn::Closed);
        assert!(breaker.enter(later).is_ok() && !breaker.is_open());
    }

    #[test]
    fn each_failed_trial_doubles_the_wait_up_to_a_bound() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for wait in [2, 4, 8, 16, 30, 30] {
            now += LONGEST_WAIT;
            assert_eq!(fail(&breaker, now), Turn::None);
            assert_eq!(breaker.enter(now).expect_err("open"), Duration::from_secs(wait));
        }
    }

    #[test]
    fn a_trial_that_is_given_up_lets_the_next_one_try() {
        let now = Instant::now();
        let breaker = opened(now);
        drop(breaker.enter(now + SECOND).expect("the trial"));
        assert!(breaker.enter(now + SECOND).is_ok());
    }

    #[test]
    fn a_trial_that_fails_as_it_begins_is_not_given_up() {
        let now = Instant::now();
        let breaker = Breaker::new(BreakerRule { failures: 1, wait: TRIAL / 2, longest: LONGEST_WAIT });
        fail(&breaker, now);
        fail(&breaker, now + TRIAL);
        assert_eq!(breaker.enter(now + TRIAL).expect_err("open"), TRIAL);
    }

    #[test]
    fn a_trial_that_takes_its_time_keeps_nobody_out_for_long() {
        let now = Instant::now();
        let breaker = opened(now);
        let slow = breaker.enter(now + SECOND).expect("the trial");
        let later = now + SECOND + TRIAL;
        let next = breaker.enter(later).expect("another one");
        assert!(breaker.enter(later).is_err(), "one, not all");
        // What becomes of the first one, if it is bad, is no news.
        assert_eq!(slow.failed(later), Turn::None);
        assert_eq!(breaker.enter(later).expect_err("still tried"), TRIAL);
        assert_eq!(next.failed(later), Turn::None);
        assert_eq!(breaker.enter(later).expect_err("open"), 2 * SECOND);
        // If it is good it is.
        let slow = breaker.enter(later + 2 * SECOND).expect("the trial");
        let next = breaker.enter(later + 2 * SECOND + TRIAL).expect("another one");
        assert_eq!(slow.succeeded(), Turn::Closed);
        drop(next);
        assert!(!breaker.is_open() && breaker.enter(later).is_ok());
    }

    #[test]
    fn its_rule_says_when_it_opens_and_for_how_long() {
        let now = Instant::now();
        let rule = BreakerRule { failures: 1, wait: 3 * SECOND, longest: 4 * SECOND };
        let breaker = Breaker::new(rule);
        assert_eq!(fail(&breaker, now), Turn::Opened);
        assert_eq!(breaker.enter(now).expect_err("open"), 3 * SECOND);
        fail(&breaker, now + 3 * SECOND);
        assert_eq!(breaker.enter(now + 3 * SECOND).expect_err("open"), 4 * SECOND);
        let never = Breaker::new(BreakerRule { failures: 0, ..rule });
        assert!((0..50).all(|_| fail(&never, now) == Turn::None) && never.enter_now().is_ok());
    }

    #[test]
    fn requests_from_before_it_opened_change_nothing() {
        let now = Instant::now();
        let breaker = Breaker::default();
        let early = breaker.enter(now).expect("leave");
        let late = breaker.enter(now).expect("leave");
        for _ in 0..FAILURES {
            fail(&breaker, now);
        }
        assert_eq!(early.succeeded(), Turn::None);
        assert_eq!(late.failed(now), Turn::None);
        assert_eq!(breaker.enter(now).expect_err("open"), SECOND);
    }
}
