//! The one task that writes. What waits while a commit is under way goes into the next one together:
//! the disk's time is shared by all of them, and each is answered after it.

use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::mpsc;

use super::answers::{self, Answer};
use super::batch::{self, Change};
use super::cache::Cache;
use super::file::DataFile;
use super::schema;
use super::sessions::SessionChange;
use crate::store::health::Health;
use crate::store::{Record, Unavailable};

/// Changes that may wait; beyond that they are refused at once. More than a worker's connections can
/// ask for between two commits.
const QUEUE: usize = 4_096;
/// Changes in one commit.
const BATCH: usize = 512;

/// Sends changes to the task.
pub(super) struct Writer {
    queue: mpsc::Sender<Command>,
    health: Arc<Health>,
}

/// A change, and who waits for it.
struct Command {
    change: Change,
    answer: Answer,
}

impl Writer {
    pub(super) async fn start(file: Arc<DataFile>, cache: Arc<Cache>) -> Result<Self, String> {
        let connection = schema::options(&file).connect().await.map_err(|fault| schema::explain(&fault))?;
        let (queue, commands) = mpsc::channel(QUEUE);
        let health = Arc::new(Health::new("store", "written"));
        let task = Task { file, cache, health: Arc::clone(&health), connection: Some(connection) };
        tokio::spawn(task.run(commands));
        Ok(Self { queue, health })
    }

    /// Whether the last commit failed.
    pub(super) fn is_failing(&self) -> bool {
        self.health.is_failing()
    }

    /// Makes the change; whether it took place. A caller that goes away does not take it back.
    pub(super) async fn write(&self, change: Change) -> Result<bool, Unavailable> {
        let (answer, answered) = answers::pair();
        self.queue.try_send(Command { change, answer }).map_err(|_| Unavailable)?;
        answered.await
    }
}

struct Task {
    file: Arc<DataFile>,
    cache: Arc<Cache>,
    health: Arc<Health>,
    /// `None` after a failure: the next batch begins with a new one, whatever state the old one was in.
    connection: Option<SqliteConnection>,
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let (mut changes, mut answers) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut waiting = Vec::with_capacity(BATCH);
        while commands.recv_many(&mut waiting, BATCH).await > 0 {
            for command in waiting.drain(..) {
                changes.push(command.change);
                answers.push(command.answer);
            }
            let outcomes = self.commit(&changes).await;
            let outcomes = outcomes.map_err(|reason| self.health.failed(&reason));
            if let Ok(outcomes) = &outcomes {
                self.health.worked();
                self.remember(changes.drain(..).zip(outcomes));
            }
            changes.clear();
            let outcome = |index: usize| outcomes.as_ref().map_or(Err(Unavailable), |outcomes| Ok(outcomes[index]));
            answers::give(answers.drain(..).enumerate().map(|(index, answer)| (answer, outcome(index))));
        }
        if let Some(connection) = self.connection {
            // What was committed is on the disk already.
            let _ = connection.close().await;
        }
    }

    /// Commits all of the changes or none.
    async fn commit(&mut self, changes: &[Change]) -> Result<Vec<bool>, String> {
        if !self.file.is_in_place() {
            return Err("its file was removed or replaced; restart with the right one in place".to_owned());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => schema::reconnect(&self.file).await.map_err(|fault| schema::explain(&fault))?,
        };
        match batch::commit(&mut connection, changes).await {
            Ok(outcomes) => {
                self.file.note_log();
                self.connection = Some(connection);
                Ok(outcomes)
            }
            Err(fault) => {
                // Closed, it gives back its lock and undoes what it has begun.
                let _ = connection.close().await;
                Err(schema::explain(&fault))
            }
        }
    }

    /// Keeps at hand what was written, in the order in which it was.
    fn remember<'a>(&self, done: impl Iterator<Item = (Change, &'a bool)>) {
        for (change, _) in done.filter(|(_, took_place)| **took_place) {
            match change {
                Change::Put { key, sealed, expires_at } => {
                    self.cache.contexts.insert(key, Record { sealed, expires_at })
                }
                Change::Replace { key, .. } => drop(self.cache.contexts.remove(&key)),
                Change::Session { key, change: SessionChange::Open(session) } => {
                    self.cache.sessions.insert(key, session)
                }
                Change::Session { key, .. } => drop(self.cache.sessions.remove(&key)),
                Change::Own { conversation, end_user } => self.cache.owners.insert(conversation, end_user),
                Change::Use { .. }
                | Change::CountSession { .. }
                | Change::Revoke { .. }
                | Change::AddEntry(_)
                | Change::RewriteEntry(_)
                | Change::AddUses(_)
                | Change::Object(_)
                | Change::Sweep { .. }
                | Change::Probe => {}
            }
        }
    }
}
