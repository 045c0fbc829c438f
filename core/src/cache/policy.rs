//! For how long a stored answer may be used (RFC 9111 section 4.2).

use std::time::Duration;

use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};

use super::{CacheControl, date_of};
use crate::clock::Timestamp;

/// Where nobody says how long: a tenth of the time since the last change (RFC 9111 section 4.2.2), and
/// no more than this.
const LONGEST_GUESS: Duration = Duration::from_secs(3_600);

/// When an answer was asked for, and when it was there.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The former.
    pub asked: Timestamp,
    /// The latter.
    pub answered: Timestamp,
}

/// For how long a shared cache may use a stored answer, fresh and stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    answered: Timestamp,
    /// How old it was then.
    initial_age: Duration,
    /// The age from which it is stale.
    lifetime: Duration,
    /// It must not be used stale, whatever happens.
    strict: bool,
    if_error: Duration,
    while_asked: Duration,
}

impl Policy {
    /// Of an answer to a GET without credentials; `None` if it must not be stored.
    #[must_use]
    pub fn of(status: StatusCode, answer: &HeaderMap, times: Times) -> Option<Self> {
        let control = CacheControl::of(answer);
        if control.no_store || control.private {
            return None;
        }
        let lifetime = if control.no_cache { Duration::ZERO } else { lifetime(status, answer, control, times) };
        Some(Self {
            answered: times.answered,
            initial_age: initial_age(answer, times),
            lifetime,
            strict: control.no_cache || control.must_revalidate,
            if_error: control.stale_if_error.unwrap_or_default(),
            while_asked: control.stale_while_revalidate.unwrap_or_default(),
        })
    }

    /// The stricter of both, for an answer that another one led to: it may be used while both may.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            lifetime: self.lifetime.min(self.initial_age.saturating_add(other.left(self.answered))),
            strict: self.strict || other.strict,
            if_error: self.if_error.min(other.if_error),
            while_asked: self.while_asked.min(other.while_asked),
            ..self
        }
    }

    /// Its age, for `Age`.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        self.initial_age.saturating_add(now.since(self.answered))
    }

    /// Whether it may be used without asking.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.age(now) < self.lifetime
    }

    /// How long it is fresh still.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Duration {
        self.lifetime.saturating_sub(self.age(now))
    }

    /// The age from which it is stale.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Whether it may be used although asking failed: for as long as it says itself or `configured` says,
    /// unless it forbids to be used stale.
    #[must_use]
    pub fn may_replace_error(&self, now: Timestamp, configured: Duration) -> bool {
        self.may_be_stale(now, self.if_error.max(configured))
    }

    /// Whether it may be used while it is asked for.
    #[must_use]
    pub fn may_be_used_while_asked(&self, now: Timestamp) -> bool {
        self.may_be_stale(now, self.while_asked)
    }

    fn may_be_stale(&self, now: Timestamp, span: Duration) -> bool {
        !self.strict && self.age(now) < self.lifetime.saturating_add(span)
    }
}

/// RFC 9111 section 4.2.1.
fn lifetime(status: StatusCode, answer: &HeaderMap, control: CacheControl, times: Times) -> Duration {
    if let Some(span) = control.s_maxage.or(control.max_age) {
        return span;
    }
    let dated = date_of(answer, &DATE).unwrap_or(times.answered);
    if answer.contains_key(EXPIRES) {
        // What is no date has passed (RFC 9111 section 5.3).
        return date_of(answer, &EXPIRES).map_or(Duration::ZERO, |expires| expires.since(dated));
    }
    if !(control.public || may_be_guessed(status)) {
        return Duration::ZERO;
    }
    let unchanged = date_of(answer, &LAST_MODIFIED).map_or(Duration::ZERO, |changed| dated.since(changed));
    (unchanged / 10).min(LONGEST_GUESS)
}

/// RFC 9110 section 15.1, of the statuses that come into question.
const fn may_be_guessed(status: StatusCode) -> bool {
    matches!(status, StatusCode::OK | StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT)
}

/// RFC 9111 section 4.2.3.
fn initial_age(answer: &HeaderMap, times: Times) -> Duration {
    let apparent = date_of(answer, &DATE).map_or(Duration::ZERO, |dated| times.answered.since(dated));
    let said = answer.get(AGE).and_then(|value| value.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
    let delay = times.answered.since(times.asked);
    apparent.max(Duration::from_secs(said).saturating_add(delay))
}

#[cfg(test)]
mod tests {
    use http::header::CACHE_CONTROL;
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: u64 = 784_111_777;
    const DATED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const OK: StatusCode = StatusCode::OK;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(NOW + seconds)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn of(status: StatusCode, fields: &[(HeaderName, &'static str)]) -> Option<Policy> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        Policy::of(status, &headers, Times { asked: at(0), answered: at(0) })
    }

    fn policy(fields: &[(HeaderName, &'static str)]) -> Policy {
        of(OK, fields).expect("storable")
    }

    /// How many seconds it is fresh.
    fn fresh_for(fields: &[(HeaderName, &'static str)]) -> u64 {
        policy(fields).left(at(0)).as_secs()
    }

    #[test]
    fn what_forbids_it_is_not_stored() {
        for text in ["no-store", "private", "private=\"x\"", "max-age=60, no-store"] {
            assert_eq!(of(OK, &[(CACHE_CONTROL, text)]), None, "{text}");
        }
    }

    #[test]
    fn the_most_precise_span_decides() {
        let expires = (EXPIRES, "Sun, 06 Nov 1994 08:59:37 GMT");
        assert_eq!(fresh_for(&[(CACHE_CONTROL, "max-age=60, s-maxage=30"), expires.clone()]), 30);
        assert_eq!(fresh_for(&[(CACHE_CONTROL, "max-age=60"), expires.clone()]), 60);
        assert_eq!(fresh_for(&[(DATE, DATED), expires.clone()]), 600);
        assert_eq!(fresh_for(&[expires]), 600, "without a date, from when it came");
        for bad in ["0", "-1", "soon"] {
            assert_eq!(
                fresh_for(&[(DATE, DATED), (EXPIRES, bad), (LAST_MODIFIED, "Sun, 06 Nov 1994 07:49:37 GMT")]),
                0
            );
        }
    }

    #[test]
    fn without_one_a_tenth_of_its_rest_is_guessed_up_to_an_hour() {
        let hour_ago = (LAST_MODIFIED, "Sun, 06 Nov 1994 07:49:37 GMT");
        assert_eq!(fresh_for(&[(DATE, DATED), hour_ago.clone()]), 360);
        assert_eq!(fresh_for(&[(DATE, DATED), (LAST_MODIFIED, "Sun, 06 Nov 1983 07:49:37 GMT")]), 3_600);
        assert_eq!(fresh_for(&[(DATE, DATED)]), 0);
        let found = StatusCode::FOUND;
        assert_eq!(of(found, std::slice::from_ref(&hour_ago)).expect("storable").lifetime(), secs(0));
        let public = of(found, &[(CACHE_CONTROL, "public"), hour_ago]).expect("storable");
        assert_eq!(public.lifetime(), secs(360));
    }

    #[test]
    fn it_ages_from_its_date_or_from_what_it_says() {
        let fields = [(CACHE_CONTROL, "max-age=60"), (AGE, "20"), (DATE, DATED)];
        let policy = policy(&fields);
        assert_eq!((policy.age(at(5)), policy.left(at(5))), (secs(25), secs(35)));
        assert!(policy.is_fresh(at(39)) && !policy.is_fresh(at(40)));
        let mut headers = HeaderMap::new();
        headers.insert(AGE, HeaderValue::from_static("20"));
        let slow = Policy::of(OK, &headers, Times { asked: at(0), answered: at(4) }).expect("storable");
        assert_eq!(slow.age(at(4)), secs(24), "the time on the way counts");
        headers.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:48:37 GMT"));
        let old = Policy::of(OK, &headers, Times { asked: at(0), answered: at(0) }).expect("storable");
        assert_eq!(old.age(at(0)), secs(60), "its date is older than it says");
    }

    #[test]
    fn stale_it_may_stand_in_for_an_error_as_long_as_either_says() {
        let said = policy(&[(CACHE_CONTROL, "max-age=10, stale-if-error=100")]);
        assert!(said.may_replace_error(at(109), secs(0)) && !said.may_replace_error(at(110), secs(0)));
        assert!(said.may_replace_error(at(1_009), secs(1_000)) && !said.may_replace_error(at(1_010), secs(1_000)));
        for strict in ["no-cache", "max-age=10, must-revalidate", "max-age=10, proxy-revalidate", "s-maxage=10"] {
            let strict = policy(&[(CACHE_CONTROL, strict)]);
            assert!(!strict.may_replace_error(at(10), secs(1_000)), "{strict:?}");
        }
    }

    #[test]
    fn stale_it_may_be_used_while_it_is_asked_for_as_long_as_it_says() {
        let said = policy(&[(CACHE_CONTROL, "max-age=10, stale-while-revalidate=5")]);
        assert!(said.may_be_used_while_asked(at(14)) && !said.may_be_used_while_asked(at(15)));
        assert!(!policy(&[(CACHE_CONTROL, "max-age=10")]).may_be_used_while_asked(at(10)));
        let strict = policy(&[(CACHE_CONTROL, "max-age=10, must-revalidate, stale-while-revalidate=5")]);
        assert!(!strict.may_be_used_while_asked(at(10)));
    }

    #[test]
    fn what_a_redirect_led_to_lives_no_longer_than_the_redirect() {
        let year = policy(&[(CACHE_CONTROL, "max-age=31536000, stale-if-error=60"), (AGE, "7")]);
        let minute = of(StatusCode::FOUND, &[(CACHE_CONTROL, "max-age=60"), (AGE, "10")]).expect("storable");
        let both = year.within(minute);
        assert!(both.is_fresh(at(49)) && !both.is_fresh(at(50)));
        assert!(!both.may_replace_error(at(50), secs(0)));
        let unsaid = of(StatusCode::FOUND, &[]).expect("storable");
        assert_eq!(year.within(unsaid).left(at(0)), secs(0));
        assert_eq!(minute.within(year).left(at(0)), secs(50), "nor longer than it would itself");
    }
}
