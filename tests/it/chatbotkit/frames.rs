//! The page that a widget lives in: who may show it is held by a policy.

use reqwest::Method;
use serde_json::json;

use super::{OPEN, WIDGETS, answers, api, json_of, opened, refused, shop, started, text, widget, with_lines};
use crate::support::gate::SHOP;
use crate::support::upstream::{Behaviour, Reply, Upstream};

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

#[tokio::test]
async fn the_list_of_the_app_holds_beside_the_widgets() {
    let upstream = Upstream::start().await;
    let html = Reply::new(200, "<!doctype html>").header("content-type", "text/html");
    upstream.always(Behaviour::answer(html));
    let lines = format!("{OPEN}\norigins = [\"{SHOP}\", \"https://b.example\"]");
    let gate = with_lines(&upstream, &lines).start().await;
    let of_app = "frame-ancestors 'self' https://shop.example.com https://b.example";
    for (fields, policies) in [
        (json!({ "botId": "b" }), vec![of_app]),
        (json!({ "botId": "b", "origin": SHOP }), vec![of_app, "frame-ancestors 'self' https://shop.example.com"]),
    ] {
        let id = widget(&gate, fields).await;
        let answer = gate.public(Method::GET, &format!("{FRAME}{id}/frame")).send().await.expect("an answer");
        let sent: Vec<_> = answer.headers().get_all("content-security-policy").iter().cloned().collect();
        assert_eq!(sent, policies);
    }
}

#[tokio::test]
async fn a_page_may_hand_its_session_to_the_frame_which_the_upstream_does_not_see() {
    let upstream = Upstream::start().await;
    let gate = with_lines(&upstream, OPEN).set("listen.public_url=https://gate.example.com").start().await;
    answers(&upstream, "Hello");
    let id = shop(&gate, json!({})).await;
    let session = opened(&gate, &id, &json!({})).await;
    let path = format!("/v1/conversation/{}/complete", text(&session["conversationId"]));
    let from = async |origin: &str| {
        let request = gate.public(Method::POST, &path).bearer_auth(text(&session["token"])).header("origin", origin);
        request.json(&json!({ "text": "hi" })).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((from("https://gate.example.com").await, from("https://evil.example").await), (200, 403));
    upstream.take();
    gate.public(Method::GET, &format!("{FRAME}{id}/frame?open=true&session=a.b.c")).send().await.expect("an answer");
    assert_eq!(upstream.take().pop().expect("a request").uri.query(), Some("open=true"));
}
