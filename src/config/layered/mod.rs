//! Configuration machinery: layers of TOML text, environment variables and flags become one
//! tree (JSON another), and typed readers take it apart. It knows no concrete setting. What it promises is that
//! one run reports *all* mistakes, each with its file and line and, where there is one, a suggestion.
//!
//! The way through: [`Layers`] merges the sources into a [`Node`]; a [`Reader`] per table turns keys
//! into typed values with the parsers of [`parsers`]; every complaint goes into one [`Collector`],
//! which ends as `Ok` or as [`Problems`]. [`print()`] shows the merged tree and where each value is from.
//!
//! Messages name keys and places, never values, because any value may be a secret in the wrong place.

mod fault;
mod json;
mod layers;
mod overrides;
pub mod parsers;
mod path;
mod place;
mod print;
mod problem;
mod reader;
mod secret_source;
mod suggest;
mod text;
mod tree;
pub mod units;

#[cfg(test)]
mod tests;

pub use fault::{Fault, Faults};
pub use json::{from_json, to_json};
pub use layers::Layers;
pub use place::{Place, Source};
pub use print::print;
pub use problem::{Collector, Problem, Problems};
pub use reader::Reader;
pub use secret_source::{SecretSource, secret_source};
pub use tree::{Node, Table, Value};
