//! How much of the files is in memory: kept, fetched, or still on its way to a browser that reads slowly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// The bytes of all bodies that somebody still has.
#[derive(Clone, Debug, Default)]
pub(super) struct Live(Arc<AtomicUsize>);

/// A body that is counted until its last copy is gone.
struct Counted {
    body: Bytes,
    live: Live,
}

impl Live {
    /// How many there are.
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// The same body, counted.
    pub(super) fn count(&self, body: Bytes) -> Bytes {
        self.0.fetch_add(body.len(), Ordering::Relaxed);
        Bytes::from_owner(Counted { body, live: self.clone() })
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.0.fetch_sub(self.body.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_counts_until_its_last_copy_is_gone() {
        let live = Live::default();
        let body = live.count(Bytes::from_static(b"asset"));
        let part = body.slice(1..2);
        assert_eq!((live.bytes(), &*body), (5, &b"asset"[..]));
        drop(body);
        assert_eq!(live.bytes(), 5, "a part holds the whole");
        drop(part);
        assert_eq!(live.bytes(), 0);
    }
}
