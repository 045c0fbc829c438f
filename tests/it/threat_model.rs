//! What docs/threat-model.md cites and tells to do is there.

use std::path::{Path, PathBuf};

use crate::support::gate::sidegate;

fn document() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/threat-model.md")).expect("a document")
}

/// The files of a module of these tests: its own, and those in its folder.
fn files(module: &str) -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut found: Vec<_> = Some(tests.join(format!("{module}.rs"))).into_iter().filter(|file| file.exists()).collect();
    let mut folders = vec![tests.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let list = if entry.path().is_dir() { &mut folders } else { &mut found };
            list.push(entry.path());
        }
    }
    found
}

#[test]
fn every_test_that_is_cited_is_there() {
    let text = document();
    let mut count = 0;
    for rest in text.split("[`").skip(1) {
        let (cited, _) = rest.split_once(']').expect("a bracket that closes");
        let (module, name) = cited.split_once("`:").expect("a module and a test");
        let function = format!("fn {}()", name.trim());
        let is_there = |file: &PathBuf| std::fs::read_to_string(file).is_ok_and(|code| code.contains(&function));
        assert!(files(module).iter().any(is_there), "{module}: {function}");
        count += 1;
    }
    assert!(count > 40, "{count} citations");
}

/// Whether the program takes such a command, with all its options. With `--help` it does nothing.
fn is_taken(line: &str) -> bool {
    let line = line.split_once('<').map_or(line, |(command, _)| command);
    let output = sidegate().args(line.split_whitespace().skip(1)).arg("--help").output().expect("it runs");
    output.status.success()
}

#[test]
fn every_command_is_one_of_the_program() {
    assert!(!is_taken("sidegate app rotate-key wapp_1 --no-such-option"), "a mistake is found");
    let text = document();
    let blocks = text.split("\n```sh\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    let commands: Vec<_> = blocks.flat_map(|(block, _)| block.lines()).filter(|line| !line.starts_with('#')).collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        assert!(command.starts_with("sidegate ") && is_taken(command), "{command}");
    }
}
