//! What the limits of a request say of themselves: `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers-11), for the fields of its answer, whatever that is.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use sidegate_core::rate::Rates;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Who sends a request, as far as limits ask, and where what they say is kept for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// What is said.
    pub told: &'a Told,
}

/// What all limits that have counted one request, or refused it, say.
#[derive(Debug, Default)]
pub struct Told(RefCell<Said>);

#[derive(Debug, Default)]
struct Said {
    /// Of all rates that which is the nearest to its end.
    nearest: Option<Standing>,
    /// The rates of the first limit.
    policy: Option<HeaderValue>,
    /// Those of others: few requests are counted by two.
    more: Vec<HeaderValue>,
}

/// How much a rate has left for whoever asked.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Its name in the policy.
    pub(super) name: std::sync::Arc<str>,
    /// Requests that it takes at once.
    pub(super) left: u32,
    /// How long until it takes one, if none is left; else how long it takes to give back what is left: who
    /// spreads that over this time is never refused.
    pub(super) window: Duration,
}

impl Standing {
    /// Whether it ends before another one.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        (self.left, other.window) < (other.left, self.window)
    }

    /// `"chat";r=12;t=30`: the quota that is left, and its effective window in seconds, rounded up.
    fn field(&self) -> Option<HeaderValue> {
        let mut numbers = itoa::Buffer::new();
        let mut text = Vec::with_capacity(self.name.len() + 28);
        text.push(b'"');
        text.extend(self.name.as_bytes());
        text.extend(b"\";r=");
        text.extend(numbers.format(self.left).as_bytes());
        text.extend(b";t=");
        text.extend(numbers.format(seconds(self.window)).as_bytes());
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
    }
}

/// Whole seconds, as `Retry-After` has them.
fn seconds(time: Duration) -> u128 {
    time.as_millis().div_ceil(1000).max(1)
}

/// What a limit's rates are called: by the limit alone if there is one, else also by what each counts.
pub(super) fn names(limit: &str, rates: &Rates) -> Vec<String> {
    match rates.all() {
        [_] => vec![limit.to_owned()],
        several => several.iter().map(|rate| format!("{limit}-{}", rate.key.name())).collect(),
    }
}

/// `"chat";q=60;w=60`: how many in how many seconds, for each rate.
pub(super) fn policy(limit: &str, rates: &Rates) -> Option<HeaderValue> {
    let items = names(limit, rates).into_iter().zip(rates.all());
    let items: Vec<_> =
        items.map(|(name, rate)| format!("\"{name}\";q={};w={}", rate.count, seconds(rate.period))).collect();
    HeaderValue::try_from(items.join(", ")).ok()
}

impl Told {
    /// Notes what a limit with this policy says.
    pub(super) fn note(&self, policy: Option<&HeaderValue>, standing: Standing) {
        let mut said = self.0.borrow_mut();
        let said = &mut *said;
        let Some(policy) = policy else { return };
        if said.nearest.as_ref().is_none_or(|nearest| standing.is_before(nearest)) {
            said.nearest = Some(standing);
        }
        match &said.policy {
            None => said.policy = Some(policy.clone()),
            Some(first) if first == policy || said.more.contains(policy) => {}
            Some(_) => said.more.push(policy.clone()),
        }
    }

    /// Puts the fields on an answer, beside those that an upstream has put there: lists may be split (RFC 9651
    /// section 3.1), and who only hands on must not hide them.
    pub fn put_on(&self, headers: &mut HeaderMap) {
        let said = self.0.borrow();
        let Some(field) = said.nearest.as_ref().and_then(Standing::field) else { return };
        for policy in said.policy.iter().chain(&said.more) {
            headers.append(RATE_LIMIT_POLICY, policy.clone());
        }
        headers.append(RATE_LIMIT, field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(name: &str, left: u32, millis: u64) -> Standing {
        Standing { name: name.into(), left, window: Duration::from_millis(millis) }
    }

    fn rates(texts: &[&str]) -> Rates {
        Rates::new(texts.iter().map(|text| text.parse().expect("a rate")).collect()).expect("rates")
    }

    fn fields(told: &Told) -> [Vec<String>; 2] {
        let mut headers = HeaderMap::new();
        told.put_on(&mut headers);
        [RATE_LIMIT, RATE_LIMIT_POLICY]
            .map(|name| headers.get_all(name).iter().map(|value| value.to_str().expect("text").to_owned()).collect())
    }

    #[test]
    fn one_rate_is_called_as_its_limit_and_several_by_what_they_count() {
        assert_eq!(policy("chat", &rates(&["60/m"])).expect("a field"), "\"chat\";q=60;w=60");
        let several = policy("chat", &rates(&["9/h", "1/s per address"])).expect("a field");
        assert_eq!(several, "\"chat-address\";q=1;w=1, \"chat-app\";q=9;w=3600");
    }

    #[test]
    fn the_rate_that_ends_first_is_told_and_all_policies_once() {
        let (told, chat, publish) = (
            Told::default(),
            HeaderValue::from_static("\"chat\";q=9;w=1"),
            HeaderValue::from_static("\"publish\";q=2;w=1"),
        );
        assert_eq!(fields(&told), [Vec::<String>::new(), Vec::new()], "nothing is limited");
        told.note(Some(&chat), standing("chat", 3, 1_001));
        told.note(Some(&publish), standing("publish", 5, 1));
        told.note(Some(&publish), standing("publish", 4, 1));
        assert_eq!(fields(&told), [vec!["\"chat\";r=3;t=2"], vec!["\"chat\";q=9;w=1", "\"publish\";q=2;w=1"]]);
        told.note(Some(&publish), standing("publish", 0, 0));
        assert_eq!(fields(&told)[0], ["\"publish\";r=0;t=1"]);
        told.note(Some(&chat), standing("chat", 0, 5_000));
        assert_eq!(fields(&told)[0], ["\"chat\";r=0;t=5"], "of two that are full the one that is so for longer");
    }
}
