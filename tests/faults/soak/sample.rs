//! What the gate's process holds, as the kernel says, from one moment to the next.

use std::fs;
use std::time::Duration;

/// One look at a process.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the load began.
    pub at: Duration,
    /// Resident memory, KiB.
    pub resident: f64,
    /// Open descriptors.
    pub descriptors: usize,
    pub threads: usize,
}

impl Sample {
    /// Looks at it.
    pub fn of(process: u32, at: Duration) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the gate runs");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.split_whitespace().next().expect("a number").parse().expect("a number")
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("the gate runs").count();
        let (resident, threads): (u32, u32) = (number("VmRSS:"), number("Threads:"));
        Self { at, resident: f64::from(resident), descriptors, threads: usize::try_from(threads).expect("a number") }
    }
}

/// KiB by which memory has grown from the first to the last of these, by the line that fits them best (least squares).
pub fn growth(samples: &[Sample]) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0.0 };
    let points: Vec<(f64, f64)> = samples.iter().map(|sample| (sample.at.as_secs_f64(), sample.resident)).collect();
    let count = points.iter().map(|_| 1.0).sum::<f64>();
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
        (over + (point.0 - x) * (point.1 - y), under + (point.0 - x) * (point.0 - x))
    });
    if under > 0.0 { over / under * (last.at - first.at).as_secs_f64() } else { 0.0 }
}

#[test]
fn growth_is_that_of_the_line_whatever_a_single_look_says() {
    let sample =
        |at: u32, resident| Sample { at: Duration::from_secs(at.into()), resident, descriptors: 0, threads: 0 };
    let steady: Vec<_> = (0..101).map(|n| sample(n, if n == 50 { 9_000.0 } else { 1_000.0 })).collect();
    assert!(growth(&steady).abs() < 1.0, "{}", growth(&steady));
    let leaking: Vec<_> = (0..101).map(|n| sample(n, 1_000.0 + f64::from(n) * 2.0)).collect();
    assert!((growth(&leaking) - 200.0).abs() < 0.01, "{}", growth(&leaking));
}
