//! Answers to those who wait for a commit. To wake a thread costs more than what most of them then
//! do: of all that wait in one thread, one is woken from outside, and wakes the others itself.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use crate::store::Unavailable;

/// Whether a change took place, once it cannot be lost.
pub(super) type Outcome = Result<bool, Unavailable>;

/// Who has to answer. Dropped, it answers that the store is unavailable.
pub(super) struct Answer(Arc<Slot>);

/// Who waits for it.
pub(super) struct Answered(Arc<Slot>);

struct Slot {
    /// Where the waiting one began to wait, and is most likely woken best.
    thread: ThreadId,
    state: Mutex<State>,
}

enum State {
    Waiting(Option<Waker>),
    /// With those that the waiting one is to wake when it looks.
    Answered(Outcome, Vec<Waker>),
    /// The outcome was taken, or nobody waits any more.
    Over,
}

/// A new pair.
pub(super) fn pair() -> (Answer, Answered) {
    let slot = Arc::new(Slot { thread: thread::current().id(), state: Mutex::new(State::Waiting(None)) });
    (Answer(Arc::clone(&slot)), Answered(slot))
}

/// Gives each answer, and then wakes one in each thread.
pub(super) fn give(answers: impl Iterator<Item = (Answer, Outcome)>) {
    let mut leaders: Vec<(Answer, Waker, Vec<Waker>)> = Vec::new();
    for (answer, outcome) in answers {
        let Some(waker) = answer.0.settle(outcome) else { continue };
        match leaders.iter_mut().find(|(leader, ..)| leader.0.thread == answer.0.thread) {
            Some((.., others)) => others.push(waker),
            None => leaders.push((answer, waker, Vec::new())),
        }
    }
    for (leader, waker, others) in leaders {
        leader.0.hand_over(others).into_iter().for_each(Waker::wake);
        waker.wake();
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the outcome, unless there is one; who is to be woken.
    fn settle(&self, outcome: Outcome) -> Option<Waker> {
        let mut state = self.state();
        match &mut *state {
            State::Waiting(waker) => {
                let waker = waker.take();
                *state = State::Answered(outcome, Vec::new());
                waker
            }
            State::Answered(..) | State::Over => None,
        }
    }

    /// Gives `others` to the one that waits here; they come back if it has looked already, or is gone.
    fn hand_over(&self, others: Vec<Waker>) -> Vec<Waker> {
        match &mut *self.state() {
            State::Answered(_, wakes) => {
                *wakes = others;
                Vec::new()
            }
            State::Waiting(_) | State::Over => others,
        }
    }

    /// What was answered, if anything was, and whom to wake. From then on nobody waits.
    fn end(&self) -> Option<(Outcome, Vec<Waker>)> {
        match std::mem::replace(&mut *self.state(), State::Over) {
            State::Answered(outcome, others) => Some((outcome, others)),
            State::Waiting(_) | State::Over => None,
        }
    }
}

impl Future for Answered {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        if let State::Waiting(waker) = &mut *self.0.state() {
            if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
            return Poll::Pending;
        }
        let (outcome, others) = self.0.end().unwrap_or((Err(Unavailable), Vec::new()));
        others.into_iter().for_each(Waker::wake);
        Poll::Ready(outcome)
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some((_, others)) = self.0.end() {
            others.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(waker) = self.0.settle(Err(Unavailable)) {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Woken {
        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// Waits once; what came, and who will be woken.
    fn look(answered: &mut Answered, woken: &Arc<Woken>) -> Poll<Outcome> {
        Pin::new(answered).poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
    }

    /// Three that wait in this thread.
    fn three() -> ([Answer; 3], [(Answered, Arc<Woken>); 3]) {
        let [one, two, three] = [pair(), pair(), pair()];
        let waiting = [one.1, two.1, three.1].map(|mut answered| {
            let woken = Arc::default();
            assert_eq!(look(&mut answered, &woken), Poll::Pending);
            (answered, woken)
        });
        ([one.0, two.0, three.0], waiting)
    }

    fn counts(waiting: &[(Answered, Arc<Woken>)]) -> Vec<usize> {
        waiting.iter().map(|(_, woken)| woken.count()).collect()
    }

    #[test]
    fn one_in_a_thread_is_woken_and_wakes_the_others() {
        let (answers, mut waiting) = three();
        give(answers.into_iter().zip([Ok(true), Ok(false), Err(Unavailable)]));
        assert_eq!(counts(&waiting), [1, 0, 0]);
        for (index, outcome) in [Ok(true), Ok(false), Err(Unavailable)].into_iter().enumerate() {
            let (answered, woken) = &mut waiting[index];
            assert_eq!(look(answered, woken), Poll::Ready(outcome));
        }
        assert_eq!(counts(&waiting), [1, 1, 1]);
    }

    #[test]
    fn one_that_goes_away_wakes_the_others_all_the_same() {
        let (answers, [first, second, third]) = three();
        give(answers.into_iter().map(|answer| (answer, Ok(true))));
        drop(first.0);
        assert_eq!((second.1.count(), third.1.count()), (1, 1));
    }

    #[test]
    fn those_that_are_gone_before_are_passed_over() {
        let (answers, [first, second, third]) = three();
        drop(first.0);
        give(answers.into_iter().map(|answer| (answer, Ok(true))));
        assert_eq!((first.1.count(), second.1.count(), third.1.count()), (0, 1, 0));
    }

    #[test]
    fn in_each_thread_one_is_woken() {
        let there = thread::spawn(|| {
            let (answers, waiting) = three();
            (answers, waiting)
        });
        let (far, waiting_far) = there.join().expect("it ends");
        let (near, waiting_near) = three();
        give(near.into_iter().chain(far).map(|answer| (answer, Ok(true))));
        assert_eq!((counts(&waiting_near), counts(&waiting_far)), (vec![1, 0, 0], vec![1, 0, 0]));
    }

    #[test]
    fn an_answer_that_is_not_given_is_a_refusal() {
        let ([one, ..], [(mut answered, woken), ..]) = three();
        drop(one);
        assert_eq!((woken.count(), look(&mut answered, &woken)), (1, Poll::Ready(Err(Unavailable))));
    }
}
