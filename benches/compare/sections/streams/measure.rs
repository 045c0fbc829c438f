//! One proxy's run: open the streams in steps, then pace events through them.

use super::client::Clients;
use super::figures::{Figures, Point};
use super::tally::Tally;
use super::upstream::Upstream;
use crate::Result;
use crate::lab::{Lab, Proxy};
use crate::rows::Row;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;
use tokio::time::{interval, sleep, timeout};

/// Each stream has one event in it.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
pub(super) const PERIODS: usize = 2;
/// An unmeasured event for each stream at every step, so that its memory is what it keeps while it streams.
const SETTLING_EVENTS_PER_SECOND: f64 = 4500.0;
/// Before memory is read, for allocators that give pages back a moment later.
const PAUSE: Duration = Duration::from_millis(700);
const OPENING_AT_ONCE: usize = 64;
/// Conversations that the streams share.
const TASKS: usize = 8;
/// Shorter than the time between two events.
const TICK: Duration = Duration::from_millis(1);
/// For the last events to arrive.
const GRACE: Duration = Duration::from_secs(1);
/// For everything; usually it takes less than 30 s.
const PATIENCE: Duration = Duration::from_secs(90);

/// Measures one proxy from its start to its end.
pub(super) fn run(row: &Row, lab: &Lab, streams: usize) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sockets = LocalSet::new();
    let (proxy, figures) = runtime.block_on(sockets.run_until(measured(row, lab, streams)))?;
    // In this order: a proxy that is told to stop may wait for open streams.
    drop(sockets);
    drop(proxy);
    Ok(figures)
}

async fn measured(row: &Row, lab: &Lab, streams: usize) -> Result<(Proxy, Figures)> {
    let gate = !row.claims.is_empty();
    let tally = Rc::new(Tally::new());
    let upstream = Upstream::start(Rc::clone(&tally), gate)?;
    let proxy = lab.start(&row.clone().with("upstream", &upstream.address.to_string()))?;
    let clients = Clients { address: proxy.address, token: lab.token.clone(), gate, tally: Rc::clone(&tally) };
    let mut run = Run { proxy, upstream, clients, tally, streams };
    let figures = timeout(PATIENCE, run.figures()).await.map_err(|_| format!("not done after {PATIENCE:?}"))?;
    run.proxy.process.alive()?;
    Ok((run.proxy, figures?))
}

struct Run {
    proxy: Proxy,
    upstream: Upstream,
    clients: Clients,
    tally: Rc<Tally>,
    streams: usize,
}

impl Run {
    async fn figures(&mut self) -> Result<Figures> {
        let paths = self.prepare().await?;
        sleep(PAUSE).await;
        let idle_kib = self.memory()?.resident_kib;
        let mut curve = Vec::new();
        for streams in [self.streams.div_ceil(9), self.streams.div_ceil(3), self.streams] {
            self.open(streams, &paths).await?;
            self.pace(streams, SETTLING_EVENTS_PER_SECOND).await?;
            sleep(PAUSE).await;
            curve.push(self.memory()?);
        }
        self.tally.take_delays_us();
        let before = self.proxy.process.cpu();
        self.pace(self.streams * PERIODS, self.streams as f64 / PERIOD.as_secs_f64()).await?;
        let (cpu_seconds, _) = self.proxy.process.cpu().seconds_since(before);
        Ok(Figures { idle_kib, curve, open: self.memory()?, cpu_seconds, delays_us: self.tally.take_delays_us() })
    }

    /// Creates the tasks whose streams will be opened; a gate proves that it is one.
    async fn prepare(&self) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        for _ in 0..TASKS {
            paths.push(self.clients.create_task().await?);
        }
        if let (true, Some(path)) = (self.clients.gate, paths.first()) {
            self.clients.prove_gate(path).await?;
        }
        Ok(paths)
    }

    /// Opens more streams until there are so many.
    async fn open(&self, streams: usize, paths: &[String]) -> Result<()> {
        let more = paths.iter().cycle().take(streams - self.upstream.open());
        let opening = stream::iter(more).map(|path| self.clients.open(path)).buffer_unordered(OPENING_AT_ONCE);
        opening.try_collect::<()>().await.map_err(|error| format!("a stream does not open: {error}"))?;
        self.tally.check()
    }

    /// Sends events at an even pace, stream after stream, and waits until all have arrived.
    async fn pace(&self, events: usize, per_second: f64) -> Result<()> {
        let mut ticks = interval(TICK);
        let started = Instant::now();
        for event in 0..events {
            let due = started + Duration::from_secs_f64(event as f64 / per_second);
            while Instant::now() < due {
                ticks.tick().await;
                self.tally.check()?;
            }
            self.upstream.send(event)?;
        }
        let sent = Instant::now();
        while self.tally.missing() > 0 && sent.elapsed() < GRACE {
            ticks.tick().await;
        }
        self.tally.check()?;
        match self.tally.missing() {
            0 => Ok(()),
            missing => Err(format!("{missing} of {events} events never arrived").into()),
        }
    }

    fn memory(&self) -> Result<Point> {
        let resident_kib = f64::from(u32::try_from(self.proxy.process.resident_kib())?);
        Ok(Point { streams: self.upstream.open() as f64, resident_kib })
    }
}
