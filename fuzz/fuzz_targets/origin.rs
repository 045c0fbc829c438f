//! Origins, lists of them, and what CORS says about them. Whatever is read as an origin is one as browsers write it; a list
//! names what its entries name, each told from its parts; an answer allows the one origin that was sent, or none.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::origin(data));
