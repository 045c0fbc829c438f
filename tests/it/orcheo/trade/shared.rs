//! Who shares a token with whom, and for how long.

use std::collections::HashSet;

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn one_end_user_gets_the_same_token_again_and_nobody_else_does() {
    let (upstream, gate) = started(BY_JWT).await;
    token_of(ask_as(&gate, "ada", "")).await;
    token_of(ask_as(&gate, "ada", &format!("?workflow_id={WORKFLOW}"))).await;
    assert_eq!(upstream.count(), 1);
    upstream.on(SESSION, Behaviour::answer(made("eyJ.second.token", 300)));
    assert_eq!(token_of(ask_as(&gate, "bob", "")).await, "eyJ.second.token");
    assert_eq!(token_of(ask_as(&gate, "ada", &format!("?workflow_id={OTHER}"))).await, "eyJ.second.token");
    assert_eq!(token_of(ask_as(&gate, "ada", "")).await, "eyJ.first.token");
    assert_eq!(users(&upstream.take()), ["ada", "bob", "ada"]);
    let text = sent(gate.ops("/metrics")).await.text().await.expect("text");
    assert!(text.contains("sidegate_trades_total{outcome=\"fetched\"} 3"), "{text}");
    assert!(text.contains("sidegate_trades_total{outcome=\"reused\"} 2"), "{text}");
}

#[tokio::test]
async fn a_token_is_handed_out_while_more_than_half_of_its_life_is_left() {
    let (upstream, gate) = started(BY_JWT).await;
    upstream.once(SESSION, Behaviour::answer(made("eyJ.short.token", 4)));
    let began = tokio::time::Instant::now();
    assert_eq!(token_of(ask_as(&gate, "ada", "")).await, "eyJ.short.token");
    let fetched_again = async {
        while token_of(ask_as(&gate, "ada", "")).await == "eyJ.short.token" {
            assert!(began.elapsed().as_secs() < 4, "a token that is over was handed out");
        }
    };
    tokio::time::timeout(PATIENCE, fetched_again).await.expect("it is fetched anew");
    // Its end was told in whole seconds, so it may have had 3 of them left, and then 1.5 to be handed out.
    assert!(began.elapsed().as_millis() > 1_400, "only after {:?}", began.elapsed());
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pages_of_one_user_are_one_request_upstream() {
    const PAGES: usize = 1_000;
    let upstream = Upstream::start().await;
    let (held, release) = Behaviour::held(made("eyJ.one.token", 300));
    upstream.on(SESSION, held);
    let gate = builder(&upstream, BY_JWT).set("listen.workers=2").start().await;
    let pages = join_all((0..PAGES).map(|_| token_of(ask_as(&gate, "ada", ""))));
    let waiting = async {
        upstream.wait_for(1).await;
        metrics_until(&gate, |text| text.contains(&format!("sidegate_connections{{listener=\"public\"}} {PAGES}")))
            .await;
        release.release();
    };
    let (tokens, ()) = tokio::join!(pages, waiting);
    assert!(tokens.iter().all(|token| token == "eyJ.one.token"));
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn strangers_never_share_a_token() {
    let (upstream, gate) = started("authorize = { kind = \"anonymous\" }").await;
    join_all((0..20).map(|_| token_of(ask(&gate, "")))).await;
    let users = users(&upstream.take());
    assert_eq!(users.iter().collect::<HashSet<_>>().len(), 20, "{users:?}");
    assert!(users.iter().all(|user| user.starts_with("anon-") && user.len() == 37), "{users:?}");
    // Somebody who logs in under such a name is somebody else.
    let (upstream, gate) = started(BY_JWT).await;
    token_of(ask_as(&gate, &users[0], "")).await;
    assert_eq!(self::users(&upstream.take()), [users[0].clone()]);
}

#[tokio::test]
async fn strangers_are_counted_by_where_they_come_from() {
    let rule = "authorize = { kind = \"anonymous\" }\nlimits.exchange = \"2/h per end_user\"";
    let (upstream, gate) = started(rule).await;
    for _ in 0..2 {
        token_of(ask(&gate, "")).await;
    }
    assert_eq!(refused(sent(ask(&gate, "")).await, 429).await, "chatkit.rate_limit.session");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_page_that_leaves_takes_nothing_away_from_the_others() {
    let upstream = Upstream::start().await;
    let (held, release) = Behaviour::held(made("eyJ.one.token", 300));
    upstream.on(SESSION, held);
    let gate = builder(&upstream, BY_JWT).start().await;
    let first = tokio::spawn(sent(ask_as(&gate, "ada", "")));
    upstream.wait_for(1).await;
    first.abort();
    assert!(first.await.expect_err("it left").is_cancelled());
    metrics_until(&gate, |text| text.contains("sidegate_client_aborts_total 1")).await;
    let second = ask_as(&gate, "ada", "");
    let (token, ()) = tokio::join!(token_of(second), async { release.release() });
    assert_eq!(token, "eyJ.one.token");
    assert_eq!((upstream.count(), upstream.progress().cancelled), (1, 0));
}
