//! OpenAI's ChatKit sessions and Realtime client secrets (its API reference), for apps whose tokens OpenAI makes:
//! what is asked of it, what it answers, and its own routes for customers' servers.

mod answer;
mod members;
mod realtime;
mod route;
mod session;

pub use answer::{client_secret, passed_on, refusal, refused, secret_handed_over, secret_passed_on, session};
pub use realtime::{RealtimeSettings, RealtimeType, parse_realtime};
pub use route::{BASE, Call, SessionId, route};
pub use session::{Asked, SessionSettings, parse_session};

/// Names of settings and the numbers that OpenAI takes for them.
pub mod range {
    use std::ops::RangeInclusive;

    /// Seconds of a ChatKit session; OpenAI itself may take fewer.
    pub const SECONDS: RangeInclusive<u32> = 1..=86_400;
    /// Requests per minute of a session.
    pub const REQUESTS: RangeInclusive<u32> = 1..=1_000_000;
    /// Megabytes of a file.
    pub const FILE_SIZE: RangeInclusive<u32> = 1..=512;
    /// Files of a session.
    pub const FILES: RangeInclusive<u32> = 1..=1_000_000;
    /// Threads that a page lists.
    pub const THREADS: RangeInclusive<u32> = 1..=1_000_000;
    /// Seconds until a Realtime client secret ends.
    pub const REALTIME_SECONDS: RangeInclusive<u32> = 10..=7_200;
    /// Characters of a state variable's name.
    pub const VARIABLE_NAME: RangeInclusive<usize> = 1..=64;
}
