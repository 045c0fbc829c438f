use http::StatusCode;

use super::*;
use crate::breaker::BreakerRule;
use crate::config::UpstreamSettings;

fn upstream(addresses: &[u16]) -> Upstream {
    let urls = addresses.iter().map(|port| format!("http://127.0.0.1:{port}").parse().expect("a URL"));
    let circuit = BreakerRule { failures: 1, ..BreakerRule::default() };
    let settings = UpstreamSettings { circuit, ..UpstreamSettings::new("chat", urls.collect()) };
    Upstream::new(settings, 0, None).expect("an upstream")
}

fn chosen(upstream: &Upstream, key: u64) -> String {
    match Route::new(upstream, key) {
        Ok(route) => route.endpoint().authority.to_string(),
        Err(refused) => refused.denial.code.name().to_owned(),
    }
}

fn keys(upstream: &Upstream) -> Vec<u64> {
    let app = "app".parse().expect("an id");
    (0..3_000).map(|user| upstream.key(&app, &format!("user-{user}").parse().expect("an id"))).collect()
}

#[test]
fn an_address_that_goes_moves_its_own_users_alone_and_all_share_alike() {
    let (three, two) = (upstream(&[1, 2, 3]), upstream(&[1, 3]));
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for key in keys(&three) {
        let before = chosen(&three, key);
        if before != "127.0.0.1:2" {
            assert_eq!(chosen(&two, key), before);
        }
        *counts.entry(before).or_default() += 1;
    }
    assert!(counts.len() == 3 && counts.values().all(|count| (850..1_150).contains(count)), "{counts:?}");
}

/// As Python's `hashlib` comes to it: gates of other builds, too, must choose so.
#[test]
fn the_choice_is_the_same_in_every_build() {
    let upstream = upstream(&[1, 2, 3]);
    let user = |user: &str| upstream.key(&"app".parse().expect("an id"), &user.parse().expect("an id"));
    assert_eq!(user("user-0"), 0xbe57_7621_37a1_bb3e);
    let ports = (0..12).map(|number| chosen(&upstream, user(&format!("user-{number}"))).pop().expect("a port"));
    assert_eq!(ports.collect::<String>(), "213332311321");
}

#[test]
fn the_order_in_which_addresses_are_written_changes_nothing() {
    let (one, other) = (upstream(&[1, 2, 3]), upstream(&[3, 1, 2]));
    assert!(keys(&one).into_iter().all(|key| chosen(&one, key) == chosen(&other, key)));
}

#[test]
fn a_failed_address_is_passed_over_and_with_all_of_them_nobody_is_asked() {
    let upstream = upstream(&[1, 2]);
    let first = chosen(&upstream, 7);
    let mut route = Route::new(&upstream, 7).map_err(|refused| refused.denial).expect("a way");
    assert!(route.goes_on(), "to the other one");
    assert_ne!(route.endpoint().authority.as_str(), first);
    assert_ne!(chosen(&upstream, 7), first, "others pass it over, too");
    route.note(Ok(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(chosen(&upstream, 7), "UPSTREAM_SUSPENDED");
    let mut call = Route::of_call(&upstream);
    assert!(call.goes_on() && !call.goes_on(), "the gate's own calls try each of them once");
}

#[test]
fn only_what_is_about_the_address_counts() {
    let upstream = upstream(&[1]);
    let note = |outcome| Route::new(&upstream, 0).map_err(|refused| refused.denial).expect("a way").note(outcome);
    for harmless in
        [Err(Failure::Busy), Err(Failure::Unauthorized), Err(Failure::Exhausted), Ok(StatusCode::INTERNAL_SERVER_ERROR)]
    {
        note(harmless);
    }
    drop(Route::new(&upstream, 0));
    note(Err(Failure::ResponseTimeout));
    assert_eq!(chosen(&upstream, 0), "UPSTREAM_SUSPENDED");
}
