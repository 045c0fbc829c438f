//! Identity tokens of Mitigate, a signed token in a sealed one. Whatever arrives, or is signed and sealed as it should
//! be, reading it does not panic. Who is identified has ids and an access token within their bounds, for ten minutes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::mitigate_identity(data));
