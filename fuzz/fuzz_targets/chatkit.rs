//! Requests of Orcheo's and OpenAI's ChatKit, service tokens, uploads and visitors' cookies. What goes upstream is bound to
//! one workflow and one thread whoever reads it, and is taken again as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::chatkit(data));
