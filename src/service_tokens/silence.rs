//! For how long the registry has been silent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// For how long a shared registry may be silent before service tokens are refused: what was revoked
/// elsewhere meanwhile must not pass.
const PATIENCE: Duration = Duration::from_secs(5);

/// When the registry last answered.
pub(super) struct Silence {
    since: Instant,
    /// When the last question that was answered was asked: milliseconds after `since`.
    answered: AtomicU64,
    /// Whether the last question was answered.
    is_over: AtomicBool,
    /// Whether the log says that it takes too long.
    told: AtomicBool,
}

impl Silence {
    /// It has answered just now.
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), answered: 0.into(), is_over: true.into(), told: false.into() }
    }

    /// Notes what became of a question.
    pub(super) fn note(&self, asked: Instant, answered: bool) {
        self.is_over.store(answered, Ordering::Relaxed);
        if answered {
            let millis = asked.duration_since(self.since).as_millis();
            self.answered.store(millis.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Whether the last question was answered.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Whether what is known may be too old.
    pub(super) fn is_too_long(&self) -> bool {
        let answered = Duration::from_millis(self.answered.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(answered) > PATIENCE
    }

    /// Logs when that has changed.
    pub(super) fn tell(&self) {
        let too_long = self.is_too_long();
        if self.told.swap(too_long, Ordering::Relaxed) != too_long {
            match too_long {
                true => tracing::error!("the registry is silent: service tokens are refused until it answers"),
                false => tracing::info!("the registry answers again: service tokens are taken"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_question_that_was_answered() {
        let silence = Silence::new();
        tokio::time::advance(PATIENCE).await;
        assert!(silence.is_over() && !silence.is_too_long());
        let asked = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(silence.is_too_long());
        silence.note(asked, true);
        assert!(silence.is_over() && !silence.is_too_long());
        silence.note(Instant::now(), false);
        assert!(!silence.is_over() && !silence.is_too_long());
        tokio::time::advance(Duration::from_millis(3_001)).await;
        assert!(silence.is_too_long());
    }
}
