//! An open loop: requests are due at times drawn beforehand, whatever the proxy does meanwhile.
//!
//! Closed loops ask less while a proxy is slow, and so hide its pauses. Here a request that could not be sent in time,
//! because the one before it on its connection was not answered, has waited since it was due. One thread keeps the time,
//! because sockets that wait in epoll wake up at whole milliseconds only; another owns the sockets.

use crate::Result;
use crate::connection::{Connection, chat_request};
use crate::lab::Lab;
use crate::load::Load;
use crate::stats::{micros, percentiles};
use std::io;
use std::net::SocketAddr;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Between the last connection and the first request.
const HEAD_START: Duration = Duration::from_millis(20);
/// For requests that wait for their connection when the time is over.
const GRACE: Duration = Duration::from_millis(500);
/// Below this share of the due requests, the rate was not what the table says.
const LEAST_SENT: f64 = 0.99;

/// A fixed rate of the usual chat request.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) per_second: f64,
    pub(crate) connections: u32,
}

/// Asks for `seconds`; fails if a request did, or if the proxy could not keep up.
pub(crate) fn run(address: SocketAddr, lab: &Lab, pace: Pace, seconds: u32) -> Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(play(address, lab, pace, seconds))
}

async fn play(address: SocketAddr, lab: &Lab, pace: Pace, seconds: u32) -> Result<Load> {
    let request = chat_request(lab, address);
    let mut connections = Vec::new();
    for _ in 0..pace.connections {
        connections.push(Connection::open(address, request.clone()).await?);
    }
    let (queues, dues): (Vec<_>, Vec<_>) = connections.iter().map(|_| unbounded_channel()).unzip();
    let begin = Instant::now() + HEAD_START;
    let last_call = begin + Duration::from_secs(seconds.into()) + GRACE;
    let call = |(connection, due)| tokio::spawn(call(connection, due, last_call));
    let callers: Vec<_> = connections.into_iter().zip(dues).map(call).collect();
    let clock = thread::spawn(move || keep_time(begin, &schedule(pace, seconds), &queues));
    let mut sum = Count::default();
    for caller in callers {
        sum.add(caller.await??);
    }
    clock.join().map_err(|_| "the clock panicked")?;
    sum.load(begin.elapsed())
}

/// When which connection is to ask, as of many independent users (a Poisson process); the same in every run.
fn schedule(pace: Pace, seconds: u32) -> Vec<(Duration, usize)> {
    let mut random = Random(0);
    let mut at = 0.0;
    let mut schedule = Vec::new();
    while at < f64::from(seconds) {
        schedule.push((Duration::from_secs_f64(at), schedule.len() % pace.connections as usize));
        at -= (1.0 - random.uniform()).ln() / pace.per_second;
    }
    schedule
}

/// Tells each connection when its next request is due, at that time.
fn keep_time(begin: Instant, schedule: &[(Duration, usize)], queues: &[UnboundedSender<Instant>]) {
    for (offset, connection) in schedule {
        let due = begin + *offset;
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            sleep(early);
        }
        // A connection that failed no longer listens, and says why at the end.
        let _ = queues[*connection].send(due);
    }
}

/// Asks whenever it is due, until the clock stops.
async fn call(
    mut connection: Connection,
    mut due: UnboundedReceiver<Instant>,
    last_call: Instant,
) -> io::Result<Count> {
    let mut count = Count::default();
    let mut free_since = Instant::now();
    while let Some(due) = due.recv().await {
        let mut since = due;
        if free_since < due {
            // Waking up late is this program's fault, so the wait then begins when the request is sent.
            since = Instant::now();
            count.lates_us.push(micros(since - due));
        } else if free_since > last_call {
            count.missed += 1;
            continue;
        }
        connection.ask().await?;
        free_since = Instant::now();
        count.waits_us.push(micros(free_since - since));
    }
    Ok(count)
}

/// What one connection, or all of them, saw.
#[derive(Default)]
struct Count {
    waits_us: Vec<f64>,
    /// From due to sent, where the connection was free.
    lates_us: Vec<f64>,
    /// Due, but the time was over before the connection was free.
    missed: u32,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.missed += other.missed;
        self.waits_us.extend(other.waits_us);
        self.lates_us.extend(other.lates_us);
    }

    fn load(mut self, duration: Duration) -> Result<Load> {
        let requests = f64::from(u32::try_from(self.waits_us.len())?);
        let due = requests + f64::from(self.missed);
        if requests < LEAST_SENT * due || requests == 0.0 {
            return Err(format!("only {requests} of {due} requests could be sent in time").into());
        }
        let [late_us] = percentiles(&mut self.lates_us, [990]);
        let [p50_us, p99_us, p999_us] = percentiles(&mut self.waits_us, [500, 990, 999]);
        Ok(Load { requests, seconds: duration.as_secs_f64(), p50_us, p99_us, p999_us, late_us })
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// From 0 to below 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default()) / 4_294_967_296.0
    }
}
