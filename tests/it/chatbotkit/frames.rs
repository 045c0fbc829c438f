//! The page that a widget lives in: who may show it is held by a policy.

use reqwest::Method;
use serde_json::json;

use super::{WIDGETS, api, json_of, refused, shop, started, widget};
use crate::support::gate::SHOP;
use crate::support::upstream::{Behaviour, Reply};

const FRAME: &str = "/integrations/widget/";

#[tokio::test]
async fn pages_that_pass_may_be_shown_by_the_widgets_list_alone() {
    let (upstream, gate) = started().await;
    let html = |kind: &str| Behaviour::answer(Reply::new(200, "<!doctype html>").header("content-type", kind));
    upstream.always(html("text/html; charset=utf-8"));
    let id = shop(&gate, json!({ "origin": "https://shop.example.com; https://*.example.org" })).await;
    let framed = async |id: &str| {
        gate.public(Method::GET, &format!("{FRAME}{id}/frame?open=true")).send().await.expect("an answer")
    };
    let answer = framed(&id).await;
    let policy = "frame-ancestors 'self' https://shop.example.com https://*.example.org";
    assert_eq!(answer.headers()["content-security-policy"], policy);
    assert_eq!(upstream.take().pop().expect("a request").uri.path(), format!("{FRAME}{id}/frame"));
    let own = Reply::new(200, "<!doctype html>")
        .header("content-type", "text/html")
        .header("content-security-policy", "default-src 'self'");
    upstream.always(Behaviour::answer(own));
    let policies: Vec<_> = framed(&id).await.headers().get_all("content-security-policy").iter().cloned().collect();
    assert_eq!(policies, ["default-src 'self'", policy]);
    let open = widget(&gate, json!({ "botId": "b" })).await;
    upstream.always(html("text/html"));
    assert!(framed(&open).await.headers().get("content-security-policy").is_none());
    upstream.always(html("text/css"));
    assert!(framed(&id).await.headers().get("content-security-policy").is_none());
    json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{id}/disable"), json!({})).await).await;
    refused(framed(&id).await, 403, "NOT_AUTHORIZED", "WIDGET_DISABLED").await;
    refused(framed("cnone").await, 404, "NOT_FOUND", "NOT_FOUND").await;
}

#[tokio::test]
async fn the_script_passes_without_anything_of_the_browsers() {
    let (upstream, gate) = started().await;
    upstream.always(Behaviour::answer(Reply::new(200, "let a;").header("content-type", "text/javascript")));
    let request = gate.public(Method::GET, &format!("{FRAME}v2.js")).header("cookie", "a=b").header("origin", SHOP);
    let answer = request.send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("text").as_str()), (200, "let a;"));
    assert!(upstream.take().pop().expect("a request").headers.get("cookie").is_none());
}
