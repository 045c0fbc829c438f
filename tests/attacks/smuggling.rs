//! Requests in which a second one hides: one server's body is the next one's request. The second is a good
//! one, so whoever sees it serves it. (Heads that can be misread, one by one: `heads` in `tests/it`.)

use serde::Deserialize;

use crate::siege::{Faults, Siege};
use crate::support::cases::cases;
use crate::support::raw::{Raw, page};

const SMUGGLED: &str = "x-smuggled";
const JSON: &str = "application/json";
/// Its pieces go to the upstream as they come.
const FORM: &str = "multipart/form-data; boundary=x";

#[derive(Deserialize)]
struct Row {
    name: String,
    /// Lines of the head that frame the body; `{LENGTH}` is the body's.
    fields: String,
    /// `{NEXT}` is a good request.
    body: String,
    /// What `{FILL}` in the body stands for: a text, so many times.
    #[serde(default)]
    fill: (String, usize),
    /// 0 for a connection that ends without an answer.
    status: u16,
}

impl Row {
    fn request(&self, siege: &Siege, kind: &str) -> String {
        let body = self.body.replace("{NEXT}", &siege.get("/api/v1/tasks", "X-Smuggled: 1\r\n"));
        let body = body.replace("{FILL}", &self.fill.0.repeat(self.fill.1));
        let fields = self.fields.replace("{LENGTH}", &body.len().to_string());
        let page = page(&siege.gate, &siege.token);
        format!("POST /api/v1/tasks HTTP/1.1\r\n{page}Content-Type: {kind}\r\n{fields}\r\n{body}")
    }
}

/// What a connection answers to an attack, behind so many honest requests: a status, and what came after it.
async fn answer(siege: &Siege, before: usize, request: &str) -> (u16, String) {
    let mut raw = Raw::connect(siege.gate.public).await;
    siege.expect(before);
    for _ in 0..before {
        raw.send(siege.get("/api/v1/tasks", "")).await;
        assert_eq!(raw.answer().await.status, 200, "an honest request");
    }
    raw.send(request).await;
    let status = raw.answer_or_end().await.map_or(0, |answer| answer.status);
    (status, raw.closed().await)
}

#[tokio::test]
async fn what_hides_in_a_misframed_body_is_never_served() {
    let siege = Siege::lay().await;
    let rows: Vec<Row> = cases("attacks/smuggling.json");
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for row in &rows {
                for before in [0, 1, 1] {
                    let got = answer(&siege, before, &row.request(&siege, JSON)).await;
                    let expected = (row.status, String::new());
                    faults.check(got == expected, || format!("{}: {got:?} for {}", row.name, row.status));
                }
            }
        })
        .await;
    faults.none();
}

/// A form goes on to the upstream before its end is seen. Where its chunks go wrong, it never ends there, so
/// that nobody takes it for whole; and behind it nothing is served.
#[tokio::test]
async fn a_form_whose_chunks_go_wrong_is_whole_to_nobody() {
    let siege = Siege::lay().await;
    let rows: Vec<Row> = cases("attacks/smuggling.json");
    let chunked = rows.iter().filter(|row| row.fields == "Transfer-Encoding: chunked\r\n");
    for row in chunked {
        println!("{}", row.name);
        let (status, rest) = answer(&siege, 0, &row.request(&siege, FORM)).await;
        assert!(status == 0 || status >= 400, "{status}");
        assert_eq!(rest, "");
        for seen in siege.upstream.take() {
            assert!(!seen.body_complete && !seen.headers.contains_key(SMUGGLED), "{seen:?}");
        }
        siege.forget().await;
    }
    siege.is_well().await;
}

/// What every reader takes for one request stays one. Where a body has no business, it is refused with its head, and
/// what stands in it is never read as another request.
#[tokio::test]
async fn a_request_in_a_body_stays_a_body() {
    let siege = Siege::lay().await;
    let next = siege.get("/api/v1/tasks", "X-Smuggled: 1\r\n");
    let length = next.len();
    siege
        .rounds(async || {
            for fields in [
                format!("Content-Length: {length}\r\n"),
                format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"),
                format!("Content-Length: 000{length}\r\n"),
                format!("Transfer_Encoding: chunked\r\nContent-Length: {length}\r\n"),
                format!("Content_Length: 0\r\nContent-Length: {length}\r\n"),
                format!("Content-Length: {length}\r\nConnection: content-length\r\n"),
                format!("Content-Length: {length}\r\nExpect: 100-continue\r\n"),
            ] {
                let mut raw = Raw::connect(siege.gate.public).await;
                raw.send(format!("{}{next}", siege.get("/api/v1/tasks", &fields))).await;
                assert_eq!(raw.answer().await.status, 400, "{fields}");
                raw.send(siege.get("/api/v1/tasks", "X-Last: 1\r\nConnection: close\r\n")).await;
                // Where the body was not read over, the connection has ended.
                siege.expect(usize::from(raw.answer_or_end().await.is_some()));
                let seen = siege.upstream.take();
                assert!(seen.iter().all(|seen| !seen.headers.contains_key(SMUGGLED)), "{fields}: {seen:?}");
            }
        })
        .await;
}
