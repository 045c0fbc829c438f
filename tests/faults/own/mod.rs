//! What the gate itself needs and may lose.
//!
//! | What | Where it is shown |
//! |---|---|
//! | Redis: killed, silent, emptied, full, a replica | `tests/it/shared_outage.rs`, `shared_restarts.rs`, `store/redis.rs` |
//! | PostgreSQL: killed, silent | `tests/it/shared_both/outages.rs`, `store/postgres.rs` |
//! | the disk is full | `tests/it/store/full.rs` |
//! | killed with `kill -9` under load | `tests/it/store/crash.rs` |
//! | descriptors | `descriptors.rs` |
//! | the clock | `clock.rs`; Redis' own: `tests/it/store/redis_clock.rs` |
//! | the processor: none for a while, little | `stopped.rs`, `starved.rs` |

mod clock;
mod descriptors;
mod starved;
mod stopped;
