//! Pages that pretend to be another's: origins that look like one on the list, or like none. (One by one, and
//! lists of every kind: `origin`, `cors` and `preflight` in `tests/it`.)

use crate::dialects::{held, lay};
use crate::siege::{Faults, Siege, TIMES};
use crate::support::cases::cases;
use crate::support::gate::SHOP;
use crate::support::raw::{Raw, RawAnswer};

async fn ask(siege: &Siege, method: &str, path: &str, secret: &str, fields: &str) -> Option<RawAnswer> {
    let address = siege.gate.public;
    let length = if method == "POST" { "Content-Type: application/json\r\nContent-Length: 2\r\n" } else { "" };
    let body = if method == "POST" { "{}" } else { "" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {secret}\r\nConnection: close\r\n{fields}{length}"
    );
    let mut raw = Raw::connect(address).await;
    raw.send(format!("{head}\r\n{body}")).await;
    raw.answer_or_end().await
}

/// Whether a page may read it, or send a cookie with it.
fn is_readable(answer: &RawAnswer) -> bool {
    answer.head.to_ascii_lowercase().contains("\r\naccess-control-allow-")
}

#[tokio::test]
async fn no_origin_that_looks_like_a_listed_one_is_let_in() {
    let siege = lay(|gate| gate.origins(&[SHOP, "https://*.preview.example.com", "http://localhost:3000"])).await;
    let held = held(&siege).await;
    let origins: Vec<String> = cases("attacks/origins.json");
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for origin in &origins {
                for held in &held {
                    let path = held.path.replace("{secret}", &held.secret);
                    let field = format!("Origin: {origin}\r\n");
                    let preflight = format!("{field}Access-Control-Request-Method: {}\r\n", held.method);
                    for (method, fields) in [(held.method.as_str(), &field), ("OPTIONS", &preflight)] {
                        let answer = ask(&siege, method, &path, &held.secret, fields).await;
                        let refused =
                            answer.as_ref().is_some_and(|answer| answer.status >= 400 && !is_readable(answer));
                        faults.check(refused, || format!("{method} {origin:?} for {}: {answer:?}", held.dialect));
                    }
                }
            }
        })
        .await;
    faults.none();
}

/// Two fields, of which one reader takes the first and another the last; and what a page says of itself elsewhere.
#[tokio::test]
async fn no_other_field_stands_for_an_origin() {
    let siege = lay(|gate| gate).await;
    let held = held(&siege).await;
    let evil = "https://evil.example";
    let rows = [
        format!("Origin: {SHOP}\r\nOrigin: {evil}\r\n"),
        format!("Origin: {evil}\r\nOrigin: {SHOP}\r\n"),
        format!("Origin: {SHOP}\r\norigin: {SHOP}\r\n"),
        format!("Origin: {SHOP},{evil}\r\n"),
        format!("Origin: {evil}\r\nReferer: {SHOP}/\r\n"),
        format!("Origin: {evil}\r\nSec-Fetch-Site: same-origin\r\n"),
        format!("Origin: {evil}\r\nX-Forwarded-Origin: {SHOP}\r\n"),
        format!("Origin: {evil}\r\nHost: shop.example.com\r\n"),
        format!("Origin: {evil}\r\nX-Forwarded-Host: shop.example.com\r\n"),
        format!("Referer: {SHOP}/\r\n"),
        "Sec-Fetch-Site: same-origin\r\n".to_owned(),
        format!("Sec-WebSocket-Origin: {SHOP}\r\n"),
        format!("X-Origin: {SHOP}\r\n"),
        format!("Access-Control-Allow-Origin: {SHOP}\r\n"),
    ];
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for fields in &rows {
                for held in held.iter().flat_map(|held| std::iter::repeat_n(held, TIMES / 4)) {
                    let path = held.path.replace("{secret}", &held.secret);
                    let answer = ask(&siege, held.method.as_str(), &path, &held.secret, fields).await;
                    let refused = answer.as_ref().is_some_and(|answer| answer.status >= 400);
                    faults.check(refused, || format!("{fields:?} for {}: {answer:?}", held.dialect));
                }
            }
        })
        .await;
    faults.none();
}

/// A list that lets everybody in lets nobody send cookies, and never the page without an origin.
#[tokio::test]
async fn a_star_goes_with_no_credentials() {
    let siege = Siege::with(|gate| gate.origins(&["*"])).await;
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for origin in ["https://evil.example", "http://localhost", "https://xn--shp-0na.example"] {
                for (method, more) in [("GET", ""), ("OPTIONS", "Access-Control-Request-Method: GET\r\n")] {
                    for _ in 0..TIMES {
                        let fields = format!("Origin: {origin}\r\nCookie: a=b\r\n{more}");
                        siege.expect(usize::from(method == "GET"));
                        let answer =
                            ask(&siege, method, "/api/v1/tasks", &siege.token, &fields).await.expect("an answer");
                        faults.check(answer.header("access-control-allow-credentials").is_none(), || {
                            format!("{answer:?}")
                        });
                        faults.check(answer.header("access-control-allow-origin") == Some(origin), || {
                            format!("{answer:?}")
                        });
                    }
                }
            }
            for origin in ["null", "*", "file://", "", "about:blank", "data:", "https://evil.example/"] {
                for (method, more) in [("GET", ""), ("OPTIONS", "Access-Control-Request-Method: GET\r\n")] {
                    let fields = format!("Origin: {origin}\r\n{more}");
                    let answer = ask(&siege, method, "/api/v1/tasks", &siege.token, &fields).await.expect("an answer");
                    let refused = answer.status >= 400 && !is_readable(&answer);
                    faults.check(refused, || format!("{method} {origin:?}: {answer:?}"));
                }
            }
        })
        .await;
    faults.none();
}
