//! An open loop: requests are due at times drawn beforehand, whatever the proxy does meanwhile.
//!
//! Closed loops such as wrk's ask less while a proxy is slow, and so hide its pauses. Here a request that could not be
//! sent in time, because the one before it on its connection was not answered, has waited since it was due. One thread
//! keeps the time, because sockets that wait in epoll wake up at whole milliseconds only; another owns the sockets.

use crate::Result;
use crate::lab::Lab;
use crate::load::Load;
use crate::probe::CHAT_PATH;
use crate::token;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Between the last connection and the first request.
const HEAD_START: Duration = Duration::from_millis(20);
/// For requests that wait for their connection when the time is over.
const GRACE: Duration = Duration::from_millis(500);
/// Below this share of the due requests, the rate was not what the table says.
const LEAST_SENT: f64 = 0.99;

/// A fixed rate of the usual chat request.
pub(crate) struct Pace {
    pub(crate) per_second: f64,
    pub(crate) connections: u32,
    /// All but the first two lines.
    request: String,
}

impl Pace {
    pub(crate) fn chat(lab: &Lab, per_second: f64, connections: u32) -> Self {
        let request = format!(
            "Content-Type: application/json\r\nAuthorization: Bearer {}\r\nOrigin: {}\r\nContent-Length: {}\r\n\r\n{}",
            lab.token,
            token::ORIGIN,
            lab.request_body.len(),
            lab.request_body
        );
        Self { per_second, connections, request }
    }

    /// Asks for `seconds`; fails if a request did, or if the proxy could not keep up.
    pub(crate) fn run(&self, address: SocketAddr, seconds: u32) -> Result<Load> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(self.play(address, seconds))
    }

    async fn play(&self, address: SocketAddr, seconds: u32) -> Result<Load> {
        let streams = self.connect(address).await?;
        let request: Arc<str> = format!("POST {CHAT_PATH} HTTP/1.1\r\nHost: {address}\r\n{}", self.request).into();
        let schedule = self.schedule(seconds);
        let begin = Instant::now() + HEAD_START;
        let last_call = begin + Duration::from_secs(seconds.into()) + GRACE;
        let (queues, dues): (Vec<_>, Vec<_>) = streams.iter().map(|_| unbounded_channel()).unzip();
        let play = |(stream, due)| {
            let caller = Caller { request: request.clone(), stream, buffer: Vec::new(), last_call };
            tokio::spawn(caller.run(due))
        };
        let callers: Vec<_> = streams.into_iter().zip(dues).map(play).collect();
        let clock = thread::spawn(move || keep_time(begin, &schedule, &queues));
        let mut sum = Count::default();
        for caller in callers {
            sum.add(caller.await??);
        }
        clock.join().map_err(|_| "the clock panicked")?;
        sum.load(begin.elapsed())
    }

    async fn connect(&self, address: SocketAddr) -> Result<Vec<TcpStream>> {
        let mut streams = Vec::new();
        for _ in 0..self.connections {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        Ok(streams)
    }

    /// When which connection is to ask, as of many independent users (a Poisson process); the same in every run.
    fn schedule(&self, seconds: u32) -> Vec<(Duration, usize)> {
        let mut random = Random(0);
        let mut at = 0.0;
        let mut schedule = Vec::new();
        while at < f64::from(seconds) {
            schedule.push((Duration::from_secs_f64(at), schedule.len() % self.connections as usize));
            at -= (1.0 - random.uniform()).ln() / self.per_second;
        }
        schedule
    }
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

/// One connection.
struct Caller {
    request: Arc<str>,
    stream: TcpStream,
    buffer: Vec<u8>,
    last_call: Instant,
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

impl Caller {
    async fn run(mut self, mut due: UnboundedReceiver<Instant>) -> std::result::Result<Count, String> {
        let mut count = Count::default();
        let mut free_since = Instant::now();
        while let Some(due) = due.recv().await {
            let now = Instant::now();
            if now > self.last_call {
                count.missed += 1;
                continue;
            }
            // Waking up late is this program's fault, so the wait then begins when the request is sent.
            let since = if free_since < due { now } else { due };
            if free_since < due {
                count.lates_us.push(micros(now - due));
            }
            self.ask().await?;
            free_since = Instant::now();
            count.waits_us.push(micros(free_since - since));
        }
        Ok(count)
    }

    /// One request and its whole answer.
    async fn ask(&mut self) -> std::result::Result<(), String> {
        self.stream.write_all(self.request.as_bytes()).await.map_err(|error| error.to_string())?;
        self.buffer.clear();
        while !is_whole(&self.buffer)? {
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err("the connection was closed".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}

/// Whether an answer has arrived; fails if it is not the one that is wanted.
fn is_whole(answer: &[u8]) -> std::result::Result<bool, String> {
    let Some(head_length) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
    let head = String::from_utf8_lossy(&answer[..head_length]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    match length {
        Some(length) if head.starts_with("http/1.1 200 ") => Ok(answer.len() >= head_length + 4 + length),
        _ => Err(format!("the answer is not 200 with Content-Length: {head}")),
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.missed += other.missed;
        self.waits_us.extend(other.waits_us);
        self.lates_us.extend(other.lates_us);
    }

    /// The verdict.
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

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Values below which so many thousandths lie; zero without values.
fn percentiles<const N: usize>(values: &mut [f64], thousandths: [usize; N]) -> [f64; N] {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    thousandths.map(|share| values.get(last * share / 1000).copied().unwrap_or_default())
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
