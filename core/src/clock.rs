//! Points in time, as arguments: core never reads a clock.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
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

    /// Reads RFC 3339, with any offset; what lies within a millisecond is cut off. `None` for anything
    /// else, and for moments before 1970.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// RFC 3339 in UTC with milliseconds and `Z`, for example `2026-01-31T12:00:00.000Z`.
    /// Moments after the year 9999 have no such form and give `None`.
    #[must_use]
    pub fn rfc3339_millis(self) -> Option<String> {
        let seconds = i64::try_from(self.seconds()).ok()?;
        let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (place, number) in [
            (0..4, u32::try_from(at.year()).ok()?),
            (5..7, u8::from(at.month()).into()),
            (8..10, at.day().into()),
            (11..13, at.hour().into()),
            (14..16, at.minute().into()),
            (17..19, at.second().into()),
            (20..23, u32::try_from(self.0 % 1000).ok()?),
        ] {
            put_digits(text.get_mut(place)?, number);
        }
        String::from_utf8(text.to_vec()).ok()
    }
}

/// Fills `place` with the last digits of `number`.
fn put_digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
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
    fn reads_what_it_prints_and_other_offsets() {
        let at = Timestamp::from_millis(1_709_208_000_007);
        for text in ["2024-02-29T12:00:00.007Z", "2024-02-29T12:00:00.007999Z", "2024-02-29T13:30:00.007+01:30"] {
            assert_eq!(Timestamp::from_rfc3339(text), Some(at), "{text}");
        }
        for text in ["", "2024-02-29", "2024-02-29T12:00:00", "2023-02-29T12:00:00Z", "1969-12-31T23:59:59Z"] {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_far_future_has_no_rfc3339_form() {
        let last = Timestamp::from_millis(253_402_300_799_999);
        assert_eq!(last.rfc3339_millis().as_deref(), Some("9999-12-31T23:59:59.999Z"));
        assert_eq!(last.plus(Duration::from_millis(1)).rfc3339_millis(), None);
        assert_eq!(Timestamp::from_millis(u64::MAX).rfc3339_millis(), None);
    }
}
