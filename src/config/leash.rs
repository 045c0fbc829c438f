//! `[apps.leash]`: how much one token or session may use.

use std::time::Duration;

use sidegate_core::leash::Leash;

use super::layered::Reader;
use super::layered::parsers::{bytes, duration, integer};

/// What most of a count there may be: a typing error, if more.
const MOST: u64 = 1_000_000_000;

pub(super) fn read_leash(table: &Reader<'_>) -> Leash {
    let leash = table.section("leash");
    let count = |key| leash.optional(key, integer(1..=MOST));
    let read = Leash {
        stream: leash.optional("stream", duration),
        messages: count("messages"),
        bytes: leash.optional("bytes", bytes).map(|bytes| bytes as u64),
        streams_per_token: count("streams_per_token"),
        streams_per_end_user: count("streams_per_end_user"),
    };
    if read.stream.is_some_and(|stream| stream < Duration::from_secs(1)) {
        leash.problem("stream", "must be 1s or more");
    }
    if read.bytes == Some(0) {
        leash.problem("bytes", "must be above zero");
    }
    leash.finish();
    read
}
