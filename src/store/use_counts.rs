//! How often service tokens were used, added up for all replicas of a registry.

use sidegate_core::clock::Timestamp;
use sidegate_core::id::ServiceTokenId;

use super::Answer;

/// Use counts of service tokens. They are no entries: a use is neither a revision nor a change of the
/// generation, so nobody reads anything anew because of it.
pub trait UseCounts: Send + Sync {
    /// Adds to what is kept: counts add up, of times the latest stays. Each token stands there once. All
    /// of it is kept or nothing; what gets no answer may have been kept.
    fn add_uses<'a>(&'a self, used: &'a [Used]) -> Answer<'a, ()>;

    /// All that is kept, in any order.
    fn use_counts(&self) -> Answer<'_, Vec<Used>>;
}

/// Uses of a service token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its name.
    pub token: ServiceTokenId,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
}

/// Where a count ends, and a time in milliseconds: the largest integer that every engine holds exactly,
/// as it is a double in some.
pub(super) const MOST: u64 = (1 << 53) - 1;
