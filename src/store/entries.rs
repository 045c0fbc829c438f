//! What the registry keeps beside the configuration file: apps and service tokens, as documents by id.

use super::{Answer, Objects, UseCounts};

/// Entries of the registry, beside how often those that are service tokens were used, and objects of the API.
/// All replicas that share it see a change within a second.
pub trait Entries: UseCounts + Objects {
    /// Adds an entry; whether its id was free. Its revision is ignored: it begins at 1.
    fn add<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool>;

    /// Puts the entry in the place of the one of its id, if that still has its revision; whether it
    /// had. The revision grows by one.
    fn change<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool>;

    /// The entry of an id.
    fn entry<'a>(&'a self, kind: EntryKind, id: &'a str) -> Answer<'a, Option<Entry>>;

    /// All entries of a kind, in the order of their ids.
    fn entries(&self, kind: EntryKind) -> Answer<'_, Vec<Entry>>;

    /// A number that grows with each change of any entry.
    fn generation(&self) -> Answer<'_, u64>;

    /// Whether they are in a server that all replicas share: while it is silent, others may have
    /// changed them.
    fn is_shared(&self) -> bool;
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// An app.
    App,
    /// A service token.
    ServiceToken,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::App, Self::ServiceToken];

    /// Its name in a store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::ServiceToken => "service_token",
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its id, unique among those of its kind.
    pub id: String,
    /// How often it has been written.
    pub revision: u64,
    /// What it says: JSON, or JSON sealed, in base64url.
    pub document: String,
}
