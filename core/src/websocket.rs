//! Frames of WebSockets (RFC 6455 section 5.2), as far as the gate reads them: where each ends, and whether one said
//! goodbye. Payloads are not looked at, and nothing is kept but the head of a frame that has not come whole.

/// The longest head: two bytes, eight of length, four of a mask.
const LONGEST_HEAD: usize = 14;

/// The payload of a control frame (section 5.5).
const MAX_CONTROL: usize = 125;

/// The opcode of a Close frame, with FIN.
const CLOSE: u8 = 0x88;

/// The frames that pass in one direction.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    head: [u8; LONGEST_HEAD],
    /// Bytes of the head that have come.
    has: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
    /// Whether a Close frame has begun: nothing may be said behind it.
    closed: bool,
    /// Whether it is no WebSocket that passes here.
    lost: bool,
}

impl Frames {
    /// Looks at bytes that pass.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            bytes = &bytes[self.step(bytes)..];
        }
    }

    /// How many of these bytes still belong to the frame that has begun: none if none has. All of them, if it does not end
    /// in them. They have then passed.
    pub fn finish(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.lost && !self.is_between() {
            at += self.step(&bytes[at..]);
        }
        if self.lost { bytes.len() } else { at }
    }

    /// Whether the last frame has ended, and no Close frame has passed: a frame of the gate's own may stand here, also
    /// between the fragments of a message (section 5.4).
    #[must_use]
    pub const fn may_close(&self) -> bool {
        !self.closed && !self.lost && self.is_between()
    }

    /// Whether there will be no place for a frame of the gate's own any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.closed || self.lost
    }

    const fn is_between(&self) -> bool {
        self.has == 0 && self.left == 0
    }

    /// Takes as many bytes as belong to one part of a frame; at least one.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= taken as u64;
            return taken;
        }
        self.head[self.has] = bytes[0];
        self.has += 1;
        if self.has >= 2 && self.has == self.head_length() {
            self.begin_payload();
        }
        1
    }

    fn head_length(&self) -> usize {
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.head[1] & 0x80 == 0 { 0 } else { 4 }
    }

    fn begin_payload(&mut self) {
        let long = |bytes: &[u8]| bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        self.left = match self.head[1] & 0x7f {
            126 => long(&self.head[2..4]),
            127 => long(&self.head[2..10]),
            length => u64::from(length),
        };
        // The highest bit of a length is zero.
        self.lost = self.left >> 63 != 0;
        self.closed |= self.head[0] & 0x0f == CLOSE & 0x0f;
        self.has = 0;
    }
}

/// A Close frame with a code and a reason (section 5.5.1), masked as clients must (section 5.3) if `mask` is given. A reason
/// that is too long is cut between characters.
#[must_use]
pub fn close_frame(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    let payload = code.to_be_bytes().into_iter().chain(reason.bytes());
    let length = u8::try_from(2 + reason.len()).unwrap_or_default();
    let mut frame = vec![CLOSE, length | if mask.is_some() { 0x80 } else { 0 }];
    frame.extend(mask.into_iter().flatten());
    let mask = mask.unwrap_or_default();
    frame.extend(payload.zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let bit = if masked { 0x80 } else { 0 };
        let mut frame = vec![opcode];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..=125), _) => frame.push(bit | short),
            (_, Ok(medium)) => {
                frame.push(bit | 126);
                frame.extend(medium.to_be_bytes());
            }
            _ => {
                frame.push(bit | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0xff; 4].iter().filter(|_| masked));
        frame.extend(std::iter::repeat_n(0x88, length));
        frame
    }

    proptest! {
        #[test]
        fn frames_end_where_they_end_however_they_are_cut(
            frames in proptest::collection::vec((prop_oneof![Just(0x01u8), Just(0x82), Just(0x80)], prop_oneof![0..130usize, 65_500..65_600usize], any::<bool>()), 1..4),
            cut in 1..4_000usize,
        ) {
            let whole: Vec<Vec<u8>> = frames.into_iter().map(|(opcode, length, masked)| frame(opcode, length, masked)).collect();
            let bytes = whole.concat();
            let mut passing = Frames::default();
            bytes.chunks(cut).for_each(|piece| passing.pass(piece));
            prop_assert!(passing.may_close());
            // The first is finished at its end, wherever it was begun.
            let begun = cut.min(whole[0].len() - 1);
            let mut passing = Frames::default();
            passing.pass(&bytes[..begun]);
            prop_assert_eq!(passing.may_close(), begun == 0);
            prop_assert_eq!(passing.finish(&bytes[begun..]), if begun == 0 { 0 } else { whole[0].len() - begun });
            prop_assert!(passing.may_close());
        }
    }

    #[test]
    fn behind_a_goodbye_nothing_is_said() {
        for mask in [None, Some([1, 2, 3, 4])] {
            let mut frames = Frames::default();
            frames.pass(&close_frame(4001, "TOKEN_EXPIRED", mask));
            assert!(frames.is_over() && !frames.may_close());
        }
    }

    #[test]
    fn what_is_no_frame_ends_the_reading() {
        let mut frames = Frames::default();
        frames.pass(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
        assert!(frames.is_over());
        assert_eq!(frames.finish(b"more"), 4);
    }

    #[test]
    fn a_close_frame_is_as_the_rfc_has_it() {
        assert_eq!(close_frame(1001, "", None), [0x88, 2, 0x03, 0xe9]);
        assert_eq!(close_frame(1000, "ok", Some([1, 2, 3, 4])), [0x88, 0x84, 1, 2, 3, 4, 2, 0xea, b'o' ^ 3, b'k' ^ 4]);
        let long = close_frame(4001, &"ä".repeat(100), None);
        assert_eq!((long.len(), long[1]), (2 + 2 + 122, 124));
    }
}
