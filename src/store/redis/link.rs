//! The one connection to the server, which all workers share, and the task that keeps it. The task
//! lives on the runtime that opened the store, the control runtime: so does the connection, whoever
//! found it broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, PushInfo, PushKind, RedisError, RedisResult, ScriptInvocation,
    cmd,
};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::fault::Fault;
use super::time::{Time, difference};
use crate::config::RedisSettings;

/// How often the connection is tried when nobody complains.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The same while something is wrong.
const SOON: Duration = Duration::from_millis(500);

/// Between two attempts to connect: at first, and at most.
const DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Calls that wait for the connection to take them; more wait for a place among these.
const QUEUE: usize = 1_024;

/// A connection that is opened anew when it is lost.
pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    timeout: Duration,
    probe: Cmd,
    /// `None` while there is none: calls then fail at once.
    connection: ArcSwapOption<MultiplexedConnection>,
    /// Rung when a call failed or the connection broke.
    bell: Arc<Notify>,
    /// Somebody complained since the keeper last looked.
    heard: AtomicBool,
    /// The server did not answer the last time.
    silent: AtomicBool,
    /// The server refused something that it should do.
    refusing: AtomicBool,
    /// Its clock and ours differ by too much.
    astray: AtomicBool,
}

impl Link {
    /// Connects. `probe` is the name of the key that tells whether the server takes what is written.
    pub(super) async fn open(client: Client, settings: &RedisSettings, probe: &str) -> RedisResult<Self> {
        let bell = Arc::new(Notify::new());
        let rung = Arc::clone(&bell);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.connect_timeout))
            // Each call has one deadline, see `bounded`.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE)
            .set_push_sender(move |push: PushInfo| -> Result<(), ()> {
                if push.kind == PushKind::Disconnection {
                    rung.notify_one();
                }
                Ok(())
            });
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut command = cmd("SET");
        command.arg(probe).arg("").arg("PX").arg(1_000);
        Ok(Self {
            client,
            config,
            timeout: settings.timeout,
            probe: command,
            connection: ArcSwapOption::from_pointee(connection),
            bell,
            heard: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            astray: AtomicBool::new(false),
        })
    }

    /// Sends a command.
    pub(super) async fn call<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        self.bounded(async { command.query_async(&mut self.connection()?).await }).await
    }

    /// As [`Self::call`], by someone who expects a refusal: nobody is told.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        self.timely(async { command.query_async(&mut self.connection()?).await }).await
    }

    /// Runs a script; one that the server has forgotten is sent again.
    pub(super) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> RedisResult<T> {
        self.bounded(async { script.invoke_async(&mut self.connection()?).await }).await
    }

    /// Writes something that is soon gone: whether the server takes it.
    pub(super) async fn try_writing(&self) -> RedisResult<()> {
        self.call(&self.probe).await
    }

    /// Whether the last calls went well.
    pub(super) fn is_well(&self) -> bool {
        !self.silent.load(Ordering::Relaxed) && !self.refusing.load(Ordering::Relaxed)
    }

    fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let missing = || RedisError::from(std::io::Error::from(std::io::ErrorKind::NotConnected));
        self.connection.load_full().map(|connection| (*connection).clone()).ok_or_else(missing)
    }

    /// An answer within the timeout. A write that gets none may have been done all the same.
    async fn bounded<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let outcome = self.timely(answer).await;
        if let Err(error) = &outcome {
            self.complain(&Fault(error));
        }
        outcome
    }

    async fn timely<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        timeout(self.timeout, answer).await.unwrap_or_else(late)
    }

    /// One line when it begins; the keeper has the one when it ends.
    fn complain(&self, fault: &Fault<'_>) {
        if !fault.is_answer() {
            if !self.silent.swap(true, Ordering::Relaxed) {
                tracing::warn!(error = %fault, "the store does not answer");
            }
        } else if !self.refusing.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = %fault, "the store refuses");
        }
        self.heard.store(true, Ordering::Relaxed);
        self.bell.notify_one();
    }

    /// Opens the connection anew whenever it is lost, and tells when all is well again.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            let pause = if self.is_well() { HEARTBEAT } else { SOON };
            let _ = timeout(pause, self.bell.notified()).await;
            if !self.answers().await {
                self.connect().await;
            }
            self.recover().await;
            // A server that fails each call is not asked more often than this.
            sleep(DELAYS.0).await;
        }
    }

    /// Asks for the time: it may be another server by now, or its clock may have been set.
    async fn answers(&self) -> bool {
        let time = self.call(&cmd("TIME")).await;
        time.map(|time| self.compare(time)).is_ok()
    }

    /// One line when the clocks begin to differ, and one when they agree.
    fn compare(&self, time: Time) {
        let difference = difference(time);
        if self.astray.swap(difference.is_some(), Ordering::Relaxed) == difference.is_some() {
            return;
        }
        match difference {
            Some(off_s) => tracing::error!(
                off_s,
                "the clocks of Redis and of this machine differ: used tokens may be forgotten too early"
            ),
            None => tracing::info!("the clocks of Redis and of this machine agree again"),
        }
    }

    async fn connect(&self) {
        self.connection.store(None);
        let mut delay = DELAYS.0;
        loop {
            match self.client.get_multiplexed_async_connection_with_config(&self.config).await {
                Ok(connection) => return self.connection.store(Some(Arc::new(connection))),
                Err(error) => self.complain(&Fault(&error)),
            }
            sleep(delay).await;
            delay = (delay * 2).min(DELAYS.1);
        }
    }

    async fn recover(&self) {
        // What keeps failing, though the probe does not, must not fill the log.
        if self.is_well() || self.heard.swap(false, Ordering::Relaxed) {
            return;
        }
        match self.try_writing().await {
            Ok(()) => {
                self.silent.store(false, Ordering::Relaxed);
                self.refusing.store(false, Ordering::Relaxed);
                tracing::info!("the store works again");
            }
            // Behind its name there may be another server by now.
            Err(error) if Fault(&error).is_replica() => self.connect().await,
            Err(_) => {}
        }
    }
}
