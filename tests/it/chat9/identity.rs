//! Identity tokens as the gate sees them: the same rows as in core, through the front door.

use serde::Deserialize;
use serde_json::json;

use super::{BOT, opened, started};
use crate::support::cases::cases;

#[derive(Deserialize)]
struct Row {
    name: String,
    secret: String,
    token: String,
    reason: Option<String>,
}

/// What is not good by the rows' own time is not good now; none of them may identify anybody, or end anything.
#[tokio::test]
async fn no_row_that_is_bad_identifies_anybody() {
    let (_upstream, gate) = started().await;
    let mut seen = 0;
    for row in cases::<Row>("chat9/identity_tokens.json") {
        if row.secret != super::IDENTITY || row.reason.is_none() {
            continue;
        }
        seen += 1;
        let (_, mode) = opened(&gate, &json!({ "bot_id": BOT, "identity_token": row.token })).await;
        assert_eq!(mode, "anonymous", "{}", row.name);
    }
    assert!(seen > 40, "{seen}");
}
