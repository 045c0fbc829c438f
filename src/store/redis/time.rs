//! The server's clock next to this machine's.

use std::time::Duration;

use sidegate_core::clock::Clock as _;

use super::MARGIN;
use crate::system::System;

/// What `TIME` answers: seconds since the epoch, and microseconds.
pub(super) type Time = (u64, u64);

/// The margin is for clocks that differ a little, each from each.
const MOST: Duration = Duration::from_secs(MARGIN.as_secs() / 4);

/// By how many seconds the clocks differ, if that is too much.
pub(super) fn difference((seconds, _micros): Time) -> Option<u64> {
    let off = System.now().seconds().abs_diff(seconds);
    (off > MOST.as_secs()).then_some(off)
}
