//! What ChatBotKit answers: refusals and ids.

use http::header::HeaderName;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::widget::FileType;
use crate::denial::{Code, Denial};
use crate::id::{FileId, ObjectId};
use crate::message::Reply;

/// Where scripts find why they were refused without the body.
const FAILURE_CODE: HeaderName = HeaderName::from_static("x-failure-code");

/// Why something was not done.
#[derive(Debug, Serialize)]
pub struct Failure<'a> {
    message: &'a str,
    code: &'static str,
}

/// A refusal within another answer.
#[must_use]
pub fn failure(denial: &Denial) -> Failure<'_> {
    Failure { message: &denial.message, code: vendor_code(denial.code.status()) }
}

/// `{"message","code"}` with the vendor's code for the status; `X-Failure-Code` says the gate's own where that is more
/// precise.
#[must_use]
pub fn refusal(denial: &Denial) -> Reply {
    // Two strings can always be written.
    let body = serde_json::to_vec(&failure(denial)).unwrap_or_default();
    let mut reply = Reply::refusal(denial, "application/json", body);
    reply.headers.insert(FAILURE_CODE, HeaderValue::from_static(failure_code(denial.code)));
    reply
}

/// The vendor's code for a status; those that it does not use are a request that it would have called bad, or a fault.
const fn vendor_code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "NOT_AUTHENTICATED",
        StatusCode::PAYMENT_REQUIRED => "NO_SUBSCRIPTION",
        StatusCode::FORBIDDEN => "NOT_AUTHORIZED",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        StatusCode::REQUEST_TIMEOUT => "TIMEOUT",
        StatusCode::CONFLICT => "CONFLICT",
        StatusCode::UNPROCESSABLE_ENTITY => "UNPROCESSABLE_ENTITY",
        StatusCode::TOO_MANY_REQUESTS => "TOO_MANY_REQUESTS",
        StatusCode::NOT_IMPLEMENTED => "NOT_IMPLEMENTED",
        StatusCode::BAD_GATEWAY => "BAD_GATEWAY",
        StatusCode::SERVICE_UNAVAILABLE => "SERVICE_UNAVAILABLE",
        StatusCode::GATEWAY_TIMEOUT => "GATEWAY_TIMEOUT",
        status if status.as_u16() >= 500 => "INTERNAL_SERVER_ERROR",
        _ => "BAD_REQUEST",
    }
}

/// The vendor's code where ours says no more than it, otherwise ours.
const fn failure_code(code: Code) -> &'static str {
    match code {
        Code::InvalidRequest
        | Code::AuthRequired
        | Code::InvalidToken
        | Code::NotAuthorized
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::RequestTimeout
        | Code::Conflict
        | Code::RateLimited
        | Code::Internal => vendor_code(code.status()),
        _ => code.name(),
    }
}

/// `{"id"}`: what was made, changed or removed.
#[must_use]
pub fn id_answer(id: &ObjectId) -> Reply {
    Reply::json(StatusCode::OK, json!({ "id": id }).to_string().into_bytes())
}

/// `{"id","type","widgetIntegrationId"}`: a file that a widget shows, or no longer does.
#[must_use]
pub fn file_answer(file: &FileId, kind: FileType, widget: &ObjectId) -> Reply {
    let answer = json!({ "id": file, "type": kind, "widgetIntegrationId": widget });
    Reply::json(StatusCode::OK, answer.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Deserialize)]
    struct Row {
        code: String,
        status: u16,
        says: String,
        header: String,
    }

    fn body(reply: &Reply) -> Value {
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    #[test]
    fn refusals_have_the_vendors_codes() {
        let rows = include_str!("../../../../tests/fixtures/chatbotkit/refusals.json");
        for Row { code, status, says, header } in serde_json::from_str::<Vec<Row>>(rows).expect("rows") {
            let found = Code::ALL.iter().find(|known| known.name() == code).expect("a code");
            let reply = refusal(&(*found).into());
            assert_eq!((reply.status.as_u16(), body(&reply)["code"].as_str()), (status, Some(&*says)), "{code}");
            assert_eq!(body(&reply)["message"], found.message(), "{code}");
            assert_eq!(reply.headers["x-failure-code"], *header, "{code}");
            assert_eq!(reply.headers["content-type"], "application/json");
        }
    }

    #[test]
    fn each_refusal_has_one_of_the_vendors_codes_for_its_status() {
        for code in Code::ALL {
            let says = vendor_code(code.status());
            assert_eq!(says.starts_with("INTERNAL"), code.status() == StatusCode::INTERNAL_SERVER_ERROR, "{code}");
            assert!(HeaderValue::from_str(failure_code(*code)).is_ok(), "{code}");
        }
        assert_eq!(vendor_code(StatusCode::PAYMENT_REQUIRED), "NO_SUBSCRIPTION");
        assert_eq!(vendor_code(StatusCode::HTTP_VERSION_NOT_SUPPORTED), "INTERNAL_SERVER_ERROR");
    }

    #[test]
    fn a_refusal_says_when_to_come_back_and_what_is_wrong() {
        let reply = refusal(&Denial::retry(Code::RateLimited, Duration::from_millis(1_200)));
        assert_eq!(reply.headers["retry-after"], "2");
        let reply = refusal(&Denial::because(Code::InvalidRequest, "name must be \"a string\""));
        assert_eq!(reply.body, br#"{"message":"name must be \"a string\"","code":"BAD_REQUEST"}"#);
        assert!(refusal(&Code::AuthRequired.into()).headers.contains_key("www-authenticate"));
    }

    #[test]
    fn ids_are_answered() {
        let widget: ObjectId = "cw1".parse().expect("an id");
        assert_eq!(id_answer(&widget).body, br#"{"id":"cw1"}"#);
        let file = file_answer(&"f1".parse().expect("an id"), FileType::Bar, &widget);
        assert_eq!(file.body, br#"{"id":"f1","type":"bar","widgetIntegrationId":"cw1"}"#);
        assert_eq!(file.headers["cache-control"], "no-store");
    }
}
