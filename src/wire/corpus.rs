//! Runs the check of the fuzz target `http1` over the inputs that were kept; `core/tests/corpus.rs` has others.

use std::path::Path;

#[allow(unreachable_pub, reason = "the fuzz target calls it")]
#[path = "../../fuzz/src/wire/http1.rs"]
mod check;

#[test]
fn kept_connections_are_read_as_they_should_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/http1");
    let files = std::fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("an entry").path());
    let files: Vec<_> = files.collect();
    assert!((1..=80).contains(&files.len()), "{} inputs", files.len());
    for file in files {
        let input = std::fs::read(&file).expect("an input");
        assert!(input.len() <= 4096, "{} is too long to keep", file.display());
        check::http1(&input);
    }
}
