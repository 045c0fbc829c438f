//! The chunked coding (RFC 9112 section 7.1), read as it arrives.

use bytes::{BufMut as _, BytesMut};

use super::Malformed;

/// Bytes of chunk extensions and trailers that one body may have; we have a use for neither.
const MAX_OVERHEAD: usize = 16 * 1024;

/// Hexadecimal digits of a chunk's size that fit into 64 bits.
const MAX_DIGITS: u8 = 16;

/// Where in a chunked body the next byte is.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    state: State,
    left: u64,
    digits: u8,
    overhead: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Padding,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastLf,
    Done,
}

impl Chunked {
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads `input` and puts the data in it into `data`. Returns how many bytes belong to this
    /// body: all, unless it ends within them.
    ///
    /// # Errors
    /// [`Malformed`], also for lines that end with a bare LF: whoever else reads the bytes may see
    /// other boundaries there.
    pub(super) fn decode(&mut self, input: &[u8], data: &mut BytesMut) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < input.len() && !self.is_done() {
            if self.state == State::Data {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                data.put_slice(&input[at..at + here]);
                at += here;
                self.left -= here as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.next(input[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// The state after a byte that is no data.
    fn next(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeEnd,
            (State::Size, b' ' | b'\t') if self.digits > 0 => State::Padding,
            (State::Size | State::Padding, b';') if self.digits > 0 => State::Extension,
            (State::Size, digit) => self.digit(digit)?,
            (State::Padding | State::Extension, b'\r') => State::SizeEnd,
            (State::Padding, b' ' | b'\t') => self.overhead(byte, State::Padding)?,
            (State::Extension, byte) => self.overhead(byte, State::Extension)?,
            (State::SizeEnd, b'\n') => self.data_or_trailers(),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart | State::TrailerName, byte) if is_token(byte) => {
                self.overhead(byte, State::TrailerName)?
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerEnd,
            (State::TrailerValue, byte) => self.overhead(byte, State::TrailerValue)?,
            (State::TrailerEnd, b'\n') => State::TrailerStart,
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(Malformed),
        })
    }

    fn digit(&mut self, byte: u8) -> Result<State, Malformed> {
        let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
        self.digits += 1;
        if self.digits > MAX_DIGITS {
            return Err(Malformed);
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    const fn data_or_trailers(&mut self) -> State {
        self.digits = 0;
        if self.left == 0 { State::TrailerStart } else { State::Data }
    }

    const fn overhead(&mut self, byte: u8, state: State) -> Result<State, Malformed> {
        self.overhead += 1;
        let control = byte.is_ascii_control() && byte != b'\t';
        if control || self.overhead > MAX_OVERHEAD { Err(Malformed) } else { Ok(state) }
    }
}

/// Whether a field's name may have it (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data and what is left over, with the input cut after every `step` bytes.
    fn decoded(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let (mut chunked, mut data, mut used) = (Chunked::default(), BytesMut::new(), 0);
        for piece in input.chunks(step) {
            used += chunked.decode(piece, &mut data)?;
        }
        Ok((data.to_vec(), input.len() - used, chunked.is_done()))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_read_however_they_are_cut() {
        let body = b"5;a=\"b\"\r\nhello\r\n00006 \r\n world\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\nrest";
        for step in 1..=body.len() {
            assert_eq!(decoded(body, step), Ok((b"hello world".to_vec(), 4, true)), "cut after {step}");
        }
    }

    #[test]
    fn a_body_is_not_done_before_its_last_line() {
        for body in ["", "5", "5\r\nhel", "5\r\nhello\r\n", "0\r\n", "0\r\nX: 1\r\n", "0\r\n\r"] {
            assert!(matches!(decoded(body.as_bytes(), 1), Ok((_, 0, false))), "{body:?}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let long_extension = format!("1;{}\r\n", "x".repeat(MAX_OVERHEAD + 1));
        let long_trailers = format!("0\r\n{}", "X: 1\r\n".repeat(MAX_OVERHEAD / 2));
        for body in [
            "\r\n",
            ";a\r\n",
            " 1\r\nx\r\n",
            "1 1\r\nx\r\n",
            "1\t;\n",
            "x\r\n",
            "-1\r\n",
            "0x1\r\nx\r\n",
            "1\nx\n0\n\n",
            "1\r\rx",
            "1\r\nxy\r\n",
            "1\r\nx\n\n",
            "1;a\nb\r\nx\r\n",
            "0\r\n\n",
            "0\r\nX: 1\n\r\n",
            "0\r\nX\r\n\r\n",
            "0\r\nX : 1\r\n\r\n",
            "0\r\n X: 1\r\n\r\n",
            "0\r\n: 1\r\n\r\n",
            "0\r\nX: \0\r\n\r\n",
            "0\r\nGET / HTTP/1.1\r\nHost: gate\r\n\r\n",
            "00000000000000001\r\nx\r\n",
            &long_extension,
            &long_trailers,
        ] {
            assert_eq!(decoded(body.as_bytes(), 7), Err(Malformed), "{body:.40?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_chunked_comes_out(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8), step in 1_usize..50) {
            let mut body = Vec::new();
            for piece in &pieces {
                body.extend(format!("{:x}\r\n", piece.len()).bytes().chain(piece.iter().copied()).chain(*b"\r\n"));
            }
            body.extend(b"0\r\n\r\n");
            prop_assert_eq!(decoded(&body, step), Ok((pieces.concat(), 0, true)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(input in prop::collection::vec(any::<u8>(), 0..200), step in 1_usize..50) {
            let _ = decoded(&input, step);
        }
    }
}
