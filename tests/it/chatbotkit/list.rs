//! Lists of widgets: pages, filters and forms.

use reqwest::Method;
use serde_json::{Value, json};

use super::{WIDGETS, api, json_of, refused, started, text, widget};
use crate::support::admin::BOOTSTRAP;
use crate::support::gate::Gate;

async fn page(gate: &Gate, query: &str) -> Value {
    json_of(api(gate, Method::GET, &format!("{WIDGETS}/list?{query}"), Value::Null).await).await
}

fn names(page: &Value) -> Vec<String> {
    page["items"].as_array().expect("a list").iter().map(|item| text(&item["name"])).collect()
}

/// All pages of a list; the names in order.
async fn walked(gate: &Gate, query: &str) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = page(gate, &format!("{query}&cursor={cursor}")).await;
        all.extend(names(&page));
        match page.get("cursor") {
            Some(next) => cursor = text(next),
            None => return all,
        }
    }
}

async fn nine(gate: &Gate) -> Vec<String> {
    for number in 0..9 {
        let team = if number % 3 == 0 { "a" } else { "b" };
        let meta = json!({ "team": team, "live": number % 2 == 0, "size": number });
        widget(gate, json!({ "name": format!("w{number}"), "meta": meta })).await;
    }
    walked(gate, "order=asc").await
}

#[tokio::test]
async fn pages_come_newest_first_and_end() {
    let (_upstream, gate) = started().await;
    assert_eq!(page(&gate, "").await, json!({ "items": [] }));
    let all = nine(&gate).await;
    assert_eq!(all.len(), 9);
    let newest: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(walked(&gate, "take=4").await, newest);
    assert_eq!(walked(&gate, "take=1&order=asc").await, all);
    assert_eq!(names(&page(&gate, "take=3").await), newest[..3]);
    for every in ["take=0", "take=many", "take=1000", ""] {
        assert_eq!(names(&page(&gate, every).await), newest, "{every}");
    }
}

#[tokio::test]
async fn a_list_goes_on_behind_a_widget_that_was_removed_and_past_new_ones() {
    let (_upstream, gate) = started().await;
    let all = nine(&gate).await;
    let first = page(&gate, "take=4").await;
    let cursor = text(&first["cursor"]);
    api(&gate, Method::POST, &format!("{WIDGETS}/{cursor}/delete"), json!({})).await;
    widget(&gate, json!({ "name": "new" })).await;
    let rest = names(&page(&gate, &format!("cursor={cursor}")).await);
    assert_eq!(rest, all.iter().rev().skip(4).cloned().collect::<Vec<_>>());
}

#[tokio::test]
async fn filters_by_meta_in_both_spellings_and_by_blueprint() {
    let (_upstream, gate) = started().await;
    nine(&gate).await;
    for (query, found) in [
        ("meta.team=a", 3),
        ("meta[team]=a", 3),
        ("meta%5Bteam%5D=a", 3),
        ("meta.live=true", 5),
        ("meta.team=a&meta.live=true", 2),
        ("meta.size=7", 1),
        ("meta.team=c", 0),
        ("meta.none=a", 0),
    ] {
        assert_eq!(walked(&gate, &format!("{query}&take=2")).await.len(), found, "{query}");
    }
    let blueprint = super::made(&gate, super::BLUEPRINTS, json!({ "botId": "bot_1" })).await;
    widget(&gate, json!({ "name": "of a blueprint", "blueprintId": blueprint })).await;
    assert_eq!(walked(&gate, &format!("blueprintId={blueprint}")).await, ["of a blueprint"]);
    let wrong = api(&gate, Method::GET, &format!("{WIDGETS}/list?order=up"), Value::Null).await;
    refused(wrong, 400, "BAD_REQUEST", "BAD_REQUEST").await;
}

#[tokio::test]
async fn the_whole_list_comes_as_lines_a_table_and_events() {
    let (_upstream, gate) = started().await;
    let all = nine(&gate).await;
    for (accept, count) in [
        ("application/jsonl", r#"{"type":"item","data":{"#),
        ("text/event-stream", "event: item\ndata: {"),
        ("text/csv", "\r\n"),
    ] {
        // Pages of two, all of them.
        let request = gate.private(Method::GET, &format!("{WIDGETS}/list?take=2&order=asc")).bearer_auth(BOOTSTRAP);
        let answer = request.header("accept", accept).send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], accept);
        let body = answer.text().await.expect("text");
        let head = usize::from(accept == "text/csv");
        assert_eq!(body.matches(count).count(), all.len() + head, "{body}");
        let written = |name: &String| if head > 0 { format!(",{name},") } else { format!(r#""name":"{name}""#) };
        let places = all.iter().map(|name| body.find(&written(name)).expect("its name"));
        assert!(places.is_sorted(), "{body}");
    }
}

#[tokio::test]
async fn what_was_there_is_listed_once_while_others_come_and_go() {
    let (_upstream, gate) = started().await;
    let gate = std::sync::Arc::new(gate);
    let all = nine(&gate).await;
    let others = {
        let gate = std::sync::Arc::clone(&gate);
        tokio::spawn(async move {
            for number in 0..40 {
                let id = widget(&gate, json!({ "name": format!("x{number}") })).await;
                if number % 2 == 0 {
                    api(&gate, Method::POST, &format!("{WIDGETS}/{id}/delete"), json!({})).await;
                }
            }
        })
    };
    for order in ["asc", "desc"] {
        for take in [1, 2, 3] {
            let mut seen = walked(&gate, &format!("take={take}&order={order}")).await;
            seen.retain(|name| name.starts_with('w'));
            seen.sort();
            let mut expected = all.clone();
            expected.sort();
            assert_eq!(seen, expected, "{order} {take}");
        }
    }
    others.await.expect("it ends");
}
