//! Event streams and lists that are read as they pass. Events are those that a reader of lines finds, wherever the stream
//! is cut; a list has one's own items alone, byte for byte.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::stream(data));
