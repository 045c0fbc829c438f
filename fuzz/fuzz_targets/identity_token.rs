//! Identity tokens of Chat9. Whatever arrives, or is signed as it should be, reading it does not panic. Who is
//! identified has an id and fields that are plain text within their bounds, until the token ends. A token that is made
//! here says what was asked for.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::identity_token(data));
