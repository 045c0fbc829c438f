//! Counters of limits, by the server's clock.

use std::time::Duration;

use sidegate_core::rate::Rate;

use super::Redis;
use crate::store::{Answer, Counter, Counters, Full, Left, Unavailable};

impl Counters for Redis {
    fn count<'a>(&'a self, counters: &'a [Counter<'a>]) -> Answer<'a, Result<Left, Full>> {
        Box::pin(async move {
            let mut script = self.scripts.count.prepare_invoke();
            for counter in counters {
                script.key(self.keys.counter(counter)).arg(cost(counter.rate)).arg(counter.rate.count.get());
            }
            let answer = self.link.run(&script).await.map_err(|_| Unavailable)?;
            let (full, place, left, wait): (bool, usize, u32, u64) = answer;
            let (which, wait) = (place.saturating_sub(1), Duration::from_micros(wait));
            Ok(if full { Err(Full { which, wait }) } else { Ok(Left { which, left, wait }) })
        })
    }

    fn is_counting(&self) -> bool {
        self.link.is_well()
    }
}

/// Microseconds that one request costs, rounded up: the limit holds.
fn cost(rate: Rate) -> u64 {
    let cost = rate.period.as_micros().div_ceil(rate.count.get().into());
    u64::try_from(cost).unwrap_or(u64::MAX)
}
