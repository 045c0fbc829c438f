//! Apps of the registry: made and changed by the gate's own API, served beside those of the file.

mod change;
mod create;
mod refused;
mod replicas;
mod sealed;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::admin::{APPS, done};
use crate::support::gate::{Gate, SHOP, json_of};

const TASKS: &str = "/api/v1/tasks";

/// An app with its secret.
pub struct Made {
    pub id: String,
    pub secret: String,
}

/// Settings of an app for pages of [`SHOP`].
pub fn settings() -> Value {
    json!({ "dialect": "sigmic", "upstream": "chat", "origins": [SHOP] })
}

/// The settings with some members set.
pub fn with(more: &Value) -> Value {
    let mut settings = settings();
    let more = more.as_object().expect("members");
    settings.as_object_mut().expect("an object").extend(more.clone());
    settings
}

pub fn path(id: &str, action: &str) -> String {
    if action.is_empty() { format!("{APPS}/{id}") } else { format!("{APPS}/{id}/{action}") }
}

/// Makes an app.
pub async fn make(gate: &Gate, settings: Value) -> Made {
    let app = done(gate, Method::POST, APPS, settings).await;
    let text = |name: &str| app[name].as_str().expect("a text").to_owned();
    Made { id: text("id"), secret: text("secret") }
}

pub async fn post(gate: &Gate, id: &str, action: &str, body: Value) -> Value {
    done(gate, Method::POST, &path(id, action), body).await
}

/// An exchange of an app's secret.
pub async fn exchange(gate: &Gate, id: &str, secret: &str) -> Response {
    gate.exchange(&json!({ "appId": id, "appSecret": secret, "endUserId": "ada" })).await
}

/// A token of an app.
pub async fn mint(gate: &Gate, app: &Made) -> String {
    let answer = exchange(gate, &app.id, &app.secret).await;
    assert_eq!(answer.status(), 200);
    json_of(answer).await["data"]["token"].as_str().expect("a token").to_owned()
}

/// The status of a chat request.
pub async fn chat(gate: &Gate, token: &str) -> u16 {
    gate.chat(Method::GET, TASKS, token).send().await.expect("an answer").status().as_u16()
}
