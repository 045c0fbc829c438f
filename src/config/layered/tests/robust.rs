//! Arbitrary input ends in a tree or in problems, never in a panic.

use std::path::Path;

use proptest::prelude::*;

use super::super::{Collector, Layers, print};

proptest! {
    #[test]
    fn any_file_is_read_or_refused(text in "[ -~\n]{0,200}") {
        let problems = Collector::default();
        let tree = Layers::new(&problems).file(Path::new("f"), &text).merged();
        prop_assert_eq!(tree.is_none(), !problems.is_empty() && tree.is_none());
    }

    #[test]
    fn toml_like_text_is_read_or_refused(text in "([a-c\\.]{1,4}|[\\[\\]{}=,\"'\n #]|[0-9]{1,3}|true|\\[\\[a\\]\\]\n|a = 1\n|\"x\"){0,60}") {
        let problems = Collector::default();
        if let Some(tree) = Layers::new(&problems).file(Path::new("f"), &text).merged() {
            let once = print(&tree, &|_| false);
            let again = Collector::default();
            prop_assert!(Layers::new(&again).file(Path::new("f"), &once).merged().is_some(), "{}", once);
        }
    }

    #[test]
    fn any_variable_and_flag_is_taken_or_refused(name in "S__[A-Z_]{0,20}", value in ".{0,40}", flag in ".{0,40}") {
        let problems = Collector::default();
        let layers = Layers::new(&problems).environment("S", [(name, value)]).flags([flag]);
        prop_assert!(layers.merged().is_some());
    }
}

#[test]
fn absurd_nesting_is_refused() {
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(50_000)),
        format!("[{}a]", "a.".repeat(70)),
    ] {
        let problems = Collector::default();
        let _ = Layers::new(&problems).file(Path::new("f"), &text).flags([text.as_str()]).merged();
        assert!(!problems.is_empty());
    }
}
