//! Private RSA operations. Each takes some 0.2 ms, in which no other request of a worker moves; so a worker does one,
//! sees to what has come meanwhile, and only then does the next. What it has not come to waits in a queue that has an
//! end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use sidegate_core::denial::{Code, Denial};
use tokio::sync::Semaphore;

/// How many may wait: about a second's work of a core.
const PLACES: usize = 4_096;

thread_local! {
    /// This worker's turn.
    static TURN: Arc<Semaphore> = Arc::new(Semaphore::new(1));
}

/// Where they are made.
#[derive(Debug)]
pub struct RsaTurns {
    places: Semaphore,
}

impl Default for RsaTurns {
    fn default() -> Self {
        Self::with_places(PLACES)
    }
}

impl RsaTurns {
    fn with_places(places: usize) -> Self {
        Self { places: Semaphore::new(places) }
    }

    /// Does something that takes one, when it is its turn. It is not begun if whoever asked has left.
    ///
    /// # Errors
    /// [`Code::Overloaded`] if too many wait; [`Code::Internal`] if the work panics.
    pub async fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, Denial> {
        let _place = self.places.try_acquire().map_err(|_| Denial::retry(Code::Overloaded, Duration::from_secs(1)))?;
        let turn = TURN.with(Arc::clone);
        let _turn = turn.acquire().await.map_err(|_| Code::Internal)?;
        let done = catch_unwind(AssertUnwindSafe(work)).map_err(|_| Code::Internal)?;
        // The next one's turn begins after the sockets were looked at.
        tokio::task::yield_now().await;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::future::join3;

    use super::*;

    #[tokio::test]
    async fn between_two_of_a_worker_everything_else_has_its_turn() {
        let (turns, done) = (RsaTurns::default(), RefCell::new(Vec::new()));
        let note = |what| done.borrow_mut().push(what);
        let other = async {
            for _ in 0..2 {
                note("other");
                tokio::task::yield_now().await;
            }
        };
        let (first, second, ()) = join3(turns.run(|| note("first")), turns.run(|| note("second")), other).await;
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert_eq!(*done.borrow(), ["first", "other", "second", "other"]);
    }

    #[tokio::test]
    async fn what_finds_no_place_is_refused_and_the_rest_is_done() {
        let turns = RsaTurns::with_places(2);
        let (first, second, refused) = join3(turns.run(|| 1), turns.run(|| 2), turns.run(|| 3)).await;
        assert_eq!((first, second), (Ok(1), Ok(2)));
        let refused = refused.expect_err("no place");
        assert_eq!((refused.code, refused.retry_after), (Code::Overloaded, Some(Duration::from_secs(1))));
        assert_eq!(turns.run(|| 4).await, Ok(4));
    }

    #[tokio::test]
    async fn work_that_panics_fails_alone() {
        let turns = RsaTurns::default();
        assert_eq!(turns.run(|| -> u8 { panic!("on purpose") }).await.expect_err("it fails").code, Code::Internal);
        assert_eq!(turns.run(|| 1).await, Ok(1));
    }
}
