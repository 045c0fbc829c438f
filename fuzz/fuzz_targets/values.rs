//! Lifetimes, rates, ids, digests, scopes and times. Each is read as arithmetic, the standard library or another rule
//! reads it, and written it is read again as the same. An id that may stand in a path is one segment of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::values(data));
