//! What the service manager is told of the gate (sd_notify(3)): that it is ready, stops, or is another process now,
//! and by a watchdog that its workers answer. Without `NOTIFY_SOCKET` nobody is told.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::config::Supervisor;
use crate::worker::ENDED;

/// A worker beats once a second; one that has not for this long does not answer, however short the watchdog is.
const MISSED: Duration = Duration::from_secs(3);

/// To the service manager.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Within which time it wants to hear that the workers answer.
    watchdog: Option<Duration>,
    /// Another process speaks for the service.
    silent: AtomicBool,
}

impl Notifier {
    /// For the service manager that started this process. With `succeeds`, for that of the gate before this one,
    /// whose watchdog goes over to us.
    ///
    /// # Errors
    /// A message, if there is a socket to tell it that cannot be used.
    pub fn new(supervisor: &Supervisor, succeeds: bool) -> Result<Self, String> {
        let open = |name: &String| -> io::Result<(UnixDatagram, SocketAddr)> {
            match name.strip_prefix('@') {
                Some(name) => Ok((UnixDatagram::unbound()?, SocketAddr::from_abstract_name(name)?)),
                None => Ok((UnixDatagram::unbound()?, SocketAddr::from_pathname(name)?)),
            }
        };
        let fault = |fault: io::Error| format!("NOTIFY_SOCKET cannot be used: {fault}");
        let socket = supervisor.notify.as_ref().map(open).transpose().map_err(fault)?;
        if let Some((socket, _)) = &socket {
            socket.set_nonblocking(true).map_err(fault)?;
        }
        let watchdog = supervisor.watchdog.filter(|_| socket.is_some() && (succeeds || supervisor.watches_us));
        Ok(Self { socket, watchdog, silent: AtomicBool::new(false) })
    }

    /// The gate listens.
    pub fn ready(&self) {
        self.tell("READY=1\nSTATUS=Listening");
    }

    /// The configuration is read anew; [`Notifier::ready`] tells that this is done, whatever came of it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The gate drains, and ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Draining");
    }

    /// Another process is the service from now on. This one drains; nothing more is told of it.
    pub fn succeeded(&self, process: u32) {
        self.tell(&format!("MAINPID={process}"));
        self.silent.store(true, Ordering::Relaxed);
    }

    /// Tells again and again that the workers answer, as long as each of them does. Returns at once where nobody
    /// wants to know.
    pub async fn watch(&self, mut beats: Beats) {
        let Some(watchdog) = self.watchdog else { return };
        let mut missing = false;
        loop {
            let late = beats.late(MISSED.max(watchdog / 2));
            match late {
                None => self.tell("WATCHDOG=1"),
                Some(worker) if !missing => tracing::error!(worker, "a worker does not answer"),
                Some(_) => {}
            }
            missing = late.is_some();
            tokio::time::sleep(watchdog / 2).await;
        }
    }

    /// A service manager that does not listen is no reason to stop.
    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && !self.silent.load(Ordering::Relaxed)
            && let Err(fault) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::warn!(error = %fault, "the service manager could not be told");
        }
    }
}

/// The workers' beats, and when each was last seen to go on.
#[derive(Debug)]
pub struct Beats {
    workers: Vec<(Arc<AtomicU64>, u64, Instant)>,
}

impl Beats {
    /// Those of all workers, which are well so far.
    pub fn new(workers: impl IntoIterator<Item = Arc<AtomicU64>>) -> Self {
        let now = Instant::now();
        Self { workers: workers.into_iter().map(|beats| (beats, 0, now)).collect() }
    }

    /// A worker that has not gone on for more than `span`.
    fn late(&mut self, span: Duration) -> Option<usize> {
        let now = Instant::now();
        for (beats, seen, at) in &mut self.workers {
            let beaten = beats.load(Ordering::Relaxed);
            if beaten != *seen {
                (*seen, *at) = (beaten, now);
            }
        }
        self.workers.iter().position(|(_, seen, at)| *seen != ENDED && now.duration_since(*at) > span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_stops_is_found_and_one_that_goes_on_again_is_well() {
        let workers = [Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default()];
        let mut beats = Beats::new(workers.iter().cloned());
        let span = Duration::from_secs(3);
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(1)).await;
            workers[0].fetch_add(1, Ordering::Relaxed);
            if beats.late(span).is_some() {
                break;
            }
        }
        assert_eq!(beats.late(span), Some(1));
        workers[1].fetch_add(1, Ordering::Relaxed);
        assert_eq!(beats.late(span), None);
        workers.iter().for_each(|worker| worker.store(ENDED, Ordering::Relaxed));
        assert_eq!(beats.late(span), None);
        tokio::time::advance(span * 2).await;
        assert_eq!(beats.late(span), None, "who has ended does not hang");
    }

    #[test]
    fn messages_are_datagrams_in_the_words_of_sd_notify() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify.sock");
        let manager = UnixDatagram::bind(&path).expect("bound");
        let notify = Some(path.display().to_string());
        let supervisor = Supervisor { notify, ..Supervisor::default() };
        let notifier = Notifier::new(&supervisor, false).expect("usable");
        let next = || {
            let mut bytes = [0; 200];
            let read = manager.recv(&mut bytes).expect("a message");
            String::from_utf8(bytes[..read].to_vec()).expect("text")
        };
        notifier.reloading();
        let message = next();
        let micros = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("two fields");
        assert!(micros.parse::<u64>().expect("a number") > 0);
        notifier.succeeded(7);
        assert_eq!(next(), "MAINPID=7");
        notifier.ready();
        manager.set_nonblocking(true).expect("set");
        assert!(manager.recv(&mut [0; 8]).is_err(), "who has been succeeded is silent");
    }
}
