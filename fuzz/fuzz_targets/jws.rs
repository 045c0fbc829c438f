//! Compact signed tokens. Whatever arrives, reading it does not panic, and nothing verifies but what one of the keys
//! signed, byte for byte, under the algorithm of that key. A header chooses nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::jws(data));
