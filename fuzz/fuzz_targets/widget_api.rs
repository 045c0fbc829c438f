//! ChatBotKit's widgets as customers set and list them. What is set is what was sent, can be served, and stands in each form
//! of a list once, as a text that nothing calculates.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::widget_api(data));
