//! Writing a backup.

use std::io::{self, Write};

use serde::Serialize;
use sidegate_core::clock::Timestamp;
use sidegate_core::id::AppId;

use super::entry::{
    App, Context, End, FORMAT, Header, Line, MAX_LINE, Object, Owner, Revoked, Sealed, Session, Use, VERSION,
};
use crate::store::{self, Cursor, Entries, Entry, EntryKind, Mark, Page, Store, Unavailable};

/// How much was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Contexts of tokens.
    pub contexts: u64,
    /// Chat sessions.
    pub sessions: u64,
    /// Conversations with their owners.
    pub owners: u64,
    /// Used tokens.
    pub uses: u64,
    /// Revocations.
    pub revocations: u64,
    /// Service tokens, their secrets as digests.
    pub service_tokens: u64,
    /// Apps of the registry, sealed.
    pub apps: u64,
    /// Objects of the API, such as widgets.
    pub objects: u64,
}

/// Why there is no whole backup.
#[derive(Debug)]
pub enum ExportError {
    /// The store did not answer.
    Store,
    /// It could not be written.
    Output(io::Error),
    /// An entry is longer than an import reads.
    TooLong,
    /// This service token or app is not as we write it.
    Unreadable(String),
}

impl std::fmt::Display for ExportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store => Unavailable.fmt(f),
            Self::Output(fault) => write!(f, "the backup cannot be written: {fault}"),
            Self::Unreadable(id) => write!(f, "the service token or app {id} in the store cannot be read"),
            Self::TooLong => f.write_str("an entry is longer than 64 MiB as a line"),
        }
    }
}

impl std::error::Error for ExportError {}

impl From<Unavailable> for ExportError {
    fn from(_: Unavailable) -> Self {
        Self::Store
    }
}

/// Writes what `store` and `registry` keep and is not over by `now`. What changes meanwhile may be in it or not;
/// revocations are read last, so that none is missed for what was read before.
///
/// # Errors
/// [`ExportError`]; what was written then lacks its last line.
pub async fn export(
    store: &dyn Store,
    registry: &dyn Entries,
    output: impl Write,
    now: Timestamp,
) -> Result<Exported, ExportError> {
    let mut lines = Lines(output);
    lines.write(&Header { format: FORMAT.to_owned(), version: VERSION, exported_at: now })?;
    let contexts = lines
        .pages(
            |from| store.page(from),
            |(app, token, record)| {
                let expires_at = record.expires_at;
                (expires_at > now)
                    .then(|| Line::Context(Context { app, token, sealed: Sealed(record.sealed), expires_at }))
            },
        )
        .await?;
    let session = |(app, id, kept): (_, _, store::Session)| {
        (kept.expires_at > now).then(|| Line::Session(Session::new(app, id, kept)))
    };
    let sessions = lines.pages(|from| store.sessions_page(from), session).await?;
    let owner = |(app, end_user, conversation)| Some(Line::Owner(Owner { app, end_user, conversation }));
    let owners = lines.pages(|from| store.owners_page(from), owner).await?;
    let used = |(app, token, until)| (until > now).then(|| Line::Use(Use { app, token, until }));
    let uses = lines.pages(|from| store.uses_page(from), used).await?;
    let mut revocations = 0;
    for (revocation, until) in store.revoked_since(Mark::default()).await?.revocations {
        if until > now {
            lines.write(&Line::Revocation(Revoked { revocation, until }))?;
            revocations += 1;
        }
    }
    let service_tokens = lines.entries(registry, EntryKind::ServiceToken).await?;
    let apps = lines.entries(registry, EntryKind::App).await?;
    let object = |(object, usage)| Some(Line::Object(Box::new(Object::new(object, usage))));
    let objects = lines.pages(|from| registry.objects_page(from), object).await?;
    let entries = contexts + sessions + owners + uses + revocations + service_tokens + apps + objects;
    lines.write(&Line::End(End { entries }))?;
    lines.0.flush().map_err(ExportError::Output)?;
    Ok(Exported { contexts, sessions, owners, uses, revocations, service_tokens, apps, objects })
}

/// What is to be written of an entry; `None` if it is not as we write it.
fn line_of(entry: &Entry) -> Option<Line> {
    match entry.kind {
        EntryKind::ServiceToken => serde_json::from_str(&entry.document).ok().map(Line::ServiceToken),
        EntryKind::App => {
            let (id, sealed) = AppId::parse(&entry.id).ok().zip(Sealed::from_text(&entry.document))?;
            Some(Line::App(App { id, sealed }))
        }
    }
}

struct Lines<W>(W);

impl<W: Write> Lines<W> {
    /// Writes a line for each entry on all pages for which there is one; how many.
    async fn pages<T, A: Future<Output = Result<Page<T>, Unavailable>>>(
        &mut self,
        page: impl Fn(Option<Cursor>) -> A,
        line: impl Fn(T) -> Option<Line>,
    ) -> Result<u64, ExportError> {
        let (mut written, mut from) = (0, None);
        loop {
            let Page { records, next } = page(from).await?;
            for line in records.into_iter().filter_map(&line) {
                self.write(&line)?;
                written += 1;
            }
            if next.is_none() {
                return Ok(written);
            }
            from = next;
        }
    }

    /// Writes a line for each entry of a kind; how many.
    async fn entries(&mut self, registry: &dyn Entries, kind: EntryKind) -> Result<u64, ExportError> {
        let mut written = 0;
        for entry in registry.entries(kind).await? {
            self.write(&line_of(&entry).ok_or(ExportError::Unreadable(entry.id))?)?;
            written += 1;
        }
        Ok(written)
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), ExportError> {
        let mut text = serde_json::to_vec(line).map_err(|fault| ExportError::Output(fault.into()))?;
        text.push(b'\n');
        if text.len() > MAX_LINE {
            return Err(ExportError::TooLong);
        }
        self.0.write_all(&text).map_err(ExportError::Output)
    }
}
