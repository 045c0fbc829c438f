//! Blueprints: what several widgets have in common.

use reqwest::Method;
use serde_json::{Value, json};

use super::{BLUEPRINTS, WIDGETS, api, json_of, made, open, opened, refused, started, text, widget};
use crate::support::gate::SHOP;

#[tokio::test]
async fn a_widget_inherits_what_it_does_not_set_and_a_change_reaches_it_at_once() {
    let (_upstream, gate) = started().await;
    let blueprint = made(&gate, BLUEPRINTS, json!({ "botId": "bot_1", "origin": SHOP, "initial": "Hello" })).await;
    let id = widget(&gate, json!({ "blueprintId": blueprint })).await;
    let own = widget(&gate, json!({ "blueprintId": blueprint, "initial": "Mine" })).await;
    let copy = json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{id}/clone"), json!({})).await).await;
    let copy = text(&copy["id"]);
    let initial = async |widget: &str| text(&opened(&gate, widget, &json!({})).await["messages"][0]["text"]);
    assert_eq!(
        (initial(&id).await, initial(&own).await, initial(&copy).await),
        ("Hello".into(), "Mine".into(), "Hello".into())
    );
    let update = format!("{BLUEPRINTS}/{blueprint}/update");
    json_of(api(&gate, Method::POST, &update, json!({ "initial": "Changed" })).await).await;
    assert_eq!(
        (initial(&id).await, initial(&own).await, initial(&copy).await),
        ("Changed".into(), "Mine".into(), "Changed".into())
    );
    // A list that is narrower holds for all from then on.
    json_of(api(&gate, Method::POST, &update, json!({ "origin": "https://other.example" })).await).await;
    for widget in [&id, &own] {
        refused(open(&gate, widget, &json!({})).await, 403, "NOT_AUTHORIZED", "ORIGIN_NOT_ALLOWED").await;
    }
    // A form that leaves the list blank lifts nothing.
    json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{own}/update"), json!({ "origin": "" })).await).await;
    refused(open(&gate, &own, &json!({})).await, 403, "NOT_AUTHORIZED", "ORIGIN_NOT_ALLOWED").await;
    // One that is detached is on its own.
    json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{copy}/update"), json!({ "blueprintId": null })).await).await;
    refused(open(&gate, &copy, &json!({})).await, 409, "CONFLICT", "WIDGET_NOT_READY").await;
}

#[tokio::test]
async fn one_that_widgets_follow_cannot_be_removed() {
    let (_upstream, gate) = started().await;
    let blueprint = made(&gate, BLUEPRINTS, json!({ "botId": "bot_1" })).await;
    let id = widget(&gate, json!({ "blueprintId": blueprint })).await;
    let delete = format!("{BLUEPRINTS}/{blueprint}/delete");
    refused(api(&gate, Method::POST, &delete, json!({})).await, 409, "CONFLICT", "CONFLICT").await;
    json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{id}/delete"), json!({})).await).await;
    json_of(api(&gate, Method::POST, &delete, json!({})).await).await;
    let fetch = format!("{BLUEPRINTS}/{blueprint}/fetch");
    refused(api(&gate, Method::GET, &fetch, Value::Null).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    let list = json_of(api(&gate, Method::GET, &format!("{BLUEPRINTS}/list"), Value::Null).await).await;
    assert_eq!(list, json!({ "items": [] }));
}
