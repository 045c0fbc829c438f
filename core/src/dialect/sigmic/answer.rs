//! What Sigmic answers: tokens, refusals, and the upstream answers that we read.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::denial::{Code, Denial};
use crate::id::ConversationId;
use crate::message::Reply;
use crate::policy::Issued;

#[derive(Serialize)]
struct Refused<'a> {
    success: bool,
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    message: &'a str,
    code: &'a str,
}

/// `{"success":false,"error":{"message","code"}}` (docs.sigmic.ai, errors).
#[must_use]
pub fn refusal(denial: &Denial) -> Reply {
    let error = ErrorBody { message: &denial.message, code: denial.code.name() };
    // Two strings and a boolean can always be written.
    let body = serde_json::to_vec(&Refused { success: false, error }).unwrap_or_default();
    Reply::refusal(denial, "application/json", body)
}

/// `{"success":true,"data":{"token","expiresAt"}}`, the expiry in RFC 3339 with milliseconds.
///
/// # Errors
/// [`Code::Internal`] if the expiry lies beyond the year 9999.
pub fn issued(issued: &Issued) -> Result<Reply, Denial> {
    let expires_at = issued.expires_at.rfc3339_millis().ok_or(Code::Internal)?;
    // A compact JWS and a date hold nothing that JSON escapes.
    let body = [r#"{"success":true,"data":{"token":""#, &issued.token, r#"","expiresAt":""#, &expires_at, r#""}}"#];
    Ok(Reply::json(StatusCode::OK, body.concat().into_bytes()))
}

/// The id in the answer to `POST /api/v1/tasks`: `{"success":true,"data":{"id",…}}`. `None` if the
/// answer is not of that shape, or its id could not stand in a path.
#[must_use]
pub fn created_task(body: &[u8]) -> Option<ConversationId> {
    #[derive(Deserialize)]
    struct Created<'a> {
        #[serde(borrow)]
        data: Task<'a>,
    }
    let created: Created<'_> = serde_json::from_slice(body).ok()?;
    ConversationId::parse(&created.data.id).ok()
}

#[derive(Deserialize)]
struct Task<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

/// A page of `GET /api/v1/tasks`: `{"success":true,"data":[{"id",…}…],"pagination":{…}}`.
#[derive(Deserialize, Serialize)]
struct Page<'a> {
    success: bool,
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    pagination: Pagination,
}

#[derive(Deserialize, Serialize)]
struct Pagination {
    total: u64,
    limit: u64,
    offset: u64,
    #[serde(rename = "hasMore")]
    has_more: bool,
}

/// The page with only the tasks that `owned` names, byte for byte. `total` becomes the caller's own
/// count, so that it says nothing of others; `limit`, `offset` and `hasMore` stay the upstream's,
/// so that walking the pages still meets every task. `None` if the answer is not of that shape.
#[must_use]
pub fn filter_list(body: &[u8], owned_total: u64, owned: impl Fn(&ConversationId) -> bool) -> Option<Vec<u8>> {
    let mut page: Page<'_> = serde_json::from_slice(body).ok()?;
    let mut mine = Vec::with_capacity(page.data.len());
    for item in page.data {
        let task: Task<'_> = serde_json::from_str(item.get()).ok()?;
        if ConversationId::parse(&task.id).is_ok_and(|id| owned(&id)) {
            mine.push(item);
        }
    }
    page.data = mine;
    page.pagination.total = owned_total;
    serde_json::to_vec(&page).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_token_is_answered_as_documented() {
        let issued_token = Issued { token: "eyJ".into(), expires_at: Timestamp::from_seconds(1_769_860_800) };
        let reply = issued(&issued_token).expect("a reply");
        assert_eq!(
            String::from_utf8(reply.body).expect("UTF-8"),
            r#"{"success":true,"data":{"token":"eyJ","expiresAt":"2026-01-31T12:00:00.000Z"}}"#
        );
        assert_eq!(reply.headers["cache-control"], "no-store");
    }

    #[test]
    fn only_owned_tasks_stay_in_a_list() {
        let page = br#"{"success":true,"data":[{"id":"a","n":1.0},{"id":"b"},{"id":"../c"}],"pagination":{"total":9,"limit":50,"offset":0,"hasMore":true}}"#;
        let filtered = filter_list(page, 1, |id| id.as_str() == "a").expect("a page");
        assert_eq!(
            String::from_utf8(filtered).expect("UTF-8"),
            r#"{"success":true,"data":[{"id":"a","n":1.0}],"pagination":{"total":1,"limit":50,"offset":0,"hasMore":true}}"#
        );
    }

    #[test]
    fn answers_of_another_shape_are_not_believed() {
        for bad in [
            &b""[..],
            b"[]",
            br#"{"data":{}}"#,
            br#"{"data":{"id":7}}"#,
            br#"{"data":{"id":"a/b"}}"#,
            br#"{"data":{"id":""}}"#,
        ] {
            assert_eq!(created_task(bad), None);
        }
        assert_eq!(
            filter_list(
                br#"{"success":true,"data":[{"x":1}],"pagination":{"total":1,"limit":1,"offset":0,"hasMore":false}}"#,
                0,
                |_| true
            ),
            None
        );
    }
}
