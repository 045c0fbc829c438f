//! npm's own client of OpenAI, run for real: the gate is its base URL, a service token its key.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{APP, CLIENT_SECRETS, LATE, OTHER, SESSIONS, answer, session, started};
use crate::orcheo::service_token;

/// What the script prints, run by node with the package that is locked beside it.
fn run(base: &str, token: &str) -> Value {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let installed = root.join("target/test-clients/openai/node_modules");
    assert!(
        installed.join("openai/package.json").exists(),
        "npm's package openai is missing: scripts/setup.sh test installs it"
    );
    let mut command = Command::new("node");
    command.arg(root.join("tests/clients/openai/client.js")).args([base, token]);
    let output = command.env("NODE_PATH", installed).env("WORKFLOW", OTHER).output();
    let output = output.expect("node runs: scripts/setup.sh test installs Debian's package nodejs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn npms_client_of_openai_is_at_home() {
    let (upstream, gate) = started().await;
    let token = service_token(&gate, "chatkit:session", &[APP]).await;
    let mut cancelled = session("cksess_aB1", "ek_1");
    cancelled["status"] = json!("cancelled");
    let secret =
        json!({ "value": "ek_2", "expires_at": LATE, "session": { "type": "realtime", "object": "realtime.session" } });
    upstream.on(SESSIONS, answer(&session("cksess_aB1", "ek_1")));
    upstream.on("/v1/chatkit/sessions/cksess_aB1/cancel", answer(&cancelled));
    upstream.on(CLIENT_SECRETS, answer(&secret));
    let base = format!("http://{}/v1", gate.private);
    let said = tokio::task::spawn_blocking(move || run(&base, &token)).await.expect("joined");
    assert_eq!(said["created"], session("cksess_aB1", "ek_1"));
    assert_eq!(said["cancelled"], cancelled);
    assert_eq!(said["secret"], secret);
    let refusal = |name: &str| -> Vec<&Value> {
        ["class", "status", "type", "param", "code"].map(|member| &said[name][member]).to_vec()
    };
    let unlisted = json!(["NotFoundError", 404, "invalid_request_error", null, "workflow_not_found"]);
    assert_eq!(json!(refusal("unlisted")), unlisted);
    assert_eq!(
        json!(refusal("overBound")),
        json!(["BadRequestError", 400, "invalid_request_error", null, "invalid_request"])
    );
    let unknown = json!(["AuthenticationError", 401, "authentication_error", null, "invalid_service_token"]);
    assert_eq!(json!(refusal("unknown")), unknown);
    let bodies: Vec<_> = upstream.take().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies.len(), 3, "what is refused goes no further");
    let asked: Value = serde_json::from_slice(&bodies[0]).expect("JSON");
    let expected =
        json!({ "id": OTHER, "state_variables": { "plan": "pro", "seats": 3 }, "tracing": { "enabled": false } });
    assert_eq!(asked["workflow"], expected);
    assert_eq!((&asked["user"], &asked["expires_after"]["seconds"]), (&json!("ada"), &json!(120)));
}
