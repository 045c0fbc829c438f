//! What a browser gets of a file: all of it, a part, or word that it has it already.

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use sidegate_core::cache::{Part, is_not_modified, part};
use sidegate_core::clock::Timestamp;

use super::Stored;

impl Stored {
    /// Answers a GET or HEAD.
    #[must_use]
    pub fn answer(&self, request: &Parts, now: Timestamp) -> Response<Bytes> {
        if self.status == StatusCode::NOT_MODIFIED || is_not_modified(&request.headers, &self.head) {
            return self.not_modified(now);
        }
        let length = self.body.len();
        let wanted =
            if request.method == Method::GET { part(&request.headers, &self.head, length) } else { Part::Whole };
        let (mut response, range) = match wanted {
            Part::Whole if request.method == Method::HEAD => {
                let mut response = self.with(StatusCode::OK, Bytes::new(), now);
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
                return response;
            }
            Part::Whole => return self.with(StatusCode::OK, self.body.clone(), now),
            Part::Bytes(range) => {
                let said = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                (self.with(StatusCode::PARTIAL_CONTENT, self.body.slice(range), now), said)
            }
            Part::None => (self.unsatisfied(), format!("bytes */{length}")),
        };
        // Digits and signs alone.
        let range = HeaderValue::try_from(range).unwrap_or(HeaderValue::from_static("bytes */*"));
        response.headers_mut().insert(CONTENT_RANGE, range);
        response
    }

    fn with(&self, status: StatusCode, body: Bytes, now: Timestamp) -> Response<Bytes> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().clone_from(&self.head);
        // Without one it is as new as its date says.
        if let Some(age) = self.policy().map(|policy| policy.age(now).as_secs()).filter(|age| *age > 0) {
            response.headers_mut().insert(AGE, age.into());
        }
        response
    }

    fn not_modified(&self, now: Timestamp) -> Response<Bytes> {
        let mut response = self.with(StatusCode::NOT_MODIFIED, Bytes::new(), now);
        response.headers_mut().remove(CONTENT_TYPE);
        response
    }

    fn unsatisfied(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        response.headers_mut().clone_from(&self.head);
        response.headers_mut().remove(CONTENT_TYPE);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
