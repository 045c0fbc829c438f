//! Marks: a name for each end user, that stands in everything that is about them, and is found wherever it should not.

/// What all marks begin with.
const BEGIN: &str = "mk-";
/// Hexadecimal digits of a mark.
const DIGITS: usize = 16;

/// The mark of a number.
pub fn mark(number: u64) -> String {
    format!("{BEGIN}{number:0DIGITS$x}")
}

/// The secret of whom a mark names. Only the upstream may see it.
pub fn secret(mark: &str) -> String {
    format!("s3cr3t-of-{}", &mark[BEGIN.len()..])
}

/// Whether a text holds anybody's secret.
pub fn has_secret(text: &str) -> bool {
    text.contains("s3cr3t-of-")
}

/// All marks in a text, in order.
pub fn marks(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(BEGIN).filter_map(move |(at, _)| {
        let mark = text.get(at..at + BEGIN.len() + DIGITS)?;
        mark[BEGIN.len()..].bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(mark)
    })
}

#[test]
fn a_mark_is_found_wherever_it_stands() {
    let (ada, bob) = (mark(1), mark(u64::MAX));
    let text = format!("{{\"a\":\"{ada}\",\"mk-none\":[\"x{bob}mk-\"]}}mk-12");
    assert_eq!(marks(&text).collect::<Vec<_>>(), [&ada, &bob]);
    assert!(has_secret(&secret(&ada)) && !has_secret(&text));
}
