//! A deadline that moves often and is rarely met.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A deadline of one task. Moving it to a later time costs nothing: the timer fires at the earlier
/// one and is then set anew.
pub(super) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer will wake the task.
    armed: bool,
}

impl Deadline {
    pub(super) fn after(span: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(span));
        Self { at: timer.deadline(), timer, armed: false }
    }

    pub(super) fn set_after(&mut self, span: Duration) {
        self.at = Instant::now() + span;
        if self.at < self.timer.deadline() {
            self.timer.as_mut().reset(self.at);
            self.armed = false;
        }
    }

    /// Ready when the deadline has passed. To be polled by one task only.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.armed || self.timer.is_elapsed() {
            // A task that has used up its budget would not be told by its timer, neither now nor later.
            self.armed = pin!(tokio::task::unconstrained(self.timer.as_mut())).poll(cx).is_pending();
            if self.armed {
                break;
            }
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn passed(deadline: &mut Deadline) -> Duration {
        let started = Instant::now();
        std::future::poll_fn(|cx| deadline.poll(cx)).await;
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_passes_when_set_and_can_be_moved_both_ways() {
        let mut deadline = Deadline::after(Duration::from_secs(5));
        assert_eq!(passed(&mut deadline).await.as_secs(), 5);
        deadline.set_after(Duration::from_secs(7));
        assert_eq!(passed(&mut deadline).await.as_secs(), 7);
        deadline.set_after(Duration::from_secs(60));
        assert!(std::future::poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
        deadline.set_after(Duration::from_secs(1));
        assert_eq!(passed(&mut deadline).await.as_secs(), 1);
        deadline.set_after(Duration::from_secs(2));
        assert!(std::future::poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
        deadline.set_after(Duration::from_secs(3));
        assert_eq!(passed(&mut deadline).await.as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn it_passes_for_a_task_that_was_too_busy_when_it_first_asked() {
        let mut deadline = Deadline::after(Duration::from_secs(5));
        let mut first = true;
        let passed = std::future::poll_fn(|cx| {
            if std::mem::take(&mut first) {
                crate::wire::testing::use_up_budget(cx);
            }
            deadline.poll(cx)
        });
        let passed = tokio::time::timeout(Duration::from_secs(60), passed);
        assert!(passed.await.is_ok());
    }
}
