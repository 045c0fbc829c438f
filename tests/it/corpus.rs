//! Runs the check of the fuzz target `config` over the inputs that were kept; `core/tests/corpus.rs` has the others.

use std::path::Path;

use sidegate::config::layered;

#[path = "../../fuzz/src/config.rs"]
mod check;

#[test]
fn kept_configurations_are_read_as_they_should_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/config");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        let input = std::fs::read(&path).expect("an input");
        assert!(input.len() <= 4096, "too long to keep");
        check::config(&input);
        count += 1;
    }
    assert!((1..=80).contains(&count), "{count} inputs");
}
