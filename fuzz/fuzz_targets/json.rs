//! JSON that is read strictly, and changed in place. Strict is what a walk over the text finds to be; what is changed is
//! what a model on values says, changed again it is the same, and all else keeps its bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::json(data));
