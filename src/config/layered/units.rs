//! Durations and sizes as people write them: a whole number and one unit, `"30s"`, `"64KiB"`.

use std::time::Duration;

/// The longest duration, a hundred years of 365 days. Keeps a deadline computed from it within what
/// `Instant` and `SystemTime` can hold, so that adding one never overflows.
pub const MAX_DURATION: Duration = Duration::from_hours(36_500 * 24);

/// What a duration must look like, as an error message.
pub(super) const DURATION_FORM: &str =
    "must be a duration such as \"30s\" (units ms, s, m, h, d), above zero and at most 36500d";

/// What a size must look like, as an error message.
pub(super) const BYTES_FORM: &str =
    "must be a size such as \"64KiB\" (units B, KiB, MiB, GiB; none means bytes) that this machine can address";

/// Parses digits followed by `ms`, `s`, `m`, `h` or `d` (24 hours). `None` for any other form, for
/// zero and for more than [`MAX_DURATION`].
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let millis_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 60 * 60 * 1_000,
        "d" => 24 * 60 * 60 * 1_000,
        _ => return None,
    };
    let duration = Duration::from_millis(number.checked_mul(millis_per_unit)?);
    (!duration.is_zero() && duration <= MAX_DURATION).then_some(duration)
}

/// Parses digits followed by nothing, `B`, `KiB`, `MiB` or `GiB` (powers of 1024). `None` for any
/// other form and for what does not fit `usize`.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = number_and_unit(text)?;
    let bytes_per_unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(bytes_per_unit)?).ok()
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    digits.parse().ok().map(|number| (number, unit))
}

#[cfg(test)]
mod tests {
    use super::{MAX_DURATION, parse_bytes, parse_duration};
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn durations() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000), ("007s", 7_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("36500d"), Some(MAX_DURATION));
        for text in
            ["", "s", "5", "0s", "-1s", "+1s", "1.5s", "1 s", " 1s", "1s ", "1S", "1h30m", "1us", "36501d", "1٣s"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(parse_duration("18446744073709551615d"), None, "product overflows");
        assert_eq!(parse_duration("18446744073709551616ms"), None, "number overflows");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("512B", 512), ("64KiB", 65_536), ("1MiB", 1 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in
            ["", "KiB", "1KB", "1kib", "1K", "-1", "1.5MiB", "1 KiB", "18446744073709551615KiB", "99999999999999999999"]
        {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_of_each_unit_are_exact(number in 1_u64..36_500) {
            for (unit, millis) in [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)] {
                let expected = Duration::from_millis(number * millis);
                prop_assert_eq!(parse_duration(&format!("{number}{unit}")), Some(expected));
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".*") {
            let duration = parse_duration(&text);
            prop_assert!(duration.is_none_or(|d| !d.is_zero() && d <= MAX_DURATION));
            let _ = parse_bytes(&text);
        }
    }
}
