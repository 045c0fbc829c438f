//! Chat requests of Mitigate. What goes upstream is strict JSON with the user and workspace of the token and with no
//! place to send the answer to, however a lenient reader spells their names.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::chat(data));
