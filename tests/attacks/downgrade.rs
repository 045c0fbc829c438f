//! Requests of HTTP/2 that would be two in HTTP/1.1, or others: what the upstream speaks.

use serde::Deserialize;

use crate::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, block, frame};
use crate::siege::{Faults, Siege, TIMES};
use crate::support::cases::cases;
use crate::support::gate::SHOP;

/// Who may speak HTTP/2 without TLS.
pub const TRUSTED: &str = "listen.trusted_proxies=[\"127.0.0.1/32\"]";

#[derive(Deserialize)]
struct Row {
    name: String,
    /// Fields of the good request that have another value; of those with `null` there is none.
    #[serde(default)]
    change: Vec<(String, Option<String>)>,
    /// Fields in front of all others, and behind them.
    #[serde(default)]
    before: Vec<(String, String)>,
    #[serde(default)]
    after: Vec<(String, String)>,
    #[serde(default = "data")]
    data: String,
    /// Fields behind the body.
    #[serde(default)]
    trailers: Vec<(String, String)>,
    /// The status of an answer; 0 for a stream or connection that ends without one.
    status: u16,
}

fn data() -> String {
    "{}".into()
}

/// A page's request to create a task.
pub fn good(siege: &Siege) -> Vec<(String, String)> {
    let token = format!("Bearer {}", siege.token);
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gate"),
        (":path", "/api/v1/tasks"),
        ("origin", SHOP),
        ("authorization", &token),
        ("content-type", "application/json"),
    ];
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

impl Row {
    fn frames(&self, siege: &Siege) -> Vec<u8> {
        let mut fields = good(siege);
        for (name, value) in &self.change {
            let at = fields.iter().position(|(field, _)| field == name).expect("a field of the request");
            match value {
                Some(value) => fields[at].1.clone_from(value),
                None => drop(fields.remove(at)),
            }
        }
        let fields = [&self.before[..], &fields[..], &self.after[..]].concat();
        let data = self.data.replace("{NEXT}", &siege.get("/api/v1/tasks", "X-Smuggled: 1\r\n"));
        let last = if self.trailers.is_empty() { END_STREAM } else { 0 };
        let mut frames = frame(HEADERS, END_HEADERS, 1, &block(&fields));
        frames.extend(frame(DATA, last, 1, data.as_bytes()));
        if !self.trailers.is_empty() {
            frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&self.trailers)));
        }
        frames
    }
}

async fn outcome(siege: &Siege, request: Vec<u8>) -> u16 {
    let mut frames = Frames::open(siege.gate.public).await;
    frames.send(request).await;
    match frames.outcome(1).await {
        Outcome::Answer(status) => status,
        Outcome::Reset | Outcome::Gone => 0,
    }
}

#[tokio::test]
async fn no_field_of_http2_becomes_two_of_http1() {
    let siege = Siege::with(|gate| gate.set(TRUSTED)).await;
    let rows: Vec<Row> = cases("attacks/downgrade.json");
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for row in rows.iter().flat_map(|row| std::iter::repeat_n(row, TIMES)) {
                let status = outcome(&siege, row.frames(&siege)).await;
                faults.check(status == row.status, || format!("{}: {status} for {}", row.name, row.status));
            }
        })
        .await;
    faults.none();
}

/// The request that the rows above spoil is good, also when it has what HTTP/2 allows and HTTP/1.1 frames.
#[tokio::test]
async fn what_is_one_request_stays_one() {
    let siege = Siege::with(|gate| gate.set(TRUSTED)).await;
    let smuggled = [("x-smuggled".to_owned(), "1".to_owned()), ("transfer-encoding".to_owned(), "x".to_owned())];
    for (name, add, trailers) in [
        ("as it is", vec![], vec![]),
        ("te of HTTP/2", vec![("te", "trailers")], vec![]),
        ("a length", vec![("content-length", "2")], vec![]),
        ("a coding with an underscore", vec![("transfer_encoding", "chunked"), ("content_length", "9")], vec![]),
        ("a host beside the authority", vec![("host", "gate")], vec![]),
        ("trailers", vec![], smuggled[..1].to_vec()),
    ] {
        let after = add.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let row = Row { name: name.into(), change: vec![], before: vec![], after, data: data(), trailers, status: 200 };
        siege.expect(1);
        assert_eq!(outcome(&siege, row.frames(&siege)).await, 200, "{name}");
        let seen = siege.upstream.take().pop().expect("a request");
        assert_eq!((&seen.body[..], seen.header("content-length")), (&b"{}"[..], "2"), "{name}");
        for stripped in ["x-smuggled", "transfer-encoding", "transfer_encoding", "content_length", "te"] {
            assert!(!seen.headers.contains_key(stripped), "{name}: {seen:?}");
        }
    }
    siege.is_well().await;
}

/// A form goes on before its end is seen: what comes behind it is dropped, and one of another length than it said
/// is whole to nobody.
#[tokio::test]
async fn a_form_of_another_length_is_whole_to_nobody() {
    let siege = Siege::with(|gate| gate.set(TRUSTED)).await;
    let form = ("content-type".to_owned(), Some("multipart/form-data; boundary=x".to_owned()));
    for (length, data, trailers) in [
        ("4", "--x--{NEXT}", vec![]),
        ("4000", "--x--", vec![]),
        ("0", "--x--", vec![]),
        ("5", "--x--", vec![("x-smuggled".to_owned(), "1".to_owned())]),
    ] {
        let row = Row {
            name: length.into(),
            change: vec![form.clone()],
            before: vec![],
            after: vec![("content-length".to_owned(), length.to_owned())],
            data: data.to_owned(),
            trailers,
            status: 0,
        };
        let status = outcome(&siege, row.frames(&siege)).await;
        assert!(length == "5" || status == 0 || status >= 400, "{length}: {status}");
        siege.is_idle().await;
        for seen in siege.upstream.take() {
            assert!(length == "5" || !seen.body_complete, "{length}: {seen:?}");
            assert!(!seen.headers.contains_key("x-smuggled"), "{length}: {seen:?}");
        }
        siege.forget().await;
    }
    siege.is_well().await;
}
