//! The machinery as its caller sees it: text in, settings or problems out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod layers;
mod print;
mod reader;
mod robust;
mod secret;

use std::path::Path;

use super::{Collector, Layers, Node, Reader};

/// The tree of one file called `sidegate.toml`, which must be well-formed.
fn tree(text: &str) -> Node {
    let problems = Collector::default();
    let tree = Layers::new(&problems).file(Path::new("sidegate.toml"), text).merged();
    problems.into_result(tree).expect("well-formed")
}

/// What `read` makes of a file, or all problems, one per line.
fn read<T>(text: &str, read: impl FnOnce(&Reader<'_>) -> Option<T>) -> Result<T, String> {
    let problems = Collector::default();
    let merged = Layers::new(&problems).file(Path::new("sidegate.toml"), text).merged();
    let settings = merged.as_ref().and_then(|tree| {
        let root = Reader::new(tree, &problems);
        let settings = read(&root);
        root.finish();
        settings
    });
    problems.into_result(settings).map_err(|problems| problems.to_string())
}
