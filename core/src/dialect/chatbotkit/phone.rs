//! Telephone numbers in one form (ITU-T E.164): `+`, a country's code, a number, 15 digits at most.
//!
//! Whether a number is in use in its country is not known here: that takes a list of the world's numbering plans, which
//! is old the month after.

/// The shortest number behind a `+` that is taken, in digits.
const SHORTEST: usize = 7;

/// The longest there may be.
const LONGEST: usize = 15;

/// The longest text that is looked at, in bytes.
const MAX_TEXT: usize = 64;

/// A number as people write it, in the form that machines dial. Without a country's code it is one of North America.
pub(super) fn e164(text: &str) -> Option<String> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let text = text.trim();
    let (international, rest) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
    // As people write a number for those at home and abroad, the zero is for those at home.
    let digits = digits(&if international { rest.replacen("(0)", "", 1) } else { rest.to_owned() })?;
    let digits = match digits.strip_prefix("011") {
        _ if international => abroad(&digits)?,
        Some(rest) => abroad(rest)?,
        None => north_american(&digits)?,
    };
    Some(format!("+{digits}"))
}

/// The digits, if nothing but what people group them with stands between.
fn digits(text: &str) -> Option<String> {
    let is_between = |letter: char| matches!(letter, ' ' | '\u{a0}' | '-' | '.' | '(' | ')' | '/');
    let digits: String = text.chars().filter(|letter| !is_between(*letter)).collect();
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

fn abroad(digits: &str) -> Option<String> {
    match digits.strip_prefix('1') {
        Some(_) => north_american(digits),
        // No country's code begins with a zero.
        None => ((SHORTEST..=LONGEST).contains(&digits.len()) && !digits.starts_with('0')).then(|| digits.to_owned()),
    }
}

/// Ten digits, with or without the 1 before them; neither the area's nor the exchange's begins with 0 or 1.
fn north_american(digits: &str) -> Option<String> {
    let national = if digits.len() == 11 { digits.strip_prefix('1')? } else { digits };
    let starts = [national.as_bytes().first()?, national.as_bytes().get(3)?];
    let is_one = national.len() == 10 && starts.iter().all(|digit| (b'2'..=b'9').contains(digit));
    is_one.then(|| format!("1{national}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_have_one_form() {
        for (written, dialled) in [
            ("(415) 555-2671", "+14155552671"),
            ("415.555.2671", "+14155552671"),
            ("1 415 555 2671", "+14155552671"),
            ("+1 415-555-2671", "+14155552671"),
            ("+442083661177", "+442083661177"),
            ("+44 (0)20 8366 1177", "+442083661177"),
            ("011 44 20 8366 1177", "+442083661177"),
            (" +371\u{a0}6700 0000 ", "+37167000000"),
            ("+290 2344", "+2902344"),
        ] {
            assert_eq!(e164(written).as_deref(), Some(dialled), "{written}");
        }
    }

    #[test]
    fn what_cannot_be_dialled_is_none() {
        for bad in [
            "",
            "+",
            "abc",
            "555-2671",
            "+1 415 555",
            "+14155552671x5",
            "++14155552671",
            "+0123456789",
            "+1234567890123456",
            "123-456-7890",
            "415-155-2671",
            "+1 (0)115 555 2671",
            "４１５５５５２６７１",
            "+12345",
            "+44;ext=1",
            "1-800-FLOWERS",
            "tel:+14155552671",
        ] {
            assert_eq!(e164(bad), None, "{bad}");
        }
        assert_eq!(e164(&format!("+44{}2083661177", " ".repeat(80))), None);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_a_plus_and_digits(text in r"[+0-9() .x;-]{0,24}") {
            if let Some(number) = e164(&text) {
                prop_assert!(number.starts_with('+') && (8..=16).contains(&number.len()));
                prop_assert!(number[1..].bytes().all(|byte| byte.is_ascii_digit()));
                prop_assert_eq!(e164(&number), Some(number));
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,70}") {
            let _ = e164(&text);
        }
    }
}
