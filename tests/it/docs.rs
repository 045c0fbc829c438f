//! The documents tell what the program does.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use sidegate_core::denial::Code;
use sidegate_core::dialect::Operation;

use crate::support::demo::Demo;
use crate::support::gate::{Gate, sidegate};
use crate::support::openssl::{KeyPair, options};
use crate::support::upstream::Upstream;

const DOCUMENTS: [&str; 14] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/admin.md",
    "docs/attacks.md",
    "docs/configuration.md",
    "docs/dialects.md",
    "docs/fuzzing.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/reliability.md",
    "docs/threat-model.md",
];

fn path_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path_of(name)).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned() + "\n")).collect()
}

#[test]
fn the_codes_are_those_of_the_program() {
    let mut table = String::from("\n| Code | Status | Message |\n|---|---|---|\n");
    for code in Code::ALL {
        let _ = writeln!(table, "| `{code}` | {} | {} |", code.status().as_u16(), code.message());
    }
    let document = read("docs/dialects.md");
    let (_, rest) = document.split_once("<!-- codes -->").expect("a table");
    let (found, _) = rest.split_once("<!-- /codes -->").expect("its end");
    assert!(found.trim() == table.trim(), "docs/dialects.md must have between its marks:\n{table}");
}

#[test]
fn every_route_is_documented() {
    let document = read("docs/dialects.md");
    for operation in Operation::all() {
        assert!(document.contains(&format!(" {}` |", operation.template())), "{}", operation.template());
    }
}

#[tokio::test]
async fn the_metrics_are_those_of_the_program() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let metrics = gate.ops("/metrics").send().await.expect("an answer").text().await.expect("a text");
    let served: BTreeSet<(String, String)> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let document = read("docs/operations.md");
    let documented: BTreeSet<(String, String)> = document
        .lines()
        .filter(|line| line.starts_with("| `sidegate_"))
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            Some((cells.next()?.trim_matches('`').to_owned(), cells.next()?.to_owned()))
        })
        .collect();
    assert_eq!(documented, served);
}

#[test]
fn every_configuration_passes_the_check() {
    let whole = blocks(&read("README.md"), "toml");
    let [whole] = whole.as_slice() else { panic!("one configuration in the README") };
    let base = written(whole);
    assert_good(&check(&[base.path()]));
    for fragment in blocks(&read("docs/configuration.md"), "toml") {
        assert_good(&check(&[base.path(), written(&fragment).path()]));
    }
}

fn written(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a temporary file");
    std::fs::write(file.path(), text).expect("it is written");
    file
}

fn check(files: &[&Path]) -> Output {
    let mut command = sidegate();
    command.arg("check");
    for file in files {
        command.arg("-c").arg(file);
    }
    command.env("SIDEGATE_SEAL_KEY", "c2VhbC1rZXktb2YtdGhlLXRlc3RzLTAxMjM0NTY3ODk");
    command.env("SIDEGATE_FORMER_SEAL_KEY", "Zm9ybWVyLXNlYWwta2V5LW9mLXRoZS10ZXN0cy0wMTI");
    command.env("CHAT_API_KEY", "sk-chat");
    command.env("OPENAI_API_KEY", "sk-openai");
    command.env("SIDEGATE_SIGNING_KEY", "signing-key-0123456789abcdef0123456789abcdef");
    command.env("SIDEGATE_OTHER_KEY", "another-key-0123456789abcdef0123456789abcdef");
    command.env("SIDEGATE_REDIS_PASSWORD", "redis-password");
    command.env("SIDEGATE_POSTGRES_PASSWORD", "postgres-password");
    command.env("SIDEGATE_PRIVATE_KEY", KeyPair::new(options("EdDSA")).private);
    command.env("SIDEGATE_FORMER_PUBLIC_KEY", KeyPair::new(options("EdDSA")).public);
    command.env("WORKSPACE_PRIVATE_KEY", KeyPair::new(options("RS256")).private);
    command.env("WEBSITE_PUBLIC_KEY", KeyPair::new(options("RS256")).public);
    command.output().expect("it runs")
}

fn assert_good(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The report of mistakes in the guide is what the program says.
#[test]
fn the_mistakes_are_reported_as_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("bad.toml"), "[listen]\npubic = \"x\"\ndrain_timeout = \"5\"\n")
        .expect("written");
    let output = sidegate().current_dir(&folder).args(["check", "-c", "bad.toml"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(read("docs/configuration.md").contains(&format!("```\n{}\n```", said.trim())), "{said}");
}

#[tokio::test]
async fn the_tour_is_the_demos() {
    let demo = Demo::start().await;
    let usual = [(&demo.page, 8090), (&demo.other_page, 8091), (&demo.public, 8080), (&demo.private, 8081)];
    let mut commands = demo.commands().replace(demo.app_secret(), "wsec_…");
    for (url, port) in usual {
        commands = commands.replace(url.as_str(), &format!("http://127.0.0.1:{port}"));
    }
    let readme = read("README.md");
    for line in commands.lines().map(str::trim) {
        assert!(readme.lines().any(|shown| shown.trim() == line), "the README lacks: {line}");
    }
}

#[tokio::test]
async fn the_answer_of_readyz_is_as_shown() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let answer: Value = gate.ops("/readyz").send().await.expect("an answer").json().await.expect("JSON");
    assert!(blocks(&read("docs/operations.md"), "json").contains(&format!("{answer}\n")), "{answer}");
}

#[test]
fn every_link_leads_somewhere() {
    for name in DOCUMENTS {
        let text = read(name);
        let folder = path_of(name).parent().expect("a folder").to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap_or_default();
            let local = !file.is_empty() && !file.contains("://");
            assert!(!local || folder.join(file).exists(), "{name}: {target}");
        }
    }
}

/// Every path in the map exists, and every module is on the map.
#[test]
fn the_map_is_true() {
    let text = read("ARCHITECTURE.md");
    for path in text.split('`').skip(1).step_by(2).filter(|path| path.contains('/') && !path.contains([' ', ':'])) {
        let known = ["", "src", "core/src"].iter().any(|folder| path_of(folder).join(path).exists());
        assert!(known, "{path} does not exist");
    }
    for folder in ["src", "core/src"] {
        for entry in std::fs::read_dir(path_of(folder)).expect("a folder").flatten() {
            let name = entry.file_name().into_string().expect("UTF-8");
            let slash = if entry.path().is_dir() { "/" } else { "" };
            let listed = text.contains(&format!("`{folder}/{name}{slash}`"));
            assert!(listed || name == "lib.rs", "{folder}/{name} is not on the map");
        }
    }
}
