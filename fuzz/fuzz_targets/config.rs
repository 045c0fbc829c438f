//! Files, variables and flags of the configuration. What is read is printed as a file that says the same again; what is not
//! is a problem that shows no value.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::config::config(data));
