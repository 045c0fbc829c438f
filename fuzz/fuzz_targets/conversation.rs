//! Sessions, contacts, previews and translations of ChatBotKit's. A number has the form of E.164 and keeps it, a page that
//! is looked at is of the public web, a translation is a text of a known element and no more.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sidegate_fuzz::checks::conversation(data));
