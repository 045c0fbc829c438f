//! The results as pictures: `forward.svg`, `curve.svg` and `streams.svg` beside the JSON, or drawn from an older one.

mod bars;
mod curves;
mod svg;

use crate::Result;
use crate::rows::{HAPROXY_JWT, NGINX};
use bars::{Bar, Bars};
use curves::{Curve, Curves};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A picture of the sections that ran; `None` if its own did not.
type Draw = fn(&Value) -> Option<String>;

const PICTURES: [(&str, Draw); 3] = [("forward.svg", forward), ("curve.svg", curve), ("streams.svg", streams)];

/// Draws what a report's file holds, beside `out`.
pub(crate) fn from_file(file: &Path, out: &Path) -> Result<()> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let report: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    if !report["sections"].is_object() {
        return Err(format!("{}: not a report of this bench", file.display()).into());
    }
    draw(&report["sections"], out)
}

/// Draws the sections of a report, beside `out`. A picture that they have no figures for is removed: it would show an
/// older run.
pub(crate) fn draw(sections: &Value, out: &Path) -> Result<()> {
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder)?;
    }
    for (name, draw) in PICTURES {
        let path = out.with_file_name(name);
        match draw(sections) {
            Some(picture) => fs::write(path, picture)?,
            None if path.exists() => fs::remove_file(path)?,
            None => {}
        }
    }
    Ok(())
}

fn forward(sections: &Value) -> Option<String> {
    let bar = |row: &Value| {
        let cpu = row["median"]["cpu_us_per_request"].as_f64()?;
        let user = row["median"]["user_us_per_request"].as_f64()?;
        Some(Bar { parts: vec![user, cpu - user], spread: spread(row), ..labelled(row)? })
    };
    let chart = Bars {
        title: "CPU per request",
        subtitle: "a chat request of 1 KiB each way; median, least and most of all rounds",
        unit: "µs",
        parts: &["program", "kernel"],
        rows: rows(&sections["forward"], bar)?,
    };
    Some(chart.draw())
}

fn streams(sections: &Value) -> Option<String> {
    let bar = |row: &Value| Some(Bar { parts: vec![row["median"]["kib_per_stream"].as_f64()?], ..labelled(row)? });
    let chart = Bars {
        title: "Memory per open stream",
        subtitle: "resident memory that came with the streams, for each",
        unit: "KiB",
        parts: &[],
        rows: rows(&sections["streams"], bar)?,
    };
    Some(chart.draw())
}

fn curve(sections: &Value) -> Option<String> {
    let section = &sections["curve"];
    let numbers = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<_>>>();
    let line = |row: &Value| Some(Curve { name: row["name"].as_str()?.to_owned(), values: numbers(&row["cpu_us"])? });
    let chart = Curves {
        title: "CPU per request over connections",
        subtitle: "µs, user and system; each connection has a request under way",
        along: "connections",
        at: numbers(&section["connections"])?,
        rows: rows(section, line)?,
    };
    Some(chart.draw())
}

/// The rows of a section; `None` if there is none, or one that is not understood.
fn rows<T>(section: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    let rows: Vec<T> = section["rows"].as_array()?.iter().map(read).collect::<Option<_>>()?;
    (!rows.is_empty()).then_some(rows)
}

fn labelled(row: &Value) -> Option<Bar> {
    let text = |field: &str| Some(row[field].as_str()?.to_owned());
    Some(Bar { name: text("name")?, does: text("does")?, parts: Vec::new(), spread: None })
}

/// The least and the most of the samples.
fn spread(row: &Value) -> Option<(f64, f64)> {
    let samples = row["samples"].as_array()?.iter().filter_map(|sample| sample["cpu_us_per_request"].as_f64());
    samples.fold(None, |spread, cpu| {
        let (least, most) = spread.unwrap_or((cpu, cpu));
        Some((least.min(cpu), most.max(cpu)))
    })
}

/// The same in every picture. All show on white and on black.
fn color(row: &str) -> &'static str {
    match row {
        NGINX => "#2a9d5c",
        HAPROXY_JWT => "#d9702b",
        _ if row.starts_with("sidegate") => "#2f7df6",
        _ => "#8a929c",
    }
}

/// With one decimal where that matters, and a comma at the thousands.
fn figure(number: f64) -> String {
    let whole = number.round();
    if whole >= 1000.0 {
        return format!("{},{:03}", (whole / 1000.0).floor(), whole % 1000.0);
    }
    if whole >= 100.0 { whole.to_string() } else { format!("{number:.1}") }
}
