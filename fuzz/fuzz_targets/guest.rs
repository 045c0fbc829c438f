//! The body with which a visitor of Mitigate comes in, and the form of guests. What is taken is one thing, within its
//! bounds, as it stands in the body, and with consent.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::guest(data));
