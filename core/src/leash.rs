//! How much one token, or one session where that has no token, may use before it is refused. Beside the limits, which count
//! how often, this bounds what is spent under one token in all, and what runs at the same time.

use std::time::Duration;

/// An app's leash; `None` is without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leash {
    /// How long a stream or WebSocket may last.
    pub stream: Option<Duration>,
    /// Messages under one token or session.
    pub messages: Option<u64>,
    /// Bytes of answers under one token or session.
    pub bytes: Option<u64>,
    /// Streams and WebSockets at the same time under one token or session.
    pub streams_per_token: Option<u64>,
    /// The same of one end user.
    pub streams_per_end_user: Option<u64>,
}

impl Leash {
    /// Whether anything must be counted under it.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.messages.is_some()
            || self.bytes.is_some()
            || self.streams_per_token.is_some()
            || self.streams_per_end_user.is_some()
    }
}
