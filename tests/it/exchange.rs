//! `POST /api/v1/auth/token` (seeds/003, contracts section 4).

use serde_json::json;

use crate::support::gate::{APP, Gate, SECRET, json_of};
use crate::support::upstream::Upstream;

#[tokio::test]
async fn a_server_gets_a_token() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let answer = gate.exchange(&json!({ "appId": APP, "appSecret": SECRET, "endUserId": "user-1" })).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let body = json_of(answer).await;
    assert_eq!(body["success"], true);
    assert!(body["data"]["token"].as_str().expect("a token").starts_with("eyJhbGciOiJIUzI1NiIs"));
    assert!(body["data"]["expiresAt"].as_str().expect("a time").ends_with(".000Z"));
}
