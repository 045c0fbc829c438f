//! What the streams through one proxy cost.

use serde_json::{Value, json};

/// Columns of `Figures::cells`.
pub(super) const HEADING: [&str; 8] = [
    "KiB/stream",
    "with 1/3 open",
    "with 1/9 open",
    "RSS MiB idle",
    "RSS MiB open",
    "CPU µs/event",
    "p50 µs",
    "p99 µs",
];

/// Counted and read from the kernel in one run.
pub(super) struct Figures {
    /// Resident memory without a stream.
    pub(super) idle_kib: f64,
    /// Resident memory after so many streams were opened and had an event; the last is all of them.
    pub(super) curve: Vec<Point>,
    /// Resident memory with all of them after the measured events.
    pub(super) open: Point,
    /// CPU time of the proxy, user and system, during the measured events.
    pub(super) cpu_seconds: f64,
    /// From the upstream's write to the client's read, sorted.
    pub(super) delays_us: Vec<f64>,
}

/// Resident memory with a number of open streams.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) streams: f64,
    pub(super) resident_kib: f64,
}

impl Figures {
    /// Resident memory that came with all streams, for each.
    pub(super) fn kib_per_stream(&self) -> f64 {
        self.per_stream(self.open)
    }

    pub(super) fn cells(&self) -> Vec<String> {
        let at = |index: usize| self.curve.get(index).map_or(0.0, |point| self.per_stream(*point));
        vec![
            format!("{:.1}", self.kib_per_stream()),
            format!("{:.1}", at(1)),
            format!("{:.1}", at(0)),
            format!("{:.1}", self.idle_kib / 1024.0),
            format!("{:.1}", self.open.resident_kib / 1024.0),
            format!("{:.1}", self.cpu_us_per_event()),
            format!("{:.0}", self.delay_us(500)),
            format!("{:.0}", self.delay_us(990)),
        ]
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "kib_per_stream": self.kib_per_stream(),
            "resident_kib_idle": self.idle_kib,
            "resident_kib_open": self.open.resident_kib,
            "events": self.delays_us.len(),
            "cpu_us_per_event": self.cpu_us_per_event(),
            "delay_p50_us": self.delay_us(500),
            "delay_p99_us": self.delay_us(990),
            "delay_p999_us": self.delay_us(999),
            "delay_max_us": self.delay_us(1000),
        })
    }

    pub(super) fn curve_json(&self) -> Value {
        let point = |point: &Point| {
            json!({
                "streams": point.streams,
                "resident_kib": point.resident_kib,
                "kib_per_stream": self.per_stream(*point),
            })
        };
        self.curve.iter().map(point).collect()
    }

    fn per_stream(&self, point: Point) -> f64 {
        (point.resident_kib - self.idle_kib) / point.streams
    }

    fn cpu_us_per_event(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.delays_us.len() as f64
    }

    /// The delay that so many of a thousand events did not exceed.
    fn delay_us(&self, of_thousand: usize) -> f64 {
        let last = self.delays_us.len().saturating_sub(1);
        self.delays_us.get(last * of_thousand / 1000).copied().unwrap_or_default()
    }
}
