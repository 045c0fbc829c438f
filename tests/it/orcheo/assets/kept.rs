//! What a browser gets of a file that is kept: parts, heads, and word that it has it already.

use reqwest::Method;

use super::{AT_CDN, BODY, BUNDLE, DATED, ask, field, get, next, read, script, started};
use crate::support::gate::{Gate, SHOP};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{http2, no_body, within};

/// A gate that keeps the bundle.
async fn keeping() -> (Upstream, Gate) {
    let (cdn, gate) = started().await;
    next(&cdn, script("max-age=3600").header("last-modified", DATED));
    assert_eq!(get(&gate, BUNDLE, &[]).await.status(), 200);
    (cdn, gate)
}

#[tokio::test]
async fn a_browser_that_has_it_is_told_so() {
    let (cdn, gate) = keeping().await;
    for (fields, status) in [
        (&[("if-none-match", "\"v1\"")][..], 304),
        (&[("if-none-match", "\"v0\", W/\"v1\"")], 304),
        (&[("if-none-match", "*")], 304),
        (&[("if-none-match", "\"v0\""), ("if-modified-since", DATED)], 200),
        (&[("if-modified-since", DATED)], 304),
        (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], 200),
        (&[("if-match", "\"v0\"")], 200),
        (&[("if-none-match", "\"v1\""), ("range", "bytes=0-1")], 304),
    ] {
        let answer = get(&gate, BUNDLE, fields).await;
        assert_eq!(answer.status(), status, "{fields:?}");
        assert_eq!((field(&answer, "etag"), field(&answer, "cache-control")), ("\"v1\"", "max-age=3600"));
        assert_eq!((field(&answer, "access-control-allow-origin"), field(&answer, "vary")), (SHOP, "Origin"));
        assert_eq!(read(answer).await.1.is_empty(), status == 304);
    }
    assert_eq!(cdn.count(), 1);
}

#[tokio::test]
async fn one_part_is_cut_out_of_it() {
    let (cdn, gate) = keeping().await;
    let all = BODY.len();
    for (range, status, said, body) in [
        ("bytes=0-5", 206, format!("bytes 0-5/{all}"), "export"),
        ("bytes=20-", 206, format!("bytes 20-{}/{all}", all - 1), &BODY[20..]),
        ("bytes=-6", 206, format!("bytes {}-{}/{all}", all - 6, all - 1), "'kit';"),
        ("bytes=20-999", 206, format!("bytes 20-{}/{all}", all - 1), &BODY[20..]),
        ("bytes=999-", 416, format!("bytes */{all}"), ""),
        ("bytes=-0", 416, format!("bytes */{all}"), ""),
        ("bytes=0-1,4-5", 200, String::new(), BODY),
        ("bytes=5-0", 200, String::new(), BODY),
        ("chars=0-1", 200, String::new(), BODY),
    ] {
        let answer = get(&gate, BUNDLE, &[("range", range)]).await;
        assert_eq!((answer.status().as_u16(), field(&answer, "content-range")), (status, &*said), "{range}");
        assert_eq!(field(&answer, "content-length"), body.len().to_string());
        assert_eq!(field(&answer, "access-control-allow-origin"), SHOP);
        assert_eq!(answer.text().await.expect("a body"), body);
    }
    for (condition, status) in [("\"v1\"", 206), ("\"v0\"", 200), ("W/\"v1\"", 200), (DATED, 206), ("x", 200)] {
        let answer = get(&gate, BUNDLE, &[("range", "bytes=0-5"), ("if-range", condition)]).await;
        assert_eq!(answer.status(), status, "{condition}");
    }
    assert_eq!(cdn.count(), 1);
}

#[tokio::test]
async fn a_head_says_what_a_get_would() {
    let (cdn, gate) = keeping().await;
    let answer = ask(&gate, Method::HEAD, BUNDLE, &[("range", "bytes=0-1")]).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "content-length")), (200, &*BODY.len().to_string()));
    assert_eq!((field(&answer, "content-type"), field(&answer, "etag")), ("text/javascript", "\"v1\""));
    assert_eq!(read(answer).await.1, "");
    assert_eq!(ask(&gate, Method::HEAD, BUNDLE, &[("if-none-match", "\"v1\"")]).await.status(), 304);
    assert_eq!(ask(&gate, Method::HEAD, "/api/chatkit/assets/..", &[]).await.status(), 404);
    assert_eq!(cdn.count(), 1);
}

#[tokio::test]
async fn http2_gets_the_same() {
    let cdn = Upstream::start().await;
    let gate = super::over(&cdn).set("listen.trusted_proxies=[\"127.0.0.1/32\"]").start().await;
    next(&cdn, script("max-age=3600"));
    let mut page = http2(tokio::net::TcpStream::connect(gate.public).await.expect("connected")).await;
    for (method, range, status, length) in
        [(Method::GET, "", 200, BODY.len()), (Method::HEAD, "", 200, 0), (Method::GET, "bytes=0-5", 206, 6)]
    {
        let mut request = http::Request::builder().method(method).uri(format!("http://{}{BUNDLE}", gate.public));
        if !range.is_empty() {
            request = request.header("range", range);
        }
        let answer = within(page.send_request(request.body(no_body()).expect("a request"))).await.expect("an answer");
        assert_eq!(answer.status(), status);
        if status == 200 {
            assert_eq!(answer.headers()["content-length"], BODY.len().to_string());
        }
        let body = within(http_body_util::BodyExt::collect(answer.into_body())).await.expect("a body").to_bytes();
        assert_eq!(body.len(), length);
    }
}

#[tokio::test]
async fn what_is_not_kept_is_asked_for_with_the_browsers_own_conditions() {
    let (cdn, gate) = started().await;
    cdn.on(AT_CDN, Behaviour::answer(script("private, max-age=60")));
    assert_eq!(get(&gate, BUNDLE, &[("if-none-match", "\"v0\"")]).await.status(), 200);
    assert_eq!(cdn.take()[0].header("if-none-match"), "");
    next(&cdn, Reply::new(304, "").header("etag", "\"v1\"").header("cache-control", "private, max-age=60"));
    let fields = [("if-none-match", "\"v1\""), ("if-modified-since", DATED), ("range", "bytes=0-1"), ("cookie", "a=b")];
    let answer = get(&gate, BUNDLE, &fields).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "cache-control")), (304, "private, max-age=60"));
    assert_eq!(field(&answer, "etag"), "W/\"v1\"");
    let seen = &cdn.take()[0];
    assert_eq!((seen.header("if-none-match"), seen.header("if-modified-since")), ("\"v1\"", DATED));
    assert_eq!((seen.header("range"), seen.header("cookie")), ("", ""));
    let part = get(&gate, BUNDLE, &[("range", "bytes=0-5")]).await;
    assert_eq!(read(part).await, (206, "export".to_owned()));
}
