//! What comes on a connection of HTTP/1.1: the same requests however it is cut into pieces, each as a reader of lines finds
//! it, with a body that ends in one way alone.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::wire::http1::http1(data));
