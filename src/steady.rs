//! The clock by which what is over is forgotten. The machine's own may jump ahead by mistake and be set back: what was revoked
//! or used up must not be forgotten meanwhile, or it would be good again.

use std::time::Duration;

use sidegate_core::clock::Timestamp;
use tokio::time::Instant;

/// By how much the time of day may run ahead of the time that passes, from one look to the next.
const LEEWAY: Duration = Duration::from_secs(60);

/// For how long it must stay ahead to be believed: as after a machine that slept, or began with a wrong clock.
const BELIEVED_AFTER: Duration = Duration::from_secs(3_600);

/// Follows the time of day, but not at once where that jumps ahead.
#[derive(Debug, Default)]
pub struct Steady {
    /// The last time of day that was believed, and when that was.
    believed: Option<(Timestamp, Instant)>,
    /// Since when the time of day is ahead.
    ahead_since: Option<Instant>,
}

impl Steady {
    /// The time to forget by, when the time of day is `wall`: never later, and behind it by as much as it has jumped ahead
    /// less than an hour ago.
    pub fn now(&mut self, wall: Timestamp) -> Timestamp {
        let at = Instant::now();
        let Some((then, since)) = self.believed else { return self.believe(wall, at) };
        let passed = then.plus(at - since);
        if wall <= passed.plus(LEEWAY) {
            return self.believe(wall, at);
        }
        let ahead_since = *self.ahead_since.get_or_insert(at);
        if at - ahead_since >= BELIEVED_AFTER { self.believe(wall, at) } else { passed }
    }

    fn believe(&mut self, wall: Timestamp, at: Instant) -> Timestamp {
        *self = Self { believed: Some((wall, at)), ahead_since: None };
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Timestamp = Timestamp::from_seconds(1_000_000);

    fn after(seconds: u64) -> Timestamp {
        BEGIN.plus(Duration::from_secs(seconds))
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_passes_is_followed() {
        let mut steady = Steady::default();
        for n in 0..100 {
            assert_eq!(steady.now(after(n * 5)), after(n * 5));
            pass(5).await;
        }
        pass(100_000).await;
        assert_eq!(steady.now(after(100_500)), after(100_500), "nobody has looked for a while");
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_there_and_back_is_not() {
        let mut steady = Steady::default();
        steady.now(BEGIN);
        for n in 1..100 {
            pass(5).await;
            assert_eq!(steady.now(after(86_400 + n * 5)), after(n * 5));
        }
        pass(5).await;
        assert_eq!(steady.now(after(500)), after(500));
        pass(5).await;
        assert_eq!(steady.now(after(86_400)), after(505), "an hour begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_that_lasts_is_believed() {
        let mut steady = Steady::default();
        steady.now(BEGIN);
        pass(5).await;
        assert_eq!(steady.now(after(86_405)), after(5));
        pass(3_599).await;
        assert_eq!(steady.now(after(90_004)), after(3_604));
        pass(1).await;
        assert_eq!(steady.now(after(90_005)), after(90_005));
        pass(5).await;
        assert_eq!(steady.now(after(90_010)), after(90_010));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_is_followed_at_once() {
        let mut steady = Steady::default();
        steady.now(after(86_400));
        pass(5).await;
        assert_eq!(steady.now(BEGIN), BEGIN);
        pass(5).await;
        assert_eq!(steady.now(after(5)), after(5));
    }
}
