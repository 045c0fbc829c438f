//! Sigmic's exchange, and what is kept of it. What is asked for is what stands there, within its limits; what is sealed opens
//! for its token alone.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::exchange(data));
