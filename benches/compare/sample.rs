//! What one round found out about one row.

use crate::Result;
use crate::load::Load;
use crate::process::Cpu;
use crate::stats::spread;
use serde_json::{Value, json};

/// The figures of one load, or the medians of several.
pub(crate) struct Sample {
    /// CPU time of the proxy, user and system, over completed requests.
    pub(crate) cpu_us_per_request: f64,
    /// The part of it in the program's own code; the rest is the kernel's, mostly TCP.
    pub(crate) user_us_per_request: f64,
    pub(crate) requests_per_second: f64,
    /// Cores that the proxy kept busy; clearly below what it has, something else was the limit.
    pub(crate) busy: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) resident_mib: f64,
    /// `Load::late_us`: clearly above zero, somebody else used the load's core, and the waiting times are not the proxy's.
    pub(crate) late_us: f64,
}

impl Sample {
    /// What was counted under load, and what the kernel says about the proxy before and after it.
    pub(crate) fn of(load: &Load, before: Cpu, after: Cpu, resident_kib: u64) -> Result<Self> {
        let (cpu_seconds, user_seconds) = after.seconds_since(before);
        Ok(Self {
            cpu_us_per_request: cpu_seconds * 1e6 / load.requests,
            user_us_per_request: user_seconds * 1e6 / load.requests,
            requests_per_second: load.requests / load.seconds,
            busy: cpu_seconds / load.seconds,
            p50_us: load.p50_us,
            p99_us: load.p99_us,
            p999_us: load.p999_us,
            resident_mib: f64::from(u32::try_from(resident_kib)?) / 1024.0,
            late_us: load.late_us,
        })
    }

    /// The median of each figure on its own.
    pub(crate) fn median(samples: &[Self]) -> Self {
        let of = |pick: fn(&Self) -> f64| spread(samples.iter().map(pick)).median;
        Self {
            cpu_us_per_request: of(|sample| sample.cpu_us_per_request),
            user_us_per_request: of(|sample| sample.user_us_per_request),
            requests_per_second: of(|sample| sample.requests_per_second),
            busy: of(|sample| sample.busy),
            p50_us: of(|sample| sample.p50_us),
            p99_us: of(|sample| sample.p99_us),
            p999_us: of(|sample| sample.p999_us),
            resident_mib: of(|sample| sample.resident_mib),
            late_us: of(|sample| sample.late_us),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "cpu_us_per_request": self.cpu_us_per_request,
            "user_us_per_request": self.user_us_per_request,
            "requests_per_second": self.requests_per_second,
            "busy": self.busy,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "p999_us": self.p999_us,
            "resident_mib": self.resident_mib,
            "late_us": self.late_us,
        })
    }
}
