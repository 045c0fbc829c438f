//! For how long answers are kept, and what a stored one answers: whatever is kept gets stale and stays so, nothing that
//! forbids it is kept, and a part is within the whole.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::cache(data));
