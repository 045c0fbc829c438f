//! Event streams (HTML standard, section 9.2.6), as far as the gate reads them.

/// The first whole event and what comes behind it.
#[must_use]
pub fn split_event(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let ends = [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"];
    let place = |end: &[u8]| stream.windows(end.len()).position(|window| window == end);
    let found = ends.iter().filter_map(|end| Some((place(end)?, end.len())));
    let (at, length) = found.min()?;
    Some((&stream[..at], &stream[at + length..]))
}

/// The data of an event: of all its `data` fields, with a line end between.
#[must_use]
pub fn data(event: &[u8]) -> Vec<u8> {
    let data = event.split(|byte| matches!(byte, b'\n' | b'\r')).filter_map(|line| line.strip_prefix(b"data:"));
    data.collect::<Vec<_>>().join(&b'\n')
}
