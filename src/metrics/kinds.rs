//! What metrics tell apart beyond what the gate has names for elsewhere: closed enums, whose names are labels.

use sidegate_core::session::Mode;

/// Which listener a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// For browsers.
    Public,
    /// For the customer's servers.
    Private,
}

impl Listener {
    /// Its label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// What became of a request for an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetResult {
    /// It was kept, and fresh.
    Hit,
    /// It came with another request for it that was under way.
    Shared,
    /// It was fetched.
    Miss,
    /// It was kept, and still is what the CDN has.
    Revalidated,
    /// It was kept, and used beyond its time.
    Stale,
    /// It may not be kept, and was fetched for this request alone.
    Passed,
    /// The CDN has no such asset.
    Missing,
    /// It was not asked for: a path that could lead elsewhere, or another method.
    Refused,
    /// It could not be fetched.
    Failed,
}

impl AssetResult {
    /// Every result, in the order of the enum, with its label.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Hit, "hit"),
        (Self::Shared, "shared"),
        (Self::Miss, "miss"),
        (Self::Revalidated, "revalidated"),
        (Self::Stale, "stale"),
        (Self::Passed, "passed"),
        (Self::Missing, "missing"),
        (Self::Refused, "refused"),
        (Self::Failed, "failed"),
    ];
}

/// What came of a request for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOutcome {
    /// A new one, of somebody who is vouched for.
    Identified,
    /// A new one, of somebody who has filled in a form.
    Guest,
    /// A new one, of somebody whom nobody knows.
    Anonymous,
    /// That of before.
    Resumed,
}

impl SessionOutcome {
    /// A new one.
    #[must_use]
    pub const fn of(mode: Mode) -> Self {
        match mode {
            Mode::Identified => Self::Identified,
            Mode::Guest => Self::Guest,
            Mode::Anonymous => Self::Anonymous,
        }
    }
}

/// What came of a request for a token that an upstream makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeOutcome {
    /// The upstream made one.
    Fetched,
    /// One was at hand, or being fetched.
    Reused,
    /// There is none.
    Failed,
}
