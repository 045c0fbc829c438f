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

/// Where the events of a stream end, as its bytes pass: between two of them, and nowhere else, an event or a comment of the
/// gate's own may stand. A browser drops an event that the stream's end cuts off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundaries {
    /// Whether no event has begun since the last blank line.
    between: bool,
    /// Whether the last byte ended a line.
    line_ended: bool,
    /// Whether that was a CR: an LF that follows belongs to it.
    cr: bool,
}

impl Default for Boundaries {
    fn default() -> Self {
        Self { between: true, line_ended: true, cr: false }
    }
}

impl Boundaries {
    /// Bytes from which on it does not matter what was before them: `\r\n` ends an event or does not by what precedes it.
    const TELLING: usize = 3;

    /// Looks at bytes that pass: at the last three of them.
    pub fn pass(&mut self, bytes: &[u8]) {
        for byte in &bytes[bytes.len().saturating_sub(Self::TELLING)..] {
            self.step(*byte);
        }
    }

    /// How many of these bytes still belong to the event that has begun, its end included: none if none has begun; `None`
    /// if it does not end in them. In both cases they have passed, and in the last one all of them.
    pub fn finish(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            // An LF behind the CR that ended the event is the rest of that line's end.
            if self.between && !(self.cr && *byte == b'\n') {
                return Some(at);
            }
            self.step(*byte);
        }
        self.between.then_some(bytes.len())
    }

    /// Whether no event has begun. Behind a CR an LF may still come, which is harmless: it would be a blank line.
    #[must_use]
    pub const fn is_between(&self) -> bool {
        self.between
    }

    const fn step(&mut self, byte: u8) {
        match byte {
            b'\n' if self.cr => self.cr = false,
            b'\n' | b'\r' => {
                self.between = self.line_ended;
                self.line_ended = true;
                self.cr = byte == b'\r';
            }
            _ => *self = Self { between: false, line_ended: false, cr: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Slowly: whether the text ends with a blank line, or is empty.
    fn ends_between(stream: &str) -> bool {
        let lines = stream.replace("\r\n", "\n").replace('\r', "\n");
        lines.is_empty() || lines == "\n" || lines.ends_with("\n\n")
    }

    proptest! {
        #[test]
        fn boundaries_are_found_however_a_stream_is_cut(stream in "[a\r\n]{0,12}", cut in 1..6usize) {
            let mut passing = Boundaries::default();
            let mut passed = String::new();
            for piece in stream.as_bytes().chunks(cut) {
                passing.pass(piece);
                passed.push_str(std::str::from_utf8(piece).expect("ASCII"));
                prop_assert_eq!(passing.is_between(), ends_between(&passed), "{:?}", passed);
            }
        }

        #[test]
        fn an_event_that_has_begun_is_finished(begun in "[a\r\n]{0,6}", rest in "[a\r\n]{0,8}") {
            let until = |end: usize| [begun.as_str(), &rest[..end]].concat();
            let mut passing = Boundaries::default();
            passing.pass(begun.as_bytes());
            let Some(end) = passing.finish(rest.as_bytes()) else {
                prop_assert!((0..=rest.len()).all(|end| !ends_between(&until(end))));
                return Ok(());
            };
            prop_assert!(ends_between(&until(end)) && passing.is_between());
            // Not later than need be; an LF behind a CR is the rest of one line's end.
            let soonest = (0..=end).find(|end| ends_between(&until(*end)));
            let is_rest = until(end).ends_with("\r\n") && soonest == end.checked_sub(1);
            prop_assert!(soonest == Some(end) || is_rest, "{:?} {:?}", soonest, end);
        }
    }

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
