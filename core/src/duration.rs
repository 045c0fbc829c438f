//! Token lifetimes as the vendors write them: `300s`, `30m`, `1h`, `7d`.

use std::time::Duration;

/// Why a text is not a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLifetime;

impl std::fmt::Display for InvalidLifetime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("must be an integer above zero and one of s, m, h, d")
    }
}

impl std::error::Error for InvalidLifetime {}

/// Reads an integer above zero followed by one of `s m h d` (Sigmic's "Expiration Format").
///
/// # Errors
/// [`InvalidLifetime`] for anything else: signs, spaces, fractions, zero, overflow, other units.
pub fn parse_lifetime(text: &str) -> Result<Duration, InvalidLifetime> {
    let seconds_per_unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => return Err(InvalidLifetime),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidLifetime);
    }
    let count: u64 = digits.parse().map_err(|_| InvalidLifetime)?;
    let seconds = count.checked_mul(seconds_per_unit).ok_or(InvalidLifetime)?;
    if seconds == 0 { Err(InvalidLifetime) } else { Ok(Duration::from_secs(seconds)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_documented_examples() {
        for (text, seconds) in [("300s", 300), ("30m", 1_800), ("1h", 3_600), ("7d", 604_800)] {
            assert_eq!(parse_lifetime(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for bad in [
            "",
            "s",
            "0s",
            "00h",
            "-1h",
            "+1h",
            "1.5h",
            "1 h",
            " 1h",
            "1h ",
            "1H",
            "1w",
            "3600",
            "1hh",
            "h1",
            "1é",
            "18446744073709551616s",
            "18446744073709551615d",
            "٣s",
        ] {
            assert_eq!(parse_lifetime(bad), Err(InvalidLifetime), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in ".{0,24}") {
            let _ = parse_lifetime(&text);
        }

        #[test]
        fn every_positive_count_is_exact(count in 1_u64..1_000_000_000, unit in 0_usize..4) {
            let (letter, factor) = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)][unit];
            prop_assert_eq!(
                parse_lifetime(&format!("{count}{letter}")),
                Ok(Duration::from_secs(count * factor))
            );
        }
    }
}
