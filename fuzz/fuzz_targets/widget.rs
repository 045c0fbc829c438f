//! What the widget of Chat9 sends: the request for a session, messages, calls for a human, and the query of all of
//! them. What goes upstream is strict JSON within its bounds; a query names bot and session once.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::widget(data));
