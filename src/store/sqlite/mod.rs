//! The state in a file of this machine: an SQLite database that survives a crash of the program and
//! of the machine.
//!
//! Every change goes to one task, which commits together what waits, and answers when it is on the
//! disk ([`writer`]). Reads have connections of their own ([`reads`]), and what can be kept at hand is
//! answered without them ([`cache`]).

mod answers;
mod batch;
mod cache;
mod entries;
mod file;
mod object_changes;
mod objects;
mod owners;
mod pages;
mod reads;
mod schema;
mod sessions;
mod tokens;
mod use_counts;
mod writer;

use std::path::Path;
use std::sync::Arc;

use sidegate_core::clock::Timestamp;

use self::batch::Change;
use self::cache::Cache;
use self::file::DataFile;
use self::reads::Reads;
use self::writer::Writer;
use super::{Answer, Kind, Store, Unavailable};

/// The state in an SQLite file.
pub struct Sqlite {
    file: Arc<DataFile>,
    cache: Arc<Cache>,
    reads: Reads,
    writer: Writer,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens the file at `path`, which is created if there is none; at most `memory` bytes of it are
    /// kept at hand. The runtime around this call does the work and must outlive the store.
    ///
    /// # Errors
    /// Why it cannot be used. A file that is not ours, newer than this program or damaged is left as
    /// it is.
    pub async fn open(path: &Path, memory: usize) -> Result<Self, String> {
        let opened = Self::try_open(path, memory).await;
        opened.map_err(|reason| format!("cannot open the store {} (store.path): {reason}", path.display()))
    }

    async fn try_open(path: &Path, memory: usize) -> Result<Self, String> {
        let file = Arc::new(DataFile::open(path)?);
        schema::prepare(&file).await?;
        let cache = Arc::new(Cache::new(memory));
        let reads = Reads::open(&file).await?;
        let writer = Writer::start(Arc::clone(&file), Arc::clone(&cache)).await?;
        Ok(Self { file, cache, reads, writer })
    }
}

impl Store for Sqlite {
    fn kind(&self) -> Kind {
        Kind::Embedded
    }

    fn share(&self, shared: bool) {
        self.cache.share(shared);
    }

    fn forget_at_hand(&self) {
        self.cache.forget_sealed();
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        Box::pin(async move {
            // Each step is a change like others: what came meanwhile is committed with it or before.
            while self.writer.write(Change::Sweep { now }).await? {}
            Ok(())
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async {
            if !self.file.is_in_place() {
                return Err(Unavailable);
            }
            let pool = self.reads.pool();
            self.reads.ask(async move { sqlx::query("select 1").execute(&pool).await.map(drop) }).await
        })
    }
}
