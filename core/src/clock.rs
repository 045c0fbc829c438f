//! Points in time, as arguments: core never reads a clock.

use std::time::Duration;

use time::OffsetDateTime;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the Unix epoch (a JWT's `NumericDate`, RFC 7519 section 2).
    /// A value too large for milliseconds saturates: it is in a future that never comes.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This moment and `span` after it; saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long from `earlier` until this moment; zero if it lies before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with milliseconds and `Z`, for example `2026-01-31T12:00:00.000Z`.
    /// Moments after the year 9999 have no such form and give `None`.
    #[must_use]
    pub fn rfc3339_millis(self) -> Option<String> {
        let nanos = i128::from(self.0) * 1_000_000;
        let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
        Some(format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        ))
    }
}

/// Where a program reads the time. The real one lives in the program, never here.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_the_vendor_prints_it() {
        let at = Timestamp::from_seconds(1_769_860_800);
        assert_eq!(at.rfc3339_millis().as_deref(), Some("2026-01-31T12:00:00.000Z"));
        let leap = Timestamp::from_millis(1_709_208_000_007);
        assert_eq!(leap.rfc3339_millis().as_deref(), Some("2024-02-29T12:00:00.007Z"));
    }

    #[test]
    fn a_far_future_has_no_rfc3339_form() {
        assert_eq!(Timestamp::from_millis(u64::MAX).rfc3339_millis(), None);
    }
}
