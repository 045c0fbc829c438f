//! What came of all requests, by scenario, and what should not have come.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

/// Wrong answers that are kept with all their words.
const KEPT: usize = 30;

/// The counts of one scenario.
#[derive(Default)]
struct Row {
    runs: u64,
    /// Runs that ended early, for a reason that is nobody's fault: which, and how often.
    excused: BTreeMap<&'static str, u64>,
    /// By class of status: 1xx to 5xx.
    classes: [u64; 5],
    broken: u64,
    times: Vec<Duration>,
    wrong: u64,
}

/// All counts.
#[derive(Default)]
pub struct Tally {
    rows: Mutex<BTreeMap<&'static str, Row>>,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn change(&self, scenario: &'static str, change: impl FnOnce(&mut Row)) {
        change(self.rows.lock().unwrap().entry(scenario).or_default());
    }

    /// An answer, how long its head took, and whether its body broke off.
    pub fn answer(&self, scenario: &'static str, status: u16, head: Duration, is_broken: bool) {
        self.change(scenario, |row| {
            let class = usize::from(status / 100).clamp(1, 5) - 1;
            row.classes[class] += 1;
            row.broken += u64::from(is_broken);
            row.times.push(head);
        });
    }

    pub fn run(&self, scenario: &'static str) {
        self.change(scenario, |row| row.runs += 1);
    }

    pub fn excused(&self, scenario: &'static str, why: &'static str) {
        self.change(scenario, |row| *row.excused.entry(why).or_default() += 1);
    }

    pub fn wrong(&self, scenario: &'static str, what: &str) {
        self.change(scenario, |row| row.wrong += 1);
        let mut wrong = self.wrong.lock().unwrap();
        if wrong.len() < KEPT {
            wrong.push(format!("{scenario}: {what}"));
        }
    }

    /// All that was wrong, in words; not more than can be read.
    pub fn all_wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    /// Answers in all.
    pub fn answers(&self) -> u64 {
        self.rows.lock().unwrap().values().map(|row| row.classes.iter().sum::<u64>()).sum()
    }

    /// A table for people, and for docs/reliability.md.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| Scenario | Runs | Answers | 1xx/2xx | 4xx | 5xx | Broken off | Head p50 ms | p99 ms | Excused | Wrong |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for (name, row) in self.rows.lock().unwrap().iter_mut() {
            row.times.sort_unstable();
            let [first, second, third, fourth, fifth] = row.classes;
            let excused: Vec<_> = row.excused.iter().map(|(why, count)| format!("{count} {why}")).collect();
            let (runs, broken, wrong) = (row.runs, row.broken, row.wrong);
            let answers = first + second + third + fourth + fifth;
            let (half, most) = (quantile(&row.times, 50), quantile(&row.times, 99));
            let excused = excused.join(", ");
            let _ = writeln!(
                table,
                "| {name} | {runs} | {answers} | {} | {fourth} | {fifth} | {broken} | {half:.1} | {most:.1} | {excused} | {wrong} |",
                first + second + third
            );
        }
        table
    }
}

/// In milliseconds, of sorted times.
fn quantile(times: &[Duration], percent: usize) -> f64 {
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}
