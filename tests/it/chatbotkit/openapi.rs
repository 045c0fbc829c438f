//! The routes as their OpenAPI document says them, held to it by schemathesis: answers that the document does not know,
//! faults, what is refused though it is valid, and what is taken though it is not.

use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};

use super::{OPEN, answers, shop, with_lines};
use crate::support::admin::BOOTSTRAP;
use crate::support::gate::{Gate, SHOP, json_of};
use crate::support::upstream::Upstream;

const DOCUMENT: &str = "/admin/v1/openapi/chatbotkit.json";

fn schemathesis(args: &[&str]) -> Output {
    let root = env!("CARGO_MANIFEST_DIR");
    let program = format!("{root}/target/test-clients/schemathesis/bin/schemathesis");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(&program);
    command.current_dir(folder.path()).arg("run").args(args).args([
        "--no-color",
        "--seed",
        "1",
        "--request-timeout",
        "10",
    ]);
    command.args(["--phases", "coverage,fuzzing", "--max-examples", "30"]);
    command.output().unwrap_or_else(|fault| panic!("{program}: {fault}; run scripts/setup.sh test"))
}

/// The document, in a file.
async fn document(gate: &Gate) -> tempfile::NamedTempFile {
    let text = gate.private(Method::GET, DOCUMENT).send().await.expect("an answer").text().await.expect("text");
    let file = tempfile::Builder::new().suffix(".json").tempfile().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

async fn assert_held(gate: &Gate, args: Vec<String>) {
    let document = document(gate).await;
    let run = move || {
        let path = document.path().display().to_string();
        let mut all = vec![path.as_str()];
        all.extend(args.iter().map(String::as_str));
        schemathesis(&all)
    };
    let output = tokio::task::spawn_blocking(run).await.expect("joined");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    answers(&upstream, "Hello");
    let gate = with_lines(&upstream, OPEN).start().await;
    (upstream, gate)
}

#[tokio::test]
async fn the_api_does_what_its_document_says() {
    let (_upstream, gate) = started().await;
    // Something that is there.
    shop(&gate, json!({ "name": "Shop" })).await;
    let url = format!("http://{}", gate.private);
    let args = ["--url", &url, "--header", &format!("Authorization: Bearer {BOOTSTRAP}"), "--exclude-tag", "public"];
    assert_held(&gate, args.map(str::to_owned).to_vec()).await;
}

#[tokio::test]
async fn sessions_are_opened_as_the_document_says() {
    let (_upstream, gate) = started().await;
    shop(&gate, json!({ "contactCollection": true })).await;
    let url = format!("http://{}", gate.public);
    let args = ["--url", &url, "--header", &format!("Origin: {SHOP}"), "--include-tag", "public"];
    assert_held(&gate, args.map(str::to_owned).to_vec()).await;
}

#[tokio::test]
async fn every_path_of_the_document_is_served_below_both_prefixes() {
    let (_upstream, gate) = started().await;
    let document = json_of(gate.private(Method::GET, DOCUMENT).send().await.expect("an answer")).await;
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 15, "{}", paths.len());
    for (path, methods) in paths {
        let is_public = methods.as_object().into_iter().flatten().any(|(_, one)| one["tags"] == json!(["public"]));
        let path = path.replace("{fileId}", "f1").replace("{botId}", "b1").replace("{conversationId}", "v1");
        let path = path.replace("{id}", "cnone");
        for path in [path.as_str(), path.trim_start_matches("/api")] {
            let request = if is_public { gate.public(Method::PUT, path) } else { gate.private(Method::PUT, path) };
            let answer = request.bearer_auth(BOOTSTRAP).send().await.expect("an answer");
            assert_eq!(answer.status(), 405, "{path}");
            let allow = answer.headers()["allow"].to_str().expect("text").to_lowercase();
            assert!(methods.get(&*allow).is_some_and(Value::is_object), "{path}: {allow}");
        }
    }
}
