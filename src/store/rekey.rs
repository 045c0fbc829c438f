//! Seals every context, every chat session, and every app and contact of the registry, anew that is not
//! sealed with the first key, while gates go on.
//!
//! A record is replaced only if it is still the one that was read, and a gate opens it before as
//! after. So this can end anywhere, and run again, or twice at once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde::Serialize;
use sidegate_core::clock::Timestamp;
use sidegate_core::context::ContextKey;
use sidegate_core::context::seal::{SealedFor, Sealer};
use sidegate_core::entropy::{Entropy, EntropyUnavailable};
use sidegate_core::id::{AppId, SessionDigest, TokenId};
use sidegate_core::session::SessionKey;

use super::{Entries, Entry, EntryKind, Object, ObjectKind, Record, Session, Store, Unavailable, Vault};

/// Records that are worked on at once.
const AT_ONCE: usize = 32;

/// What became of the records that are not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rekeyed {
    /// All of them.
    pub seen: u64,
    /// Sealed anew with the first key.
    pub resealed: u64,
    /// Sealed with it before.
    pub current: u64,
    /// Gone or changed since they were read: a gate dropped them, or another run sealed them anew.
    pub changed: u64,
    /// Left alone, because no key opens them.
    pub unreadable: u64,
}

/// It ended early. What was done is good; run it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// The store did not answer.
    Store,
    /// There were no random bytes to seal with.
    Entropy,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store => Unavailable.fmt(f),
            Self::Entropy => EntropyUnavailable.fmt(f),
        }
    }
}

impl std::error::Error for Interrupted {}

impl From<Unavailable> for Interrupted {
    fn from(_: Unavailable) -> Self {
        Self::Store
    }
}

impl From<EntropyUnavailable> for Interrupted {
    fn from(_: EntropyUnavailable) -> Self {
        Self::Entropy
    }
}

/// What became of one record.
enum Fate {
    Resealed,
    Current,
    Changed,
    Unreadable,
}

impl Rekeyed {
    fn count(&mut self, fate: &Fate) {
        self.seen += 1;
        *match fate {
            Fate::Resealed => &mut self.resealed,
            Fate::Current => &mut self.current,
            Fate::Changed => &mut self.changed,
            Fate::Unreadable => &mut self.unreadable,
        } += 1;
    }
}

/// Opens each record and session of `store` and each app of `registry` with any key of `sealer` and seals it with
/// the first. What is over by `now` is left to the sweep.
///
/// # Errors
/// [`Interrupted`].
pub async fn rekey(
    store: &dyn Store,
    registry: &dyn Entries,
    sealer: &Sealer,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<Rekeyed, Interrupted> {
    let (mut done, mut from) = (Rekeyed::default(), None);
    for entry in registry.entries(EntryKind::App).await? {
        done.count(&reseal_app(registry, sealer, entropy, entry).await?);
    }
    loop {
        let mut page = store.page(from).await?;
        page.records.retain(|(_, _, record)| record.expires_at > now);
        for some in page.records.chunks(AT_ONCE) {
            for fate in join_all(some.iter().map(|entry| reseal(store, sealer, entropy, entry))).await {
                done.count(&fate?);
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    rekey_sessions(store, sealer, entropy, now, &mut done).await?;
    rekey_contacts(registry, sealer, entropy, &mut done).await?;
    Ok(done)
}

async fn rekey_sessions(
    store: &dyn Store,
    sealer: &Sealer,
    entropy: &dyn Entropy,
    now: Timestamp,
    done: &mut Rekeyed,
) -> Result<(), Interrupted> {
    let mut from = None;
    loop {
        let mut page = store.sessions_page(from).await?;
        page.records.retain(|(.., session)| session.expires_at > now);
        for some in page.records.chunks(AT_ONCE) {
            for fate in join_all(some.iter().map(|entry| reseal_session(store, sealer, entropy, entry))).await {
                done.count(&fate?);
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
    }
}

async fn rekey_contacts(
    registry: &dyn Entries,
    sealer: &Sealer,
    entropy: &dyn Entropy,
    done: &mut Rekeyed,
) -> Result<(), Interrupted> {
    let mut from = None;
    loop {
        let page = registry.objects_page(from).await?;
        let contacts = page.records.into_iter().map(|(object, _)| object);
        for object in contacts.filter(|object| object.kind == ObjectKind::Contact) {
            done.count(&reseal_contact(registry, sealer, entropy, object).await?);
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
    }
}

async fn reseal_contact(
    registry: &dyn Entries,
    sealer: &Sealer,
    entropy: &dyn Entropy,
    mut object: Object,
) -> Result<Fate, Interrupted> {
    let Ok(sealed) = URL_SAFE_NO_PAD.decode(&object.document) else { return Ok(Fate::Unreadable) };
    if sealer.is_sealed_with_first(&sealed) {
        return Ok(Fate::Current);
    }
    let owner = SealedFor::Contact { app: &object.app, id: &object.id };
    let Some(plaintext) = sealer.open(owner, &sealed) else { return Ok(Fate::Unreadable) };
    object.document = URL_SAFE_NO_PAD.encode(sealer.seal(owner, &plaintext, entropy)?);
    Ok(if registry.replace(&object).await? { Fate::Resealed } else { Fate::Changed })
}

async fn reseal_session(
    store: &dyn Store,
    sealer: &Sealer,
    entropy: &dyn Entropy,
    (app, id, session): &(AppId, SessionDigest, Session),
) -> Result<Fate, Interrupted> {
    if sealer.is_sealed_with_first(&session.sealed) {
        return Ok(Fate::Current);
    }
    let key = SessionKey { app, session: id };
    let Some(plaintext) = sealer.open(key, &session.sealed) else { return Ok(Fate::Unreadable) };
    let sealed = sealer.seal(key, &plaintext, entropy)?;
    let replaced = store.reseal_session(key, session, sealed.into()).await?;
    Ok(if replaced { Fate::Resealed } else { Fate::Changed })
}

async fn reseal(
    store: &dyn Store,
    sealer: &Sealer,
    entropy: &dyn Entropy,
    (app, token, record): &(AppId, TokenId, Record),
) -> Result<Fate, Interrupted> {
    if sealer.is_sealed_with_first(&record.sealed) {
        return Ok(Fate::Current);
    }
    let key = ContextKey { app, token };
    let Some(plaintext) = sealer.open(key, &record.sealed) else { return Ok(Fate::Unreadable) };
    let sealed = sealer.seal(key, &plaintext, entropy)?;
    let replaced = Vault::replace(store, key, &record.sealed, sealed.into()).await?;
    Ok(if replaced { Fate::Resealed } else { Fate::Changed })
}

async fn reseal_app(
    registry: &dyn Entries,
    sealer: &Sealer,
    entropy: &dyn Entropy,
    mut entry: Entry,
) -> Result<Fate, Interrupted> {
    let (Ok(id), Ok(sealed)) = (AppId::parse(&entry.id), URL_SAFE_NO_PAD.decode(&entry.document)) else {
        return Ok(Fate::Unreadable);
    };
    if sealer.is_sealed_with_first(&sealed) {
        return Ok(Fate::Current);
    }
    let owner = SealedFor::App(&id);
    let Some(plaintext) = sealer.open(owner, &sealed) else { return Ok(Fate::Unreadable) };
    entry.document = URL_SAFE_NO_PAD.encode(sealer.seal(owner, &plaintext, entropy)?);
    Ok(if registry.change(&entry).await? { Fate::Resealed } else { Fate::Changed })
}
