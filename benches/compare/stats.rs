//! Medians and spreads of a handful of samples; percentiles of many.

use std::time::Duration;

/// Lowest, middle and highest of the samples.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// The spread of samples in any order; all zero without samples.
pub(crate) fn spread(samples: impl Iterator<Item = f64>) -> Spread {
    let mut sorted: Vec<f64> = samples.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let last = sorted.len().saturating_sub(1);
    Spread { low: at(0), median: f64::midpoint(at(last / 2), at(last.div_ceil(2))), high: at(last) }
}

/// Values below which so many thousandths lie; zero without values.
pub(crate) fn percentiles<const N: usize>(values: &mut [f64], thousandths: [usize; N]) -> [f64; N] {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    thousandths.map(|share| values.get(last * share / 1000).copied().unwrap_or_default())
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
