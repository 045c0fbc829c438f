//! A closed loop over thousands of connections, each with a request under way at any time.
//!
//! wrk opens all its connections at once, which overruns the queue of connections to be accepted (4,096 on a plain
//! machine), and it counts from the first of them on. Here they are opened by and by, and only what happens while all are
//! open is counted.

use crate::Result;
use crate::connection::{Connection, chat_request};
use crate::flags::Effort;
use crate::lab::Lab;
use crate::load::Load;
use crate::process::Cpu;
use crate::stats::{micros, percentiles};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Opened together; the next ones follow when all of these have been answered. Well below any queue.
const BATCH: usize = 2000;
/// From the first answer of the last connection to the first one that counts.
const WARMUP: Duration = Duration::from_millis(500);
/// For a batch to be answered, and for the last answers.
const PATIENCE: Duration = Duration::from_secs(20);

type Callers = Vec<JoinHandle<io::Result<Vec<f64>>>>;

/// What happened while all connections were open.
pub(crate) struct Window {
    pub(crate) load: Load,
    pub(crate) cpu_before: Cpu,
    pub(crate) cpu_after: Cpu,
}

/// What the connections and the one who counts tell each other.
#[derive(Default)]
struct Phase {
    /// Connections that were answered, so that the proxy has what it needs for them.
    ready: AtomicUsize,
    /// Answers count from now on.
    counts: AtomicBool,
    over: AtomicBool,
}

/// Opens the connections, which also warms up, and counts; fails if any request did.
pub(crate) fn run(address: SocketAddr, lab: &Lab, effort: Effort, cpu: impl Fn() -> Cpu) -> Result<Window> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let phase = Arc::new(Phase::default());
        let callers = open(address, lab, effort.connections as usize, &phase).await?;
        sleep(WARMUP).await;
        let (cpu_before, begin) = (cpu(), Instant::now());
        phase.counts.store(true, Relaxed);
        sleep(Duration::from_secs(effort.seconds.into())).await;
        phase.over.store(true, Relaxed);
        let (cpu_after, duration) = (cpu(), begin.elapsed());
        let waits_us = timeout(PATIENCE, collect(callers)).await.map_err(|_| "some requests were not answered")??;
        Ok(Window { load: load(waits_us, duration)?, cpu_before, cpu_after })
    })
}

async fn open(address: SocketAddr, lab: &Lab, count: usize, phase: &Arc<Phase>) -> Result<Callers> {
    let request = chat_request(lab, address);
    let mut callers = Callers::with_capacity(count);
    while callers.len() < count {
        let batch = BATCH.min(count - callers.len());
        callers.extend((0..batch).map(|_| tokio::spawn(call(address, request.clone(), phase.clone()))));
        let asked = Instant::now();
        while phase.ready.load(Relaxed) < callers.len() {
            sleep(Duration::from_millis(5)).await;
            // One that ended has failed: nothing is over yet.
            if let Some(failed) = callers.iter().position(JoinHandle::is_finished) {
                callers.swap_remove(failed).await??;
            }
            if asked.elapsed() > PATIENCE {
                return Err(format!(
                    "{} of {} connections were answered in time",
                    phase.ready.load(Relaxed),
                    callers.len()
                )
                .into());
            }
        }
    }
    Ok(callers)
}

/// Asks again and again; gives back the waits that count.
async fn call(address: SocketAddr, request: Arc<str>, phase: Arc<Phase>) -> io::Result<Vec<f64>> {
    let mut connection = Connection::open(address, request).await?;
    connection.ask().await?;
    phase.ready.fetch_add(1, Relaxed);
    let mut waits_us = Vec::new();
    while !phase.over.load(Relaxed) {
        let since = Instant::now();
        connection.ask().await?;
        if phase.counts.load(Relaxed) && !phase.over.load(Relaxed) {
            waits_us.push(micros(since.elapsed()));
        }
    }
    Ok(waits_us)
}

async fn collect(callers: Callers) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for caller in callers {
        all.append(&mut caller.await??);
    }
    Ok(all)
}

fn load(mut waits_us: Vec<f64>, duration: Duration) -> Result<Load> {
    let requests = f64::from(u32::try_from(waits_us.len())?);
    if requests == 0.0 {
        return Err("no request was answered".into());
    }
    let [p50_us, p99_us, p999_us] = percentiles(&mut waits_us, [500, 990, 999]);
    Ok(Load { requests, seconds: duration.as_secs_f64(), p50_us, p99_us, p999_us, late_us: 0.0 })
}
