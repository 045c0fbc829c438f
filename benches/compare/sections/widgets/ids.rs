//! Ids of widgets that follow from a number, so that a load can name any of a million: made as the gate makes them, one each
//! minute, by a chance that is none.

use crate::Result;
use sidegate_core::clock::Timestamp;
use sidegate_core::entropy::{Entropy, EntropyUnavailable};
use sidegate_core::id::ObjectId;

/// In November 2023: a million minutes later is not yet now, so whatever the API makes is newer.
const FIRST_MILLIS: u64 = 1_700_000_000_000;
const STEP_MILLIS: u64 = 60_000;
/// What chance makes of a number; Lua's numbers hold it for a million exactly.
const SPREAD: u64 = 1_000_003;

/// For the load's script.
pub(super) fn values() -> [(&'static str, String); 3] {
    [("first", FIRST_MILLIS), ("step", STEP_MILLIS), ("spread", SPREAD)].map(|(name, value)| (name, value.to_string()))
}

/// The id of a number, from 0.
pub(super) fn id(number: u64) -> Result<ObjectId> {
    Ok(ObjectId::new(Timestamp::from_millis(FIRST_MILLIS + number * STEP_MILLIS), &Fixed(number * SPREAD))?)
}

/// Its last bytes are the number's, the others zero.
struct Fixed(u64);

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> std::result::Result<(), EntropyUnavailable> {
        bytes.fill(0);
        bytes.iter_mut().rev().zip(self.0.to_le_bytes()).for_each(|(to, from)| *to = from);
        Ok(())
    }
}
