//! Reading a backup back. It is read twice: nothing is changed before all of it was found good.

use std::collections::HashSet;
use std::io::{self, BufRead, Seek};

use futures_util::future::join_all;
use serde::Serialize;
use sidegate_core::clock::Timestamp;
use sidegate_core::context::ContextKey;
use sidegate_core::revocation::Revocation;
use sidegate_core::service_token::ServiceToken;
use sidegate_core::session::SessionKey;

use super::entry::{App, Context, Line, Object, Owner, Revoked, Session, Use};
use super::lines::Lines;
use crate::store::{self, Entries, Entry, EntryKind, Mark, Record, Store, Unavailable};

/// Entries that are worked on at once.
const AT_ONCE: usize = 64;

/// What became of the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// All of them.
    pub entries: u64,
    /// Kept now.
    pub imported: u64,
    /// Kept before.
    pub present: u64,
    /// Left out, because their time is over.
    pub expired: u64,
    /// Left out, because the store says otherwise: another record of that token or session, another owner of
    /// that conversation, another service token of that name, another app or object
    /// of that id.
    pub conflicts: u64,
}

/// Why a backup was not read to its end.
#[derive(Debug)]
pub enum ImportError {
    /// It is damaged, cut off or none. Nothing was changed, unless it changed while it was read.
    Malformed {
        /// Where, the first line being 1.
        line: u64,
        /// What is wrong; never content.
        reason: String,
    },
    /// It could not be read.
    Input(io::Error),
    /// The store did not answer, or is full. What was imported before stays; run it again.
    Store,
}

impl std::fmt::Display for ImportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed { line, reason } => write!(f, "line {line}: {reason}"),
            Self::Input(fault) => write!(f, "the backup cannot be read: {fault}"),
            Self::Store => f.write_str("the store is unavailable or full; what was imported stays, so run it again"),
        }
    }
}

impl std::error::Error for ImportError {}

impl From<Unavailable> for ImportError {
    fn from(_: Unavailable) -> Self {
        Self::Store
    }
}

/// What became of one entry.
enum Fate {
    Imported,
    Present,
    Expired,
    Conflict,
}

impl Imported {
    fn count(&mut self, fate: &Fate) {
        self.entries += 1;
        *match fate {
            Fate::Imported => &mut self.imported,
            Fate::Present => &mut self.present,
            Fate::Expired => &mut self.expired,
            Fate::Conflict => &mut self.conflicts,
        } += 1;
    }
}

/// Puts into `store` and `registry` what `backup` has and they have not. Nothing there is replaced, so this can
/// run again, and while gates go on.
///
/// # Errors
/// [`ImportError`].
pub async fn import(
    store: &dyn Store,
    registry: &dyn Entries,
    mut backup: impl BufRead + Seek,
    now: Timestamp,
) -> Result<Imported, ImportError> {
    let mut whole = Lines::open(&mut backup)?;
    while whole.next()?.is_some() {}
    backup.rewind().map_err(ImportError::Input)?;
    let known = store.revoked_since(Mark::default()).await?.revocations.into_iter().collect();
    let mut target = Target { store, registry, now, known, done: Imported::default() };
    let mut entries = Lines::open(&mut backup)?;
    let mut batch = Batch::default();
    while let Some(entry) = entries.next()? {
        batch.add(entry);
        if batch.len == AT_ONCE {
            target.take(std::mem::take(&mut batch)).await?;
        }
    }
    target.take(batch).await?;
    Ok(target.done)
}

/// Some entries, by what they are.
#[derive(Default)]
struct Batch {
    len: usize,
    contexts: Vec<Context>,
    sessions: Vec<Session>,
    owners: Vec<Owner>,
    uses: Vec<Use>,
    revocations: Vec<Revoked>,
    service_tokens: Vec<ServiceToken>,
    apps: Vec<App>,
    objects: Vec<Object>,
}

impl Batch {
    fn add(&mut self, entry: Line) {
        self.len += 1;
        match entry {
            Line::Context(context) => self.contexts.push(context),
            Line::Session(session) => self.sessions.push(session),
            Line::Owner(owner) => self.owners.push(owner),
            Line::Use(used) => self.uses.push(used),
            Line::Revocation(revoked) => self.revocations.push(revoked),
            Line::ServiceToken(token) => self.service_tokens.push(*token),
            Line::App(app) => self.apps.push(app),
            Line::Object(object) => self.objects.push(*object),
            // The end is no entry, and none is handed out.
            Line::End(_) => {}
        }
    }
}

struct Target<'a> {
    store: &'a dyn Store,
    registry: &'a dyn Entries,
    now: Timestamp,
    /// Revocations in the store.
    known: HashSet<(Revocation, Timestamp)>,
    done: Imported,
}

impl Target<'_> {
    async fn take(&mut self, batch: Batch) -> Result<(), Unavailable> {
        let mut fates = join_all(batch.contexts.iter().map(|context| self.context(context))).await;
        fates.extend(join_all(batch.sessions.iter().map(|session| self.session(session))).await);
        fates.extend(join_all(batch.owners.iter().map(|owner| self.owner(owner))).await);
        fates.extend(join_all(batch.uses.iter().map(|used| self.first_use(used))).await);
        fates.extend(join_all(batch.service_tokens.iter().map(|token| self.service_token(token))).await);
        fates.extend(join_all(batch.apps.iter().map(|app| self.app(app))).await);
        fates.extend(join_all(batch.objects.iter().map(|object| self.object(object))).await);
        for fate in fates {
            self.done.count(&fate?);
        }
        // Their order is kept, so one after the other.
        for revoked in batch.revocations {
            let fate = self.revocation(revoked).await?;
            self.done.count(&fate);
        }
        Ok(())
    }

    async fn context(&self, context: &Context) -> Result<Fate, Unavailable> {
        if context.expires_at <= self.now {
            return Ok(Fate::Expired);
        }
        let key = ContextKey { app: &context.app, token: &context.token };
        let record = Record { sealed: context.sealed.0.clone(), expires_at: context.expires_at };
        let compare = |known: Record| if known == record { Fate::Present } else { Fate::Conflict };
        if let Some(known) = self.store.get(key, self.now).await? {
            return Ok(compare(known));
        }
        match self.store.put(key, record.sealed.clone(), record.expires_at).await {
            Ok(()) => Ok(Fate::Imported),
            // Refused because it is there by now, or for good.
            Err(Unavailable) => self.store.get(key, self.now).await?.map(compare).ok_or(Unavailable),
        }
    }

    /// A session that is there may have gone on meanwhile: it is the same if it is about the same.
    async fn session(&self, session: &Session) -> Result<Fate, Unavailable> {
        if session.expires_at <= self.now {
            return Ok(Fate::Expired);
        }
        let key = SessionKey { app: &session.app, session: &session.session };
        let kept = session.kept();
        let compare = |known: store::Session| if known.sealed == kept.sealed { Fate::Present } else { Fate::Conflict };
        if let Some(known) = self.store.session(key, self.now).await? {
            return Ok(compare(known));
        }
        match self.store.open_session(key, kept.clone()).await {
            Ok(()) => Ok(Fate::Imported),
            Err(Unavailable) => self.store.session(key, self.now).await?.map(compare).ok_or(Unavailable),
        }
    }

    async fn service_token(&self, token: &ServiceToken) -> Result<Fate, Unavailable> {
        let document = serde_json::to_string(token).map_err(|_| Unavailable)?;
        self.entry(EntryKind::ServiceToken, token.id.as_str(), document).await
    }

    async fn app(&self, app: &App) -> Result<Fate, Unavailable> {
        self.entry(EntryKind::App, app.id.as_str(), app.sealed.to_text()).await
    }

    async fn entry(&self, kind: EntryKind, id: &str, document: String) -> Result<Fate, Unavailable> {
        let entry = Entry { kind, id: id.to_owned(), revision: 1, document };
        if self.registry.add(&entry).await? {
            return Ok(Fate::Imported);
        }
        let known = self.registry.entry(entry.kind, &entry.id).await?;
        let same = known.is_some_and(|known| known.document == entry.document);
        Ok(if same { Fate::Present } else { Fate::Conflict })
    }

    /// One that is there keeps the usage that was counted there.
    async fn object(&self, object: &Object) -> Result<Fate, Unavailable> {
        let kept = object.kept();
        if self.registry.insert(&kept).await? {
            if let Some(usage) = object.used() {
                self.registry.add_usage(&[usage]).await?;
            }
            return Ok(Fate::Imported);
        }
        let known = self.registry.object(kept.kind, &kept.id).await?;
        let same = known.is_some_and(|known| store::Object { revision: kept.revision, ..known } == kept);
        Ok(if same { Fate::Present } else { Fate::Conflict })
    }

    async fn owner(&self, owner: &Owner) -> Result<Fate, Unavailable> {
        let known = store::Owner { app: &owner.app, end_user: &owner.end_user };
        if self.store.owns(known, &owner.conversation).await? {
            return Ok(Fate::Present);
        }
        match self.store.record(known, &owner.conversation).await {
            Ok(()) => Ok(Fate::Imported),
            // With room for it, it was refused because the conversation is another's.
            Err(Unavailable) if self.store.has_room().await? => Ok(Fate::Conflict),
            Err(Unavailable) => Err(Unavailable),
        }
    }

    async fn first_use(&self, used: &Use) -> Result<Fate, Unavailable> {
        if used.until <= self.now {
            return Ok(Fate::Expired);
        }
        let first = self.store.first_use(ContextKey { app: &used.app, token: &used.token }, used.until).await?;
        Ok(if first { Fate::Imported } else { Fate::Present })
    }

    async fn revocation(&mut self, Revoked { revocation, until }: Revoked) -> Result<Fate, Unavailable> {
        if until <= self.now {
            return Ok(Fate::Expired);
        }
        let entry = (revocation, until);
        if self.known.contains(&entry) {
            return Ok(Fate::Present);
        }
        self.store.revoke(&entry.0, until).await?;
        self.known.insert(entry);
        Ok(Fate::Imported)
    }
}
