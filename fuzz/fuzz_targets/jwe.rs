//! Compact sealed tokens. Whatever arrives, reading it does not panic, and nothing opens but what was sealed, byte for
//! byte, under a header that says what is pinned and nothing that could change how it is read.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::jwe(data));
