//! What is kept, bounded in bytes, by target and, where that matters, by what browsers accept.

use std::sync::Arc;

use http::HeaderValue;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use sidegate_core::cache::Varies;

use super::{Stored, Wanted};

/// What an entry costs beside its own bytes, rounded up.
const ENTRY_COST: usize = 1_024;
/// For a first guess at the number of entries.
const TYPICAL_ENTRY: usize = 64 * 1_024;

/// What an entry is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    target: Arc<str>,
    /// `Accept`, where answers to this target vary by it.
    accept: Option<HeaderValue>,
}

/// What is known of a target.
#[derive(Clone)]
pub(super) enum Entry {
    /// What the CDN last had.
    Asset(Arc<Stored>),
    /// Its answers vary by `Accept`, and are kept with that.
    Varies,
    /// Its answers may not be kept, so requests for it do not wait for each other.
    Passes,
}

/// The entries. In one shard: as a share of several, a large file would not find room.
pub(super) struct Keep(Cache<Key, Entry, Cost>);

#[derive(Clone)]
struct Cost;

impl Weighter<Key, Entry> for Cost {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        let stored = if let Entry::Asset(stored) = entry { stored.size() } else { 0 };
        let accept = key.accept.as_ref().map_or(0, HeaderValue::len);
        (ENTRY_COST + key.target.len() + accept + stored) as u64
    }
}

impl Entry {
    /// Whether nothing has changed between two looks.
    pub(super) fn is_same(one: Option<&Self>, other: Option<&Self>) -> bool {
        match (one, other) {
            (None, None) | (Some(Self::Varies), Some(Self::Varies)) | (Some(Self::Passes), Some(Self::Passes)) => true,
            (Some(Self::Asset(one)), Some(Self::Asset(other))) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Keep {
    pub(super) fn new(memory: usize) -> Self {
        let mut options = OptionsBuilder::new();
        options.shards(1).weight_capacity(memory as u64).estimated_items_capacity(memory / TYPICAL_ENTRY + 1);
        let hasher = DefaultHashBuilder::default();
        let cache = match options.build() {
            Ok(options) => Cache::with_options(options, Cost, hasher, DefaultLifecycle::default()),
            // Both sizes are given, which is all that it asks for.
            Err(_) => Cache::with_weighter(1, memory as u64, Cost),
        };
        Self(cache)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }

    /// What is kept for a request, and under which key.
    pub(super) fn look_up(&self, wanted: &Wanted) -> (Key, Option<Entry>) {
        let key = Key { target: Arc::clone(&wanted.target), accept: None };
        match self.0.get(&key) {
            Some(Entry::Varies) => {
                let key = Key { accept: Some(wanted.accept.clone()), ..key };
                let entry = self.0.get(&key);
                (key, entry)
            }
            entry => (key, entry),
        }
    }

    /// Keeps what may be kept.
    pub(super) fn put(&self, wanted: &Wanted, stored: &Arc<Stored>) {
        let key = Key { target: Arc::clone(&wanted.target), accept: None };
        if stored.varies() == Varies::ByField {
            let own = Key { accept: Some(wanted.accept.clone()), ..key.clone() };
            self.0.insert(own, Entry::Asset(Arc::clone(stored)));
            self.0.insert(key, Entry::Varies);
        } else {
            self.0.insert(key, Entry::Asset(Arc::clone(stored)));
        }
    }

    /// Remembers that the answers to a request may not be kept.
    pub(super) fn pass(&self, key: Key) {
        self.0.insert(key, Entry::Passes);
    }

    pub(super) fn remove(&self, key: &Key) {
        self.0.remove(key);
    }
}
