//! What a limit of several rates counts, in this process.

use std::net::IpAddr;

use sidegate_core::app::{App, AppLimits};
use sidegate_core::denial::UsedUp;
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::orcheo::WorkflowId;
use sidegate_core::id::EndUserId;
use sidegate_core::rate::Rates;

use super::{Counted, Limit, Limits, Sender, Told};

fn rates(texts: &[&str]) -> Rates {
    Rates::new(texts.iter().map(|text| text.parse().expect("a rate")).collect()).expect("rates")
}

fn app(limits: AppLimits) -> App {
    App { limits, ..App::new("support".parse().expect("an id"), Dialect::Orcheo) }
}

fn chat(texts: &[&str]) -> Limits {
    Limits::new(&app(AppLimits { chat: rates(texts), ..AppLimits::default() }), None)
}

/// Who asks: an end user, from an address, of a workflow.
struct Caller(EndUserId, IpAddr, WorkflowId);

fn caller(end_user: &str, address: &str, workflow: u8) -> Caller {
    let workflow = format!("{workflow:08}-0000-4000-8000-000000000000");
    let parsed = (end_user.parse(), address.parse(), workflow.parse());
    Caller(parsed.0.expect("an end user"), parsed.1.expect("an address"), parsed.2.expect("a workflow"))
}

impl Limit {
    /// What is used up, if the request is refused.
    fn ask(&self, caller: &Caller) -> Option<UsedUp> {
        let told = Told::default();
        let counted = Counted::of(Sender { address: caller.1, told: &told }, &caller.0).for_workflow(Some(&caller.2));
        self.check_here(counted).err().map(|denial| {
            assert!(denial.retry_after.is_some());
            denial.used_up.expect("a key")
        })
    }
}

#[test]
fn ipv6_counts_by_network_and_mapped_ipv4_as_ipv4() {
    let network = |text: &str| super::network(text.parse().expect("an address"));
    assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1::2"));
    assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
    assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
    assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
}

#[test]
fn each_rate_refuses_by_its_own_key() {
    let limits = chat(&["4/h", "3/h per workflow", "2/h per end_user", "1/h per address"]);
    let chat = limits.chat.expect("a limit");
    assert_eq!(chat.ask(&caller("ada", "192.0.2.1", 1)), None);
    let own = "192.0.2.1".parse().expect("an address");
    assert_eq!(chat.ask(&caller("eve", "::ffff:192.0.2.1", 2)), Some(UsedUp::Address(own)), "as it is told");
    assert_eq!(chat.ask(&caller("ada", "192.0.2.2", 1)), None);
    assert_eq!(chat.ask(&caller("ada", "192.0.2.3", 1)), Some(UsedUp::EndUser));
    assert_eq!(chat.ask(&caller("bob", "192.0.2.3", 1)), None);
    assert_eq!(chat.ask(&caller("cyd", "192.0.2.4", 1)), Some(UsedUp::Workflow));
    assert_eq!(chat.ask(&caller("cyd", "192.0.2.4", 2)), None);
    assert_eq!(chat.ask(&caller("dan", "192.0.2.5", 2)), Some(UsedUp::App));
}

#[test]
fn a_refused_request_is_counted_nowhere() {
    let limits = chat(&["2/h per address", "1/h per end_user", "9/h"]);
    let chat = limits.chat.expect("a limit");
    assert_eq!(chat.ask(&caller("ada", "192.0.2.1", 1)), None);
    for _ in 0..20 {
        assert_eq!(chat.ask(&caller("ada", "192.0.2.1", 1)), Some(UsedUp::EndUser), "its address has one left");
    }
    assert_eq!(chat.ask(&caller("eve", "192.0.2.1", 1)), None);
    assert!(matches!(chat.ask(&caller("eve", "192.0.2.1", 1)), Some(UsedUp::Address(_))), "the first that is full");
}

#[test]
fn no_rate_is_no_limit_and_each_kind_has_its_own() {
    let limits = chat(&[]);
    assert!(limits.chat.is_none() && limits.exchange.is_none() && limits.publish.is_none());
    let publish = rates(&["1/h per workflow"]);
    let limits = Limits::new(&app(AppLimits { publish, chat: rates(&["1/h"]), ..AppLimits::default() }), None);
    let (publish, chat) = (limits.publish.expect("a limit"), limits.chat.expect("a limit"));
    assert_eq!(publish.ask(&caller("anon-1", "192.0.2.1", 1)), None);
    assert_eq!(publish.ask(&caller("anon-2", "192.0.2.2", 1)), Some(UsedUp::Workflow));
    assert_eq!(publish.ask(&caller("anon-2", "192.0.2.2", 2)), None);
    assert_eq!(chat.ask(&caller("ada", "192.0.2.1", 1)), None);
}

#[test]
fn a_rate_that_stays_goes_on_counting() {
    let of = |texts: &[&str]| app(AppLimits { chat: rates(texts), ..AppLimits::default() });
    let before = Limits::new(&of(&["1/h per end_user"]), None);
    let ada = caller("ada", "192.0.2.1", 1);
    assert_eq!(before.chat.as_ref().expect("a limit").ask(&ada), None);
    let after = Limits::new(&of(&["1/h per end_user", "5/h"]), Some(&before));
    assert_eq!(after.chat.as_ref().expect("a limit").ask(&ada), Some(UsedUp::EndUser));
    let other = Limits::new(&of(&["2/h per end_user"]), Some(&after));
    assert_eq!(other.chat.expect("a limit").ask(&ada), None, "another rate begins anew");
}
