//! What is kept, for how long, and what becomes of it when its time is over.

use futures_util::future::join_all;

use super::{AT_CDN, BODY, BUNDLE, counted, field, get, next, over, read, script, started};
use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric, metric_becomes, within};

fn other() -> Reply {
    Reply::new(200, "other").header("etag", "\"v2\"").header("cache-control", "max-age=3600")
}

/// Asks twice for the bundle, which first is `first` and then something else; what the second gets.
async fn second_of(cdn: &Upstream, gate: &Gate, first: Reply) -> String {
    next(cdn, first);
    assert_eq!(read(get(gate, BUNDLE, &[]).await).await, (200, BODY.to_owned()));
    next(cdn, other());
    read(get(gate, BUNDLE, &[]).await).await.1
}

#[tokio::test]
async fn what_is_fresh_is_not_asked_for() {
    for cache_control in [
        "max-age=3600",
        "public, s-maxage=3600, max-age=0",
        "max-age=3600, must-revalidate",
        "MAX-AGE=\"3600\", immutable",
    ] {
        let (cdn, gate) = started().await;
        assert_eq!(second_of(&cdn, &gate, script(cache_control)).await, BODY, "{cache_control}");
        assert_eq!(cdn.count(), 1, "{cache_control}");
    }
}

#[tokio::test]
async fn what_is_not_fresh_or_may_not_be_kept_is_asked_for() {
    for cache_control in [
        "no-store",
        "No-Store, max-age=3600",
        "private, max-age=3600",
        "no-cache, max-age=3600",
        "max-age=0",
        "max-age=3600, s-maxage=0",
        "max-age=x",
        "max-age=3600, max-age=1800",
        "no-cache=\"x\"",
    ] {
        let (cdn, gate) = started().await;
        assert_eq!(second_of(&cdn, &gate, script(cache_control)).await, "other", "{cache_control}");
    }
}

#[tokio::test]
async fn expires_and_age_count_and_without_both_a_guess_by_the_last_change() {
    let plain = |name, value: &str| Reply::new(200, BODY).header(name, value);
    for (first, second) in [
        (plain("expires", "Fri, 01 Jan 2100 00:00:00 GMT"), BODY),
        (plain("expires", "0"), "other"),
        (plain("expires", super::DATED).header("last-modified", super::DATED), "other"),
        (plain("cache-control", "max-age=3600").header("age", "3599999"), "other"),
        (plain("last-modified", super::DATED), BODY),
        (plain("etag", "\"v1\""), "other"),
        (plain("cache-control", "max-age=3600").header("vary", "*"), "other"),
        (plain("cache-control", "max-age=3600").header("set-cookie", "a=b").header("vary", "Origin, Cookie"), BODY),
    ] {
        let (cdn, gate) = started().await;
        let said = format!("{first:?}");
        assert_eq!(second_of(&cdn, &gate, first).await, second, "{said}");
    }
}

#[tokio::test]
async fn what_is_kept_says_how_old_it_is() {
    let (cdn, gate) = started().await;
    next(&cdn, script("max-age=3600").header("age", "100").header("date", "Sun, 06 Nov 2084 08:49:37 GMT"));
    for _ in 0..2 {
        let answer = get(&gate, BUNDLE, &[]).await;
        assert_eq!(field(&answer, "date"), "Sun, 06 Nov 2084 08:49:37 GMT");
        let age: u64 = field(&answer, "age").parse().expect("seconds");
        assert!((100..160).contains(&age), "{age}");
    }
    metric_becomes(&gate, &counted("hit"), 1.0).await;
}

#[tokio::test]
async fn a_304_refreshes_what_is_kept() {
    let (cdn, gate) = started().await;
    next(&cdn, script("max-age=0").header("last-modified", super::DATED));
    get(&gate, BUNDLE, &[]).await;
    let refresh = Reply::new(304, "").header("etag", "\"v1\"").header("cache-control", "max-age=3600, public");
    next(&cdn, refresh.header("content-type", "text/plain").header("set-cookie", "a=b"));
    for result in ["revalidated", "hit"] {
        let answer = get(&gate, BUNDLE, &[]).await;
        assert_eq!(field(&answer, "cache-control"), "max-age=3600, public");
        assert_eq!((field(&answer, "content-type"), field(&answer, "set-cookie")), ("text/javascript", ""));
        assert_eq!(read(answer).await, (200, BODY.to_owned()));
        metric_becomes(&gate, &counted(result), 1.0).await;
    }
    let asked = &cdn.requests()[1];
    assert_eq!((asked.header("if-none-match"), asked.header("if-modified-since")), ("\"v1\"", super::DATED));
    assert_eq!(cdn.count(), 2);
}

#[tokio::test]
async fn a_304_about_something_else_is_not_believed() {
    let (cdn, gate) = started().await;
    next(&cdn, script("max-age=0"));
    get(&gate, BUNDLE, &[]).await;
    next(&cdn, Reply::new(304, "").header("etag", "\"v9\"").header("cache-control", "max-age=3600"));
    next(&cdn, other());
    assert_eq!(read(get(&gate, BUNDLE, &[]).await).await, (200, "other".to_owned()));
    assert_eq!(cdn.requests()[2].header("if-none-match"), "");
}

#[tokio::test]
async fn a_200_takes_the_place_of_what_was_kept_and_a_404_ends_it() {
    let (cdn, gate) = started().await;
    assert_eq!(second_of(&cdn, &gate, script("max-age=0")).await, "other");
    assert_eq!(read(get(&gate, BUNDLE, &[]).await).await.1, "other");
    assert_eq!(cdn.count(), 2);
    let path = "/api/chatkit/assets/chatkit.js?v=2";
    next(&cdn, script("max-age=0, stale-if-error=3600"));
    next(&cdn, Reply::new(404, ""));
    next(&cdn, Reply::new(503, ""));
    for status in [200, 404, 502] {
        assert_eq!(get(&gate, path, &[]).await.status(), status);
    }
}

#[tokio::test]
async fn a_copy_stands_in_while_the_cdn_fails_unless_it_forbids_that() {
    let day = "assets.stale_if_error=1d";
    for (cache_control, configured, status) in [
        ("max-age=0", day, 200),
        ("max-age=0", "assets.stale_if_error=0s", 502),
        ("max-age=0, stale-if-error=3600", "assets.stale_if_error=0s", 200),
        ("max-age=0, must-revalidate", day, 502),
        ("max-age=0, proxy-revalidate, stale-if-error=3600", day, 502),
        ("s-maxage=0", day, 502),
        ("no-cache", day, 502),
        ("no-store", day, 502),
    ] {
        let cdn = Upstream::start().await;
        let gate = over(&cdn).set(configured).start().await;
        next(&cdn, script(cache_control));
        get(&gate, BUNDLE, &[]).await;
        next(&cdn, Reply::new(503, "broken"));
        assert_eq!(get(&gate, BUNDLE, &[]).await.status(), status, "{cache_control}");
        let failures = "sidegate_upstream_failures_total{error=\"destination_unavailable\"}";
        metric_becomes(&gate, failures, 1.0).await;
    }
}

#[tokio::test]
async fn a_copy_stands_in_for_a_cdn_that_is_gone() {
    let (cdn, gate) = started().await;
    next(&cdn, script("max-age=0"));
    get(&gate, BUNDLE, &[]).await;
    cdn.stop().await;
    let answer = get(&gate, BUNDLE, &[]).await;
    assert_eq!((field(&answer, "etag").to_owned(), read(answer).await), ("\"v1\"".to_owned(), (200, BODY.to_owned())));
    metric_becomes(&gate, &counted("stale"), 1.0).await;
    assert_eq!(get(&gate, "/api/chatkit/assets/other.js", &[]).await.status(), 502);
    metric_becomes(&gate, &counted("failed"), 1.0).await;
}

#[tokio::test]
async fn a_copy_is_used_while_it_is_asked_for_where_it_allows_that() {
    let (cdn, gate) = started().await;
    next(&cdn, script("max-age=0, stale-while-revalidate=3600"));
    get(&gate, BUNDLE, &[]).await;
    let (held, release) = Behaviour::held(other());
    cdn.once(AT_CDN, held);
    assert_eq!(read(get(&gate, BUNDLE, &[]).await).await.1, BODY, "although the CDN has not answered");
    cdn.wait_heads(2).await;
    release.release();
    within(async { while read(get(&gate, BUNDLE, &[]).await).await.1 == BODY {} }).await;
    assert_eq!(cdn.count(), 2);
}

#[tokio::test]
async fn what_varies_by_accept_is_kept_for_each() {
    let (cdn, gate) = started().await;
    let of = |body: &'static str| {
        Reply::new(200, body).header("cache-control", "max-age=3600").header("vary", "Origin, accept")
    };
    for (accept, body) in [("image/webp", "webp"), ("image/png", "png")] {
        next(&cdn, of(body));
        for _ in 0..2 {
            assert_eq!(read(get(&gate, BUNDLE, &[("accept", accept)]).await).await.1, body);
        }
    }
    assert_eq!(read(get(&gate, BUNDLE, &[("accept", "image/webp")]).await).await.1, "webp");
    assert_eq!(cdn.count(), 2);
    next(&cdn, script("max-age=3600"));
    assert_eq!(read(get(&gate, BUNDLE, &[("accept", "x/y")]).await).await.1, BODY, "and is one again for all");
    assert_eq!(read(get(&gate, BUNDLE, &[("accept", "image/webp")]).await).await.1, BODY);
}

#[tokio::test]
async fn a_query_is_another_file() {
    let (cdn, gate) = started().await;
    cdn.on(AT_CDN, Behaviour::answer(script("max-age=3600")));
    for path in ["?v=1", "?v=2", "", "?", "?v=1", ""] {
        assert_eq!(get(&gate, &format!("{BUNDLE}{path}"), &[]).await.status(), 200);
    }
    let asked: Vec<_> = cdn.requests().iter().map(|seen| seen.uri.query().map(str::to_owned)).collect();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert_eq!(asked[..2], [Some("v=1".to_owned()), Some("v=2".to_owned())]);
}

#[tokio::test]
async fn what_a_redirect_led_to_is_kept_no_longer_than_the_redirect() {
    let year =
        || Behaviour::answer(script("max-age=31536000, immutable").header("expires", "Fri, 01 Jan 2100 00:00:00 GMT"));
    for (cache_control, asked, told) in [
        ("max-age=600", 2, "public, max-age=600, must-revalidate"),
        ("max-age=0", 4, "no-cache"),
        ("", 4, "no-cache"),
        ("no-store", 4, "no-cache"),
    ] {
        let (cdn, gate) = started().await;
        cdn.on("/deployments/chatkit/v1/chatkit.js", year());
        let mut redirect = Reply::new(302, "").header("location", "v1/chatkit.js");
        if !cache_control.is_empty() {
            redirect = redirect.header("cache-control", cache_control);
        }
        cdn.on(AT_CDN, Behaviour::answer(redirect));
        for _ in 0..2 {
            let answer = get(&gate, BUNDLE, &[]).await;
            assert_eq!((answer.status().as_u16(), field(&answer, "cache-control")), (200, told));
            assert_eq!(field(&answer, "expires"), "");
        }
        assert_eq!(cdn.count(), asked, "{cache_control}");
    }
}

/// Nobody needs a token, and each query may be another file at the CDN.
#[tokio::test]
async fn who_has_much_fetched_waits_and_has_what_is_kept() {
    let (cdn, gate) = started().await;
    next(&cdn, script("max-age=3600"));
    assert_eq!(get(&gate, BUNDLE, &[]).await.status(), 200);
    cdn.always(Behaviour::answer(script("no-store")));
    let mut fetched = 0;
    while get(&gate, &format!("{BUNDLE}?x={fetched}"), &[]).await.status() == 200 {
        fetched += 1;
        assert!(fetched < 200, "no end");
    }
    // A minute's worth, and what that minute has given back by now.
    assert!((119..150).contains(&fetched), "{fetched}");
    assert_eq!(cdn.count(), fetched + 1);
    assert_eq!(read(get(&gate, BUNDLE, &[]).await).await, (200, BODY.to_owned()));
}

/// What one of them got is for that one alone.
#[tokio::test]
async fn who_has_the_same_fetched_at_once_waits_as_well() {
    let (cdn, gate) = started().await;
    cdn.always(Behaviour::answer(script("no-store")));
    let answers = join_all((0..200).map(|_| get(&gate, BUNDLE, &[]))).await;
    let got = answers.iter().filter(|answer| answer.status() == 200).count();
    assert!((100..150).contains(&got), "{got}");
    assert_eq!(cdn.count(), got);
}

#[tokio::test]
async fn the_memory_is_bounded_and_what_is_used_stays() {
    let cdn = Upstream::start().await;
    let gate = over(&cdn).set("assets.memory=\"1MiB\"").set("assets.max_asset=\"500KiB\"").start().await;
    let large = Reply::new(200, "x".repeat(200 * 1_024)).header("cache-control", "max-age=3600");
    cdn.always(Behaviour::answer(large));
    for number in 0..30 {
        for path in ["used.js".to_owned(), format!("{number}.js")] {
            assert_eq!(get(&gate, &format!("/api/chatkit/assets/{path}"), &[]).await.status(), 200);
        }
        assert!(metric(&gate, "sidegate_asset_cache_bytes").await <= 1_048_576.0);
    }
    assert!(metric(&gate, "sidegate_asset_cache_bytes").await > 500_000.0);
    let used = cdn.requests().iter().filter(|seen| seen.uri.path().ends_with("/used.js")).count();
    assert_eq!(used, 1);
}

#[tokio::test]
async fn a_file_up_to_the_limit_is_kept() {
    let cdn = Upstream::start().await;
    let gate = over(&cdn).set("assets.memory=\"1MiB\"").set("assets.max_asset=\"512KiB\"").start().await;
    next(&cdn, Reply::new(200, "x".repeat(512 * 1_024)).header("cache-control", "max-age=3600"));
    for _ in 0..2 {
        assert_eq!(read(get(&gate, BUNDLE, &[]).await).await.1.len(), 512 * 1_024);
    }
    assert_eq!(cdn.count(), 1);
}
