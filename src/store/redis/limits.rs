//! Counters of limits, by the server's clock.

use std::time::Duration;

use sidegate_core::rate::Rate;

use super::Redis;
use crate::store::{Answer, Counter, Counters, Unavailable};

impl Counters for Redis {
    fn count<'a>(&'a self, counter: Counter<'a>, rate: Rate) -> Answer<'a, Option<Duration>> {
        Box::pin(async move {
            let mut script = self.scripts.count.key(self.keys.counter(counter));
            script.arg(cost(rate)).arg(rate.count.get());
            let wait: u64 = self.link.run(&script).await.map_err(|_| Unavailable)?;
            Ok((wait > 0).then(|| Duration::from_micros(wait)))
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
