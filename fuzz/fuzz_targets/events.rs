//! Event streams of Chat9. Whether one says that the chat has ended does not depend on how it is cut into pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::events(data));
