//! What the gate is held to: each target with its measured value, met or not.

use crate::sections::Done;
use serde_json::{Value, json};

/// One promise, and what this run says about it.
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) bound: Bound,
    /// A better value that is wished for.
    pub(crate) stretch: Option<f64>,
    /// `None`: its section or one of its rows did not run, or was void.
    pub(crate) measured: Option<f64>,
}

/// Which values meet a target.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    /// A target for one value over another.
    pub(crate) fn ratio(what: &str, bound: Bound, measured: Option<f64>) -> Self {
        Self::of(what, "×", bound, measured)
    }

    /// A target for a value in `unit`.
    pub(crate) fn of(what: &str, unit: &'static str, bound: Bound, measured: Option<f64>) -> Self {
        Self { what: what.to_owned(), unit, bound, stretch: None, measured }
    }

    pub(crate) fn stretch(self, value: f64) -> Self {
        Self { stretch: Some(value), ..self }
    }

    fn met(&self) -> Option<bool> {
        Some(self.bound.allows(self.measured?))
    }

    fn cells(&self) -> Vec<String> {
        let stretch = self.stretch.map_or_else(String::new, |value| format!(" (stretch {value:.2})"));
        let (sign, limit) = self.bound.parts();
        vec![
            self.what.clone(),
            format!("{sign} {limit:.2} {}{stretch}", self.unit),
            self.measured.map_or_else(|| "-".to_owned(), |value| format!("{value:.2} {}", self.unit)),
            verdict(self.met()).to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let (sign, limit) = self.bound.parts();
        json!({
            "what": self.what, "unit": self.unit, "bound": sign, "limit": limit,
            "stretch": self.stretch, "measured": self.measured, "met": self.met(),
        })
    }
}

impl Bound {
    fn allows(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }

    fn parts(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(limit) => ("≤", limit),
            Self::AtLeast(limit) => ("≥", limit),
        }
    }
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "NOT MET",
        None => "not measured",
    }
}

/// All targets as a table with its heading.
pub(crate) fn table(targets: &[Target]) -> Vec<Vec<String>> {
    let heading = ["target", "goal", "measured", "verdict"].map(str::to_owned).to_vec();
    std::iter::once(heading).chain(targets.iter().map(Target::cells)).collect()
}

/// All targets for the JSON report.
pub(crate) fn list(targets: &[Target]) -> Value {
    targets.iter().map(Target::json).collect()
}

/// A row's median in a section; `None` if it was not measured.
pub(crate) fn median(done: &Done, section: &str, field: &str, row: &str) -> Option<f64> {
    let rows = done.get(section)?["rows"].as_array()?;
    rows.iter().find(|one| one["name"] == row)?["median"][field].as_f64()
}

/// A row's median over another row's of the same section.
pub(crate) fn ratio(done: &Done, section: &str, field: &str, row: &str, baseline: &str) -> Option<f64> {
    Some(median(done, section, field, row)? / median(done, section, field, baseline)?)
}
