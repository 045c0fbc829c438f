//! The registry's entries: one hash for each kind, with revision and document of each id.

use redis::cmd;

use super::Redis;
use crate::store::{Answer, Entries, Entry, EntryKind, Unavailable};

impl Redis {
    /// Writes an entry if the one that stands there has this revision; 0 is none.
    async fn write(&self, entry: &Entry, expected: u64) -> Result<bool, Unavailable> {
        let mut script = self.scripts.write_entry.key(self.keys.entries(entry.kind));
        script.key(self.keys.generation()).arg(&entry.id).arg(expected).arg(&entry.document);
        self.link.run(&script).await.map_err(|_| Unavailable)
    }
}

impl Entries for Redis {
    fn add<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(self.write(entry, 0))
    }

    fn change<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        // Revisions begin at 1: what asks for none asks for nothing that could be there.
        Box::pin(async { Ok(entry.revision > 0 && self.write(entry, entry.revision).await?) })
    }

    fn entry<'a>(&'a self, kind: EntryKind, id: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            let mut command = cmd("HGET");
            command.arg(self.keys.entries(kind)).arg(id);
            let text: Option<String> = self.link.call(&command).await.map_err(|_| Unavailable)?;
            text.map(|text| parse(kind, id.to_owned(), &text)).transpose()
        })
    }

    fn entries(&self, kind: EntryKind) -> Answer<'_, Vec<Entry>> {
        Box::pin(async move {
            let mut command = cmd("HGETALL");
            command.arg(self.keys.entries(kind));
            let all: Vec<(String, String)> = self.link.call(&command).await.map_err(|_| Unavailable)?;
            let mut entries: Vec<_> =
                all.into_iter().map(|(id, text)| parse(kind, id, &text)).collect::<Result<_, _>>()?;
            entries.sort_by(|one: &Entry, other| one.id.cmp(&other.id));
            Ok(entries)
        })
    }

    fn generation(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut command = cmd("GET");
            command.arg(self.keys.generation());
            let generation: Option<u64> = self.link.call(&command).await.map_err(|_| Unavailable)?;
            Ok(generation.unwrap_or_default())
        })
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// The revision, a space, and the document.
fn parse(kind: EntryKind, id: String, text: &str) -> Result<Entry, Unavailable> {
    let (revision, document) = text.split_once(' ').ok_or(Unavailable)?;
    let revision = revision.parse().map_err(|_| Unavailable)?;
    Ok(Entry { kind, id, revision, document: document.to_owned() })
}
