//! Templates, and what they make of values in headers, queries, bodies and URLs. A value changes nothing around it, stands
//! there once whatever the client has sent, and leads to no host that is not allowed, whoever reads the URL.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::template(data));
