//! Private RSA operations, on threads where nobody waits for anything else: each takes some 0.2 ms, in which no other
//! request of its thread would move. As many are under way as there are cores; of the others a bounded number waits.

use std::sync::Arc;
use std::time::Duration;

use sidegate_core::denial::{Code, Denial};
use tokio::sync::Semaphore;

/// How many may wait: about a second's work of two cores.
const PLACES: usize = 4_096;

/// Where they are made.
#[derive(Debug)]
pub struct RsaPool {
    places: Semaphore,
    turns: Arc<Semaphore>,
}

impl RsaPool {
    /// A pool that does so many at once.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self { places: Semaphore::new(PLACES), turns: Arc::new(Semaphore::new(at_once.max(1))) }
    }

    /// Does something that takes one.
    ///
    /// # Errors
    /// [`Code::Overloaded`] if too many wait; [`Code::Internal`] if the program ends.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Denial> {
        let full = |_| Denial::retry(Code::Overloaded, Duration::from_secs(1));
        let _place = self.places.try_acquire().map_err(full)?;
        // Held by the work itself: whoever asked may leave before it is done.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Code::Internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(turn);
            outcome
        });
        done.await.map_err(|_| Code::Internal.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::future::join3;

    use super::*;

    #[tokio::test]
    async fn what_finds_no_place_is_refused_and_the_rest_is_done() {
        let pool = RsaPool { places: Semaphore::new(2), turns: Arc::new(Semaphore::new(1)) };
        let (go, wait) = mpsc::channel::<()>();
        let held = pool.run(move || wait.recv().is_ok());
        let waiting = pool.run(|| 2);
        let refused = async {
            tokio::task::yield_now().await;
            let refused = pool.run(|| 3).await.expect_err("no place");
            go.send(()).expect("it waits");
            refused
        };
        let (held, waiting, refused) = join3(held, waiting, refused).await;
        assert_eq!((held, waiting), (Ok(true), Ok(2)));
        assert_eq!((refused.code, refused.retry_after), (Code::Overloaded, Some(Duration::from_secs(1))));
        assert_eq!(pool.run(|| 4).await, Ok(4));
    }
}
