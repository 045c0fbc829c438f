//! The registry's entries.

use std::collections::BTreeMap;

use sidegate_core::id::ServiceTokenId;

use super::Memory;
use crate::store::use_counts::MOST;
use crate::store::{Answer, Entries, Entry, EntryKind, UseCounts, Used};

/// Entries by kind and id. Operators make them, so they are few, and not counted.
#[derive(Debug, Default)]
pub(super) struct Kept {
    entries: BTreeMap<(EntryKind, String), Entry>,
    used: BTreeMap<ServiceTokenId, Used>,
    generation: u64,
}

impl Kept {
    fn write(&mut self, entry: &Entry, revision: u64) -> bool {
        let entry = Entry { revision, ..entry.clone() };
        self.entries.insert((entry.kind, entry.id.clone()), entry);
        self.generation += 1;
        true
    }

    fn revision(&self, entry: &Entry) -> Option<u64> {
        Some(self.entries.get(&(entry.kind, entry.id.clone()))?.revision)
    }
}

impl Entries for Memory {
    fn add<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut kept = self.kept();
            Ok(kept.revision(entry).is_none() && kept.write(entry, 1))
        })
    }

    fn change<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut kept = self.kept();
            Ok(kept.revision(entry) == Some(entry.revision) && kept.write(entry, entry.revision + 1))
        })
    }

    fn entry<'a>(&'a self, kind: EntryKind, id: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move { Ok(self.kept().entries.get(&(kind, id.to_owned())).cloned()) })
    }

    fn entries(&self, kind: EntryKind) -> Answer<'_, Vec<Entry>> {
        Box::pin(async move {
            let kept = self.kept();
            Ok(kept.entries.values().filter(|entry| entry.kind == kind).cloned().collect())
        })
    }

    fn generation(&self) -> Answer<'_, u64> {
        Box::pin(async move { Ok(self.kept().generation) })
    }

    fn is_shared(&self) -> bool {
        false
    }
}

impl UseCounts for Memory {
    fn add_uses<'a>(&'a self, used: &'a [Used]) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut kept = self.kept();
            for Used { token, count, last } in used {
                let none = Used { token: token.clone(), count: 0, last: *last };
                let known = kept.used.entry(token.clone()).or_insert(none);
                known.count = known.count.saturating_add(*count).min(MOST);
                known.last = known.last.max(*last);
            }
            Ok(())
        })
    }

    fn use_counts(&self) -> Answer<'_, Vec<Used>> {
        Box::pin(async move { Ok(self.kept().used.values().cloned().collect()) })
    }
}
