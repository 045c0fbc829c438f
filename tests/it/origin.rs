//! Which pages may use a token: the app's list and the token's own must both name the origin.

use reqwest::{Method, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::json;

use crate::support::cases::cases;
use crate::support::forge::{claims, token, token_with};
use crate::support::gate::{Gate, SHOP, assert_refused};
use crate::support::upstream::Upstream;

const BLOG: &str = "https://blog.example.com";

/// A request with a token, without an `Origin`.
fn bare(gate: &Gate, token: &str) -> RequestBuilder {
    gate.public(Method::GET, "/api/v1/tasks").bearer_auth(token)
}

async fn from(gate: &Gate, token: &str, origin: &str) -> Response {
    bare(gate, token).header("origin", origin).send().await.expect("an answer")
}

/// Asserts the refusal in the contract's shape, unreadable for the page.
async fn assert_origin_refused(answer: Response) {
    assert_eq!(answer.headers().get("access-control-allow-origin"), None);
    assert_eq!(answer.headers()["vary"], "Origin");
    assert_refused(answer, 403, "ORIGIN_NOT_ALLOWED").await;
}

#[derive(Deserialize)]
struct Case {
    origin: String,
    allowed: bool,
}

#[tokio::test]
async fn an_origin_passes_if_the_list_names_exactly_it() {
    let upstream = Upstream::start().await;
    let listed = [SHOP, "http://localhost:3000", "https://*.preview.example.com"];
    let gate = Gate::builder(&upstream).origins(&listed).start().await;
    let token = gate.token("ada").mint().await;
    let mut passed = 0;
    for Case { origin, allowed } in cases("sigmic/origins.json") {
        println!("{origin}");
        let answer = from(&gate, &token, &origin).await;
        if allowed {
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["access-control-allow-origin"], origin);
            passed += 1;
        } else {
            assert_origin_refused(answer).await;
        }
    }
    assert_eq!(upstream.count(), passed);
}

#[tokio::test]
async fn a_star_lets_every_origin_pass_but_null() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).origins(&["*"]).start().await;
    let token = gate.token("ada").mint().await;
    assert_eq!(from(&gate, &token, "https://anything.example").await.status(), 200);
    for other in ["null", "https://a.example/path", "file://", "x"] {
        assert_origin_refused(from(&gate, &token, other).await).await;
    }
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn null_passes_if_it_is_listed() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).origins(&[SHOP, "null"]).start().await;
    let token = gate.token("ada").mint().await;
    let answer = from(&gate, &token, "null").await;
    assert_eq!((answer.status().as_u16(), upstream.count()), (200, 1));
    assert_eq!(answer.headers()["access-control-allow-origin"], "null");
}

#[tokio::test]
async fn an_empty_list_skips_the_check() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).origins(&[]).start().await;
    let token = gate.token("ada").mint().await;
    assert_eq!(bare(&gate, &token).send().await.expect("an answer").status(), 200);
    let answer = from(&gate, &token, "https://anything.example").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://anything.example");
}

#[tokio::test]
async fn a_request_without_origin_is_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    assert_origin_refused(bare(&gate, &token).send().await.expect("an answer")).await;
    let referred = bare(&gate, &token).header("referer", format!("{SHOP}/page"));
    assert_origin_refused(referred.send().await.expect("an answer")).await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_request_without_origin_passes_if_the_app_allows_it() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("allow_missing_origin = true").start().await;
    let token = gate.token("ada").mint().await;
    assert_eq!(bare(&gate, &token).send().await.expect("an answer").status(), 200);
    assert_origin_refused(from(&gate, &token, BLOG).await).await;
    assert_eq!(upstream.count(), 1);
}

/// Browsers send no `Origin` on a same-origin GET, but say so in `Sec-Fetch-Site`.
#[tokio::test]
async fn the_gates_own_page_needs_no_origin_if_it_is_listed() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).origins(&[SHOP, "https://chat.example.com"]);
    let gate = gate.set("listen.public_url=https://chat.example.com").start().await;
    let token = gate.token("ada").mint().await;
    let fetched = |site: &str| bare(&gate, &token).header("sec-fetch-site", site).send();
    assert_eq!(fetched("same-origin").await.expect("an answer").status(), 200);
    for site in ["same-site", "cross-site", "none", ""] {
        assert_origin_refused(fetched(site).await.expect("an answer")).await;
    }
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn the_gates_own_page_is_refused_if_it_is_not_listed() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.public_url=https://chat.example.com").start().await;
    let token = gate.token("ada").mint().await;
    let request = bare(&gate, &token).header("sec-fetch-site", "same-origin");
    assert_origin_refused(request.send().await.expect("an answer")).await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn without_a_public_url_no_page_is_the_gates_own() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let request = bare(&gate, &token).header("sec-fetch-site", "same-origin");
    assert_origin_refused(request.send().await.expect("an answer")).await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn two_origin_fields_are_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("allow_missing_origin = true").start().await;
    let token = gate.token("ada").mint().await;
    for (first, second) in [(SHOP, SHOP), (SHOP, BLOG), (BLOG, SHOP)] {
        let request = bare(&gate, &token).header("origin", first).header("origin", second);
        assert_origin_refused(request.send().await.expect("an answer")).await;
    }
    assert_eq!(upstream.count(), 0);
}

/// A list that was shortened since: what the app no longer lists is refused at once.
#[tokio::test]
async fn the_apps_list_of_today_decides() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = token_with(&json!({ "allowedOrigins": [SHOP, BLOG] }));
    assert_eq!(from(&gate, &token, SHOP).await.status(), 200);
    assert_origin_refused(from(&gate, &token, BLOG).await).await;
    assert_eq!(upstream.count(), 1);
}

/// A token with a narrower list than the app's: what the token does not list is refused.
#[tokio::test]
async fn the_tokens_own_list_decides_as_well() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).origins(&[SHOP, BLOG]).start().await;
    let token = token_with(&json!({ "allowedOrigins": [SHOP] }));
    assert_eq!(from(&gate, &token, SHOP).await.status(), 200);
    assert_refused(from(&gate, &token, BLOG).await, 403, "ORIGIN_NOT_ALLOWED").await;
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_token_whose_list_cannot_be_read_is_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = token_with(&json!({ "allowedOrigins": [SHOP, "no origin"] }));
    assert_refused(from(&gate, &token, SHOP).await, 403, "ORIGIN_NOT_ALLOWED").await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_token_of_one_gate_is_good_at_another_with_the_same_key_and_list() {
    let upstream = Upstream::start().await;
    let (here, there) = tokio::join!(Gate::start(&upstream), Gate::builder(&upstream).origins(&[BLOG]).start());
    let token = here.token("ada").mint().await;
    assert_eq!(from(&here, &token, SHOP).await.status(), 200);
    assert_origin_refused(from(&there, &token, SHOP).await).await;
    assert_refused(from(&there, &token, BLOG).await, 403, "ORIGIN_NOT_ALLOWED").await;
    assert_eq!(upstream.count(), 1);
}

/// Otherwise a page could tell good tokens from bad ones.
#[tokio::test]
async fn a_bad_token_is_refused_before_the_origin_is_looked_at() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let mut forged = token(&claims());
    forged.truncate(forged.len() - 10);
    assert_refused(from(&gate, &forged, BLOG).await, 401, "INVALID_TOKEN").await;
    assert_eq!(upstream.count(), 0);
}
