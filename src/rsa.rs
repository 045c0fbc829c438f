//! Private RSA operations, on threads of their own: each takes some 0.2 ms, in which no other request of a worker would
//! move. There are as many threads as cores; what they have not come to waits in a queue that has an end.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sidegate_core::denial::{Code, Denial};
use tokio::sync::oneshot;

/// How many may wait: about a second's work of a core.
const PLACES: usize = 4_096;

type Work = Box<dyn FnOnce() + Send>;

/// Where they are made. The threads end with it.
#[derive(Debug)]
pub struct RsaPool {
    queue: SyncSender<Work>,
}

impl RsaPool {
    /// A pool that does so many at once.
    ///
    /// # Errors
    /// [`std::io::Error`] if there is no thread to be had.
    pub fn new(at_once: usize) -> std::io::Result<Self> {
        Self::with_places(at_once, PLACES)
    }

    fn with_places(at_once: usize, places: usize) -> std::io::Result<Self> {
        let (queue, waiting) = sync_channel::<Work>(places);
        let waiting = Arc::new(Mutex::new(waiting));
        for index in 0..at_once.max(1) {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new().name(format!("rsa-{index}")).spawn(move || work_off(&waiting))?;
        }
        Ok(Self { queue })
    }

    /// Does something that takes one. It is not begun if whoever asked has left.
    ///
    /// # Errors
    /// [`Code::Overloaded`] if too many wait; [`Code::Internal`] if the work panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Denial> {
        let (done, outcome) = oneshot::channel();
        let work = Box::new(move || {
            if !done.is_closed() {
                // Whoever asked may leave meanwhile.
                let _ = done.send(work());
            }
        });
        self.queue.try_send(work).map_err(|refused| match refused {
            TrySendError::Full(_) => Denial::retry(Code::Overloaded, Duration::from_secs(1)),
            TrySendError::Disconnected(_) => Code::Internal.into(),
        })?;
        outcome.await.map_err(|_| Code::Internal.into())
    }
}

fn work_off(waiting: &Mutex<Receiver<Work>>) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        // One that panics fails alone: its asker learns that nobody answers.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::future::join;

    use super::*;

    #[tokio::test]
    async fn what_finds_no_place_is_refused_and_the_rest_is_done() {
        let pool = RsaPool::with_places(1, 1).expect("threads");
        let (go, wait) = mpsc::channel::<()>();
        let (begun, begins) = oneshot::channel();
        let held = pool.run(move || {
            begun.send(()).expect("it is awaited");
            wait.recv().is_ok()
        });
        let others = async {
            begins.await.expect("it begins");
            let waiting = pool.run(|| 2);
            let refused = async {
                tokio::task::yield_now().await;
                let refused = pool.run(|| 3).await.expect_err("no place");
                go.send(()).expect("it waits");
                refused
            };
            join(waiting, refused).await
        };
        let (held, (waiting, refused)) = join(held, others).await;
        assert_eq!((held, waiting), (Ok(true), Ok(2)));
        assert_eq!((refused.code, refused.retry_after), (Code::Overloaded, Some(Duration::from_secs(1))));
        assert_eq!(pool.run(|| 4).await, Ok(4));
    }

    #[tokio::test]
    async fn work_that_panics_fails_alone() {
        let pool = RsaPool::new(1).expect("threads");
        assert_eq!(pool.run(|| -> u8 { panic!("on purpose") }).await.expect_err("it fails").code, Code::Internal);
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }
}
