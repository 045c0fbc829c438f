//! Event streams (HTML standard, section 9.2.6), as far as the gate reads them.

/// Bytes of the longest blank line with the line end before it.
pub const LONGEST_END: usize = 4;

/// The first whole event and what comes behind it.
#[must_use]
pub fn split_event(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let (end, next) = end_of_event(stream, 0)?;
    Some((&stream[..end], &stream[next..]))
}

/// Where the first event ends whose end begins at `from` or behind it, and where the next one begins. Line ends of all
/// three kinds may be mixed. What was looked through without success, but for its last three bytes, need not be again.
#[must_use]
pub fn end_of_event(stream: &[u8], from: usize) -> Option<(usize, usize)> {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let mut at = from;
    loop {
        let end = at + stream.get(at..)?.iter().position(is_end)?;
        let next = behind_line_end(stream, end);
        if is_end(stream.get(next)?) {
            return Some((end, behind_line_end(stream, next)));
        }
        at = next;
    }
}

fn behind_line_end(stream: &[u8], at: usize) -> usize {
    at + if stream[at..].starts_with(b"\r\n") { 2 } else { 1 }
}

/// The data of an event: of all its `data` fields, with a line end between. The mark before a stream's first field is
/// no part of it.
#[must_use]
pub fn data(event: &[u8]) -> Vec<u8> {
    let lines = event.split(|byte| matches!(byte, b'\n' | b'\r'));
    let field = |line: &'_ [u8]| {
        line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).strip_prefix(b"data:").map(<[u8]>::to_vec)
    };
    lines.filter_map(field).collect::<Vec<_>>().join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_with_a_blank_line_of_any_kind() {
        for end in ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\r\n\n", "\n\r", "\r\n\r"] {
            let stream = format!("data: 1{end}data: 2{end}");
            let (event, rest) = split_event(stream.as_bytes()).expect("an event");
            assert_eq!((event, rest), (&b"data: 1"[..], format!("data: 2{end}").as_bytes()), "{end:?}");
        }
        for none in ["", "data: 1", "data: 1\n", "data: 1\r\n", "a\nb\r\nc\rd"] {
            assert_eq!(split_event(none.as_bytes()), None, "{none:?}");
        }
    }

    #[test]
    fn data_is_of_all_fields_of_that_name() {
        for (event, expected) in [
            ("data: 1", " 1"),
            ("event: x\ndata:1\r\ndata:2\rid: 3", "1\n2"),
            ("\u{feff}data:1", "1"),
            (": data:1", ""),
            ("datax:1", ""),
        ] {
            assert_eq!(data(event.as_bytes()), expected.as_bytes(), "{event:?}");
        }
    }
}
