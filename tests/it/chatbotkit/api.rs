//! The API for widgets, as a customer's server calls it.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ACCOUNT, KEY, WIDGETS, api, json_of, made, refused, started, text, widget, with_lines};
use crate::support::admin::{call, service_token};
use crate::support::gate::{APP, Gate};
use crate::support::upstream::Upstream;

async fn fetched(gate: &Gate, id: &str) -> Value {
    json_of(api(gate, Method::GET, &format!("{WIDGETS}/{id}/fetch"), Value::Null).await).await
}

async fn post(gate: &Gate, path: &str, body: Value) -> Value {
    json_of(api(gate, Method::POST, &format!("{WIDGETS}/{path}"), body).await).await
}

#[tokio::test]
async fn a_widget_is_made_changed_and_removed_below_both_prefixes() {
    let (_upstream, gate) = started().await;
    for base in [WIDGETS, "/v1/integration/widget"] {
        let id = made(&gate, base, json!({ "name": "Shop", "botId": "bot_1", "meta": { "team": "a" } })).await;
        let path = |leaf: &str| format!("{base}/{id}/{leaf}");
        let first = json_of(api(&gate, Method::GET, &path("fetch"), Value::Null).await).await;
        assert_eq!(
            (&first["id"], &first["name"], &first["meta"]),
            (&json!(id), &json!("Shop"), &json!({ "team": "a" }))
        );
        assert!(first["createdAt"].as_u64().is_some_and(|at| at > 1_700_000_000_000), "{first}");
        // What is not said stays, null unsets.
        let changed =
            api(&gate, Method::POST, &path("update"), json!({ "name": null, "title": "Hi", "math": true })).await;
        assert_eq!(json_of(changed).await, json!({ "id": id }));
        let second = json_of(api(&gate, Method::GET, &path("fetch"), Value::Null).await).await;
        assert_eq!((second.get("name"), &second["title"], &second["botId"]), (None, &json!("Hi"), &json!("bot_1")));
        assert_eq!(second["createdAt"], first["createdAt"]);
        assert!(second["updatedAt"].as_u64() >= first["updatedAt"].as_u64());
        assert_eq!(json_of(api(&gate, Method::POST, &path("delete"), json!({})).await).await, json!({ "id": id }));
        for leaf in ["delete", "update", "clone", "disable"] {
            refused(api(&gate, Method::POST, &path(leaf), json!({})).await, 404, "NOT_FOUND", "NOT_FOUND").await;
        }
        refused(api(&gate, Method::GET, &path("fetch"), Value::Null).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    }
}

#[tokio::test]
async fn bad_settings_are_refused_by_name_and_change_nothing() {
    let (_upstream, gate) = started().await;
    let id = widget(&gate, json!({ "name": "Shop" })).await;
    for (fields, named) in [
        (json!({ "colour": "red" }), "colour"),
        (json!({ "sessionDuration": 3_600_001 }), "sessionDuration"),
        (json!({ "origin": "https://shop.example.com/path" }), "origin"),
        (json!({ "math": "yes" }), "math"),
        (json!({ "name": "Other", "stream": 1 }), "stream"),
        (json!({ "blueprintId": "none" }), "blueprintId"),
    ] {
        let answer = api(&gate, Method::POST, &format!("{WIDGETS}/{id}/update"), fields).await;
        let message = refused(answer, 400, "BAD_REQUEST", "BAD_REQUEST").await;
        assert!(message.contains(named), "{message}");
    }
    assert_eq!(fetched(&gate, &id).await["name"], "Shop");
    let long = json!({ "theme": "t".repeat(64 * 1024), "plugins": "p".repeat(64 * 1024) });
    post(&gate, &format!("{id}/update"), long).await;
    assert_eq!(fetched(&gate, &id).await["theme"].as_str().map(str::len), Some(64 * 1024));
    let twice = gate.private(Method::POST, &format!("{WIDGETS}/create")).bearer_auth(crate::support::admin::BOOTSTRAP);
    let twice = twice.header("content-type", "application/json").body(r#"{"name":"a","name":"b"}"#);
    refused(twice.send().await.expect("an answer"), 400, "BAD_REQUEST", "BAD_REQUEST").await;
}

#[tokio::test]
async fn a_clone_has_the_settings_and_files_and_a_life_of_its_own() {
    let (_upstream, gate) = started().await;
    let id = widget(&gate, json!({ "botId": "bot_1", "plugins": "a,b", "title": "Hi" })).await;
    let file = post(&gate, &format!("{id}/file/file_1/attach"), json!({ "type": "bar" })).await;
    assert_eq!(file, json!({ "id": "file_1", "type": "bar", "widgetIntegrationId": id }));
    let copy = text(&post(&gate, &format!("{id}/clone"), json!({})).await["id"]);
    assert_ne!(copy, id);
    post(&gate, &format!("{id}/update"), json!({ "title": "Changed" })).await;
    let cloned = fetched(&gate, &copy).await;
    assert_eq!(
        (&cloned["title"], &cloned["plugins"], &cloned["botId"]),
        (&json!("Hi"), &json!("a,b"), &json!("bot_1"))
    );
    let detached = post(&gate, &format!("{copy}/file/file_1/detach"), json!({})).await;
    assert_eq!(detached["type"], "bar");
    let again = api(&gate, Method::POST, &format!("{WIDGETS}/{copy}/file/file_1/detach"), json!({})).await;
    refused(again, 404, "NOT_FOUND", "NOT_FOUND").await;
    post(&gate, &format!("{id}/file/file_1/detach"), json!({})).await;
    let wrong = api(&gate, Method::POST, &format!("{WIDGETS}/{id}/file/f/attach"), json!({ "type": "logo" })).await;
    refused(wrong, 400, "BAD_REQUEST", "BAD_REQUEST").await;
}

#[tokio::test]
async fn callers_need_a_scope_for_the_account() {
    let upstream = Upstream::start().await;
    let other = format!(
        "[[apps]]\nid = \"acc_other\"\ndialect = \"chatbotkit\"\nupstream = \"chat\"\ntoken.key = {{ value = \"other-{KEY}\" }}"
    );
    let gate = with_lines(&upstream, super::OPEN).toml(&other).start().await;
    let writes = service_token(&gate, &["widgets:read", "widgets:write"], &[ACCOUNT]).await;
    assert!(writes.starts_with("sk-"), "as the vendor's are");
    let reads = service_token(&gate, &["widgets:read"], &[ACCOUNT]).await;
    let others = service_token(&gate, &["widgets:read", "widgets:write"], &["acc_other"]).await;
    let (create, list) = (format!("{WIDGETS}/create"), format!("{WIDGETS}/list"));
    let id = text(&json_of(call(&gate, &writes, Method::POST, &create, json!({})).await).await["id"]);
    let fetch = format!("{WIDGETS}/{id}/fetch");
    assert_eq!(json_of(call(&gate, &reads, Method::GET, &fetch, Value::Null).await).await["id"], json!(id));
    let refused_as = |answer, status, code| refused(answer, status, code, "MISSING_SCOPE");
    refused_as(call(&gate, &reads, Method::POST, &create, json!({})).await, 403, "NOT_AUTHORIZED").await;
    // Another account's is told apart from none, as the vendor does.
    let theirs = call(&gate, &others, Method::GET, &fetch, Value::Null).await;
    refused(theirs, 403, "NOT_AUTHORIZED", "NOT_AUTHORIZED").await;
    assert_eq!(json_of(call(&gate, &others, Method::GET, &list, Value::Null).await).await, json!({ "items": [] }));
    let nobody = call(&gate, "sk-nobody", Method::GET, &list, Value::Null).await;
    refused(nobody, 401, "NOT_AUTHENTICATED", "INVALID_SERVICE_TOKEN").await;
    let unsaid = gate.private(Method::GET, &list).send().await.expect("an answer");
    refused(unsaid, 401, "NOT_AUTHENTICATED", "NOT_AUTHENTICATED").await;
    // Who may do it with several accounts names one.
    let both = service_token(&gate, &["widgets:read"], &[ACCOUNT, "acc_other"]).await;
    refused(call(&gate, &both, Method::GET, &list, Value::Null).await, 400, "BAD_REQUEST", "BAD_REQUEST").await;
    let named = gate.private(Method::GET, &fetch).bearer_auth(&both).header("x-runas-user-id", ACCOUNT);
    assert_eq!(named.send().await.expect("an answer").status(), 200);
    let of_none = service_token(&gate, &["widgets:read"], &[APP]).await;
    let of_none = call(&gate, &of_none, Method::GET, &list, Value::Null).await;
    refused(of_none, 404, "NOT_FOUND", "NOT_FOUND").await;
}

#[tokio::test]
async fn other_methods_paths_and_pages_are_refused_in_the_vendors_shape() {
    let (_upstream, gate) = started().await;
    let wrong = api(&gate, Method::GET, &format!("{WIDGETS}/create"), Value::Null).await;
    assert_eq!(wrong.headers()["allow"], "POST");
    refused(wrong, 405, "METHOD_NOT_ALLOWED", "METHOD_NOT_ALLOWED").await;
    let unknown = api(&gate, Method::GET, &format!("{WIDGETS}/x/y"), Value::Null).await;
    refused(unknown, 404, "NOT_FOUND", "NOT_FOUND").await;
    let odd = api(&gate, Method::GET, &format!("{WIDGETS}/a%2Fb/fetch"), Value::Null).await;
    refused(odd, 404, "NOT_FOUND", "NOT_FOUND").await;
    // On the public listener there is none of it.
    let public = gate.public(Method::GET, &format!("{WIDGETS}/list")).bearer_auth(crate::support::admin::BOOTSTRAP);
    assert_eq!(public.send().await.expect("an answer").status(), 404);
}
