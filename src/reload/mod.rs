//! Reading the configuration anew while the gate runs: when it is asked for, and when one of its files has changed.
//!
//! The whole new configuration comes into force, or nothing of it: all of it is read and made ready first, then one
//! pointer is set ([`Gates`]). Files are looked at, not listened to: what a look at each of them says once a second holds
//! on every file system, and for files that are replaced, linked elsewhere or away for a while, like all others.

mod fixed;

pub use fixed::Fixed;

use std::sync::Arc;
use std::time::Duration;

use sidegate_core::clock::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::assemble::Prepared;
use crate::config::{Files, Input, Read, Settings, read};
use crate::gate::{Gate, Gates};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::telemetry::Levels;

/// Between two looks at the files. They are read when two looks after a change were alike.
const LOOK: Duration = Duration::from_millis(500);

/// So many looks that are not alike are enough.
const RESTLESS: u32 = 10;

/// Before files are read again that were good while the store was not.
const AGAIN: Duration = Duration::from_secs(5);

/// Why the configuration of now is read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// SIGHUP.
    Signal,
    /// `sidegate reload`.
    Command,
    /// A file has changed.
    File,
}

impl Cause {
    /// As the log says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Command => "sidegate reload",
            Self::File => "a file has changed",
        }
    }
}

/// Why everything stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Every reason that was found.
    pub reasons: Vec<String>,
    /// Whether the same configuration may be taken a little later.
    passes: bool,
}

impl From<Vec<String>> for Refused {
    fn from(reasons: Vec<String>) -> Self {
        Self { reasons, passes: false }
    }
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        vec![reason].into()
    }
}

/// What a reload came to: the generation that is in force.
pub type Outcome = Result<u64, Refused>;

struct Asked {
    cause: Cause,
    answer: oneshot::Sender<Outcome>,
}

/// Asks for reloads.
#[derive(Clone)]
pub struct Reloads(mpsc::UnboundedSender<Asked>);

impl Reloads {
    /// Reads the configuration anew. Who asks while another reload runs gets the next one, together with all others who do.
    ///
    /// # Errors
    /// [`Refused`]; then everything is as it was.
    pub async fn ask(&self, cause: Cause) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let gone = || Refused::from("the gate is stopping".to_owned());
        self.0.send(Asked { cause, answer }).map_err(|_| gone())?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// What the program was started with.
pub struct Origins {
    /// Where its configuration comes from.
    pub input: Input,
    /// The files of it that were read.
    pub files: Files,
    /// What stays as it was then.
    pub fixed: Fixed,
    /// Whether the files are looked at.
    pub watch: bool,
    /// Which log lines are written.
    pub levels: Levels,
    /// Hears when it begins and when it is done.
    pub notifier: Arc<Notifier>,
}

/// Reloads the configuration of a running gate.
pub struct Reloader {
    input: Arc<Input>,
    files: Files,
    fixed: Fixed,
    watch: bool,
    levels: Levels,
    notifier: Arc<Notifier>,
    gates: Gates,
    draining: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
    /// When files that are good are to be tried again.
    owed: Option<Instant>,
}

impl Reloader {
    /// Begins in a task of its own.
    #[must_use]
    pub fn start(of: Origins, gates: Gates, draining: watch::Receiver<bool>, metrics: Arc<Metrics>) -> Reloads {
        let Origins { input, files, fixed, watch, levels, notifier } = of;
        let (asks, asked) = mpsc::unbounded_channel();
        let input = Arc::new(input);
        let reloader = Self { input, files, fixed, watch, levels, notifier, gates, draining, metrics, owed: None };
        tokio::spawn(reloader.run(asked));
        Reloads(asks)
    }

    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Asked>) {
        loop {
            let (cause, mut answers) = tokio::select! {
                first = asked.recv() => match first {
                    Some(first) => (first.cause, vec![first.answer]),
                    None => return,
                },
                // One that drains reads nothing, however often it is asked.
                () = self.is_due(), if self.watch && !*self.draining.borrow() => (Cause::File, Vec::new()),
            };
            while let Ok(more) = asked.try_recv() {
                answers.push(more.answer);
            }
            let outcome = self.reload(cause).await;
            for answer in answers {
                // Who has left needs none.
                let _ = answer.send(outcome.clone());
            }
        }
    }

    /// Returns when a file has changed, and has then been left alone for a moment.
    async fn is_due(&self) {
        let (mut last, mut looks) = (None, 0);
        loop {
            tokio::time::sleep(LOOK).await;
            if self.owed.is_some_and(|owed| owed <= Instant::now()) {
                return;
            }
            let files = self.files.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || files.again()).await else { continue };
            if now == self.files {
                (last, looks) = (None, 0);
                continue;
            }
            looks += 1;
            if last.as_ref() == Some(&now) || looks == RESTLESS {
                return;
            }
            last = Some(now);
        }
    }

    async fn reload(&mut self, cause: Cause) -> Outcome {
        if *self.draining.borrow() {
            let refused = Refused::from("the gate is draining".to_owned());
            tell(cause, &refused);
            return Err(refused);
        }
        self.notifier.reloading();
        let outcome = self.renew().await;
        // Whatever came of it. That it drains meanwhile has been said, and is the last word.
        if !*self.draining.borrow() {
            self.notifier.ready();
        }
        self.metrics.reloaded(outcome.is_ok(), now(&self.gates));
        // Whoever asked for it: files that have changed were read, and are not found changed once more.
        let again = outcome.as_ref().is_err_and(|refused| refused.passes);
        self.owed = again.then(|| Instant::now() + AGAIN);
        match &outcome {
            Ok(generation) => {
                tracing::info!(generation, cause = cause.name(), "the configuration was read anew and is in force");
            }
            Err(refused) => tell(cause, refused),
        }
        outcome
    }

    async fn renew(&mut self) -> Outcome {
        let (input, known) = (Arc::clone(&self.input), self.files.clone());
        let read = blocking(move || {
            let known = known.again();
            let Read { outcome, files } = read(&input);
            (outcome.map(|loaded| loaded.settings), files, known)
        });
        let (outcome, files, known) = read.await?;
        match outcome {
            Ok(settings) => {
                self.files = files;
                self.put_in_force(settings).await
            }
            Err(problems) => {
                // What was not reached this time is looked at all the same.
                self.files = files.and(&known);
                Err(problems.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().into())
            }
        }
    }

    async fn put_in_force(&mut self, settings: Settings) -> Outcome {
        let fixed = self.fixed.changed(&settings);
        if !fixed.is_empty() {
            let reason = |key: &&str| format!("{key}: has changed; it needs a restart");
            return Err(fixed.iter().map(reason).collect::<Vec<_>>().into());
        }
        let (watch, level) = (settings.watch, settings.log_level);
        let (running, before) = (self.gates.load_full(), self.gates.load_full());
        let prepared = blocking(move || Prepared::new(settings, Some(&before))).await??;
        let bootstrap = prepared.bootstrap();
        let gate = prepared.finish(Arc::clone(&running.lasting), running.generation + 1).await;
        let unavailable = |fault: crate::store::Unavailable| Refused { reasons: vec![fault.to_string()], passes: true };
        let gate = Arc::new(gate.map_err(unavailable)?);
        // Nothing fails from here on.
        running.retire_for(&gate);
        running.service_tokens.set_bootstrap(bootstrap);
        // What is at hand may be sealed with a key that the next gate has not.
        running.store.forget_at_hand();
        self.levels.set(level);
        self.watch = watch;
        self.gates.store(Arc::clone(&gate));
        gate.changes.tell();
        for app in gate.registry.load().opened_since(&running.registry.load()) {
            tracing::warn!(app = app.id.as_str(), "origins is empty: pages of any origin may use this app's tokens");
        }
        catch_up(&gate).await;
        Ok(gate.generation)
    }
}

/// What was changed in the registry while its apps were read.
async fn catch_up(gate: &Gate) {
    if gate.apps.refresh().await.is_err() {
        tracing::warn!("the registry fell silent during a reload; its apps are as they were read before");
    }
}

/// Waits for files without holding up the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
    tokio::task::spawn_blocking(work).await.map_err(|_| "a fault within".to_owned().into())
}

fn now(gates: &Gates) -> Timestamp {
    gates.load().now()
}

fn tell(cause: Cause, refused: &Refused) {
    for reason in &refused.reasons {
        tracing::error!(reason, "the new configuration is refused");
    }
    tracing::error!(
        cause = cause.name(),
        reasons = refused.reasons.len(),
        "everything stays as it was configured before"
    );
}
