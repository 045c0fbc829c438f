//! Refusals outside any vendor's format: `application/problem+json` (RFC 9457).

use serde_json::json;

use crate::denial::Denial;
use crate::message::Reply;

/// `{type, title, status, detail, code}`; `code` is the stable name, `type` stays `about:blank`.
#[must_use]
pub fn render(denial: &Denial) -> Reply {
    let status = denial.code.status();
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": denial.message,
        "code": denial.code.name(),
    });
    Reply::refusal(denial, "application/problem+json", body.to_string().into_bytes())
}
