//! Counters of limits, by the server's clock.

use std::time::Duration;

use sidegate_core::rate::Rate;

use super::Redis;
use crate::store::{Answer, Counter, Counters, Full, Unavailable};

impl Counters for Redis {
    fn count<'a>(&'a self, counters: &'a [Counter<'a>]) -> Answer<'a, Option<Full>> {
        Box::pin(async move {
            let mut script = self.scripts.count.prepare_invoke();
            for counter in counters {
                script.key(self.keys.counter(counter)).arg(cost(counter.rate)).arg(counter.rate.count.get());
            }
            let (place, wait): (usize, u64) = self.link.run(&script).await.map_err(|_| Unavailable)?;
            Ok(place.checked_sub(1).map(|which| Full { which, wait: Duration::from_micros(wait) }))
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
