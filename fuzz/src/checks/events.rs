//! Event streams of Chat9.

use sidegate_core::dialect::chat9::Ended;

/// As much of a stream as is read: it is read again for each of its bytes.
const MOST: usize = 512;

/// See `fuzz_targets/events.rs`.
pub fn events(data: &[u8]) {
    let stream = &data[..data.len().min(MOST)];
    let whole = says_ended([stream]);
    for size in [1, 2, 3, 5, 7, 16, 61] {
        assert_eq!(says_ended(stream.chunks(size)), whole, "in pieces of {size}");
    }
    for at in 0..stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(says_ended([head, tail]), whole, "cut at {at}");
    }
}

fn says_ended<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut ended = Ended::default();
    pieces.into_iter().fold(false, |found, piece| ended.reads(piece) | found)
}
