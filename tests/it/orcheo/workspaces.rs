//! Workspaces: an app may belong to one, and a service token may be for some.

use reqwest::Method;
use serde_json::{Value, json};

use super::session::claims;
use super::{BOOTSTRAP, KEY, UNLISTED, WORKFLOW, made, page, refused, session, with_app};
use crate::support::forge::{self, now};
use crate::support::gate::{Gate, json_of};
use crate::support::program::program;
use crate::support::upstream::{Behaviour, Reply, Upstream};

/// A gate whose app belongs to `acme`.
async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let lines = format!("token.key = {{ value = \"{KEY}\" }}\nworkspace = \"acme\"");
    let gate = with_app(&upstream, &lines).start().await;
    (upstream, gate)
}

/// The claim `chatkit` of a token of the app's, got with this service token.
async fn chatkit(gate: &Gate, secret: &str) -> Value {
    let answer = session(gate, secret, &json!({ "workflow_id": WORKFLOW, "user": { "id": "ada" } })).await;
    assert_eq!(answer.status(), 200);
    claims(&json_of(answer).await)["chatkit"].take()
}

async fn secret_for(gate: &Gate, workspaces: &[&str]) -> String {
    let body = json!({ "scopes": ["chatkit:session"], "workspaces": workspaces });
    made(gate, &body).await["secret"].as_str().expect("a secret").to_owned()
}

#[tokio::test]
async fn a_token_names_the_workspace_of_its_app_and_those_of_whoever_asked() {
    let (_upstream, gate) = started().await;
    for (workspaces, named) in [(&["zeta", "acme", "acme"][..], json!(["acme", "zeta"])), (&[], json!(["acme"]))] {
        let secret = secret_for(&gate, workspaces).await;
        let chatkit = chatkit(&gate, &secret).await;
        assert_eq!((&chatkit["workspace_id"], &chatkit["workspace_ids"]), (&json!("acme"), &named), "{workspaces:?}");
    }
    assert_eq!(chatkit(&gate, BOOTSTRAP).await["workspace_ids"], json!(["acme"]));
}

#[tokio::test]
async fn a_service_token_of_other_workspaces_gets_none() {
    let (_upstream, gate) = started().await;
    let secret = secret_for(&gate, &["zeta", "beta"]).await;
    let answer = session(&gate, &secret, &json!({ "workflow_id": WORKFLOW })).await;
    assert_eq!(refused(answer, 403).await, "auth.workspace_forbidden");
}

#[tokio::test]
async fn one_of_workspaces_does_nothing_for_the_others_and_makes_none_for_them() {
    let (_upstream, gate) = started().await;
    let create = async |secret: &str, body: Value| {
        let request = gate.private(Method::POST, "/admin/v1/service-tokens").bearer_auth(secret).json(&body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), json_of(answer).await["code"].take())
    };
    let both = json!(["admin:tokens:write", "chatkit:session"]);
    let bound = made(&gate, &json!({ "scopes": both, "workspaces": ["acme"] })).await;
    assert_eq!(bound["workspaces"], json!(["acme"]));
    let secret = bound["secret"].as_str().expect("a secret");
    let session = json!(["chatkit:session"]);
    for workspaces in [json!([]), json!(["zeta"]), json!(["acme", "zeta"])] {
        let body = json!({ "scopes": session, "workspaces": workspaces });
        assert_eq!(create(secret, body).await, (403, json!("WORKSPACE_FORBIDDEN")), "{workspaces}");
    }
    assert_eq!(create(secret, json!({ "scopes": session, "workspaces": ["acme"] })).await.0, 201);
    let wide = json!({ "scopes": ["admin:revoke"], "workspaces": ["acme"] });
    assert_eq!(create(BOOTSTRAP, wide).await, (400, json!("INVALID_REQUEST")), "a scope that knows no workspaces");
    let strong = made(&gate, &json!({ "scopes": session })).await;
    let rotate = format!("/admin/v1/service-tokens/{}/rotate", strong["id"].as_str().expect("an id"));
    let taken = gate.private(Method::POST, &rotate).bearer_auth(secret).send().await.expect("an answer");
    assert_eq!(taken.status(), 403, "it is for all workspaces");
}

/// The upstream signs with the same key, and other programs may.
#[tokio::test]
async fn a_token_of_another_workspace_is_no_token_of_the_app() {
    let (upstream, gate) = started().await;
    upstream.on(super::GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "data": [], "has_more": false }))));
    let list = json!({ "type": "threads.list", "params": {} });
    let sign = |workspace: Value| {
        let claims = json!({
            "iss": "orcheo.chatkit", "aud": "chatkit", "sub": "ada", "iat": now(), "exp": now() + 300,
            "chatkit": { "workflow_id": WORKFLOW, "workspace_id": workspace },
        });
        forge::sign(forge::HEADER, &claims.to_string(), KEY, jsonwebtoken::Algorithm::HS256)
    };
    for workspace in [json!("zeta"), json!(""), json!("ACME"), Value::Null] {
        let answer = page(&gate, &sign(workspace.clone()), &list).send().await.expect("an answer");
        assert_eq!(refused(answer, 401).await, "chatkit.auth.invalid_jwt_claims", "{workspace}");
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(page(&gate, &sign(json!("acme")), &list).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn an_app_of_the_registry_has_one_too() {
    let (_upstream, gate) = started().await;
    let settings = json!({
        "id": "kept", "dialect": "orcheo", "upstream": "chat", "workflows": [{ "id": UNLISTED }],
        "workspace": "zeta", "token": { "key": { "value": KEY } },
    });
    let request = gate.private(Method::POST, "/admin/v1/apps").bearer_auth(BOOTSTRAP).json(&settings);
    let app = json_of(request.send().await.expect("an answer")).await;
    assert_eq!(app["settings"]["workspace"], "zeta", "{app}");
    let secret = secret_for(&gate, &["zeta"]).await;
    let own = session(&gate, &secret, &json!({ "workflow_id": UNLISTED })).await;
    assert_eq!(claims(&json_of(own).await)["chatkit"]["workspace_id"], "zeta");
    let other = session(&gate, &secret, &json!({ "workflow_id": WORKFLOW })).await;
    assert_eq!(refused(other, 403).await, "auth.workspace_forbidden");
}

#[test]
fn the_command_takes_workspaces() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = format!("store.path={}", folder.path().join("a.db").display());
    let create = ["service-token", "create", "--id", "ops", "--scope", "chatkit:session"];
    let workspaces = ["--workspace", "zeta", "--workspace", "acme"];
    let made = program(&[&create[..], &workspaces[..]].concat()).set(&path).run();
    assert_eq!(made.code, 0, "{}", made.err);
    let shown = program(&["service-token", "show", "ops"]).set(&path).run();
    let shown: Value = serde_json::from_str(&shown.out).expect("JSON");
    assert_eq!(shown["workspaces"], json!(["acme", "zeta"]));
    let wide = ["service-token", "create", "--scope", "admin:revoke", "--workspace", "acme"];
    let refused = program(&wide).set(&path).run();
    assert_eq!((refused.code, refused.err.trim()), (1, "sidegate: admin:revoke cannot be held to workspaces"));
}
