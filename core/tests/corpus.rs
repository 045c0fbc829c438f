//! Runs the checks of the fuzz targets over the inputs that were kept, with no fuzzer.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no public interface")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test says so by panicking")]
#![allow(clippy::print_stdout, reason = "names the input at hand; shown when it fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/checks/mod.rs"]
mod checks;

/// Inputs stay few and small, so that this takes seconds.
const MOST_FILES: usize = 80;
const MOST_BYTES: usize = 4096;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn replay(target: &str) {
    let (_, check) = checks::TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let files = files(&folder("corpus").join(target));
    assert!((1..=MOST_FILES).contains(&files.len()), "{target} has {} inputs", files.len());
    for file in files {
        println!("{}", file.display());
        let input = std::fs::read(&file).expect("an input");
        assert!(input.len() <= MOST_BYTES, "too long to keep");
        check(&input);
    }
}

macro_rules! replayed {
    ($($target:ident)*) => {
        $(#[test] fn $target() { replay(stringify!($target)); })*
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
    };
}

replayed!(
    jws jwe identity_token mitigate_identity guest widget chat events origin values template json stream cache chatkit
    exchange widget_api conversation
);

/// Replayed by the program's own tests, which have what it checks.
const ELSEWHERE: [&str; 2] = ["config", "http1"];

/// Each target is replayed, has a program of its own and a corpus, and nothing else has one.
#[test]
fn every_target_is_replayed() {
    let targets: BTreeSet<_> = checks::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets, REPLAYED.iter().map(|name| (*name).to_owned()).collect());
    for kept in ["corpus", "fuzz_targets"] {
        let stem = |file: &PathBuf| file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        let found = files(&folder(kept));
        let found = found.iter().filter_map(stem).filter(|name| !ELSEWHERE.contains(&name.as_str()));
        assert_eq!(found.collect::<BTreeSet<_>>(), targets, "{kept}");
    }
}
