//! For each target a function that takes any bytes and panics when what must hold does not. The head of each target in
//! `fuzz_targets/` says what that is.

mod chat;
mod edits;
mod events;
mod guest;
mod identity_token;
mod jwe;
mod jws;
mod keys;
mod mitigate_identity;
mod text;
mod widget;

pub use chat::chat;
pub use events::events;
pub use guest::guest;
pub use identity_token::identity_token;
pub use jwe::jwe;
pub use jws::jws;
pub use mitigate_identity::mitigate_identity;
pub use widget::widget;

/// A check of bytes.
pub type Check = fn(&[u8]);

/// The targets by their names.
pub const TARGETS: [(&str, Check); 8] = [
    ("jws", jws),
    ("jwe", jwe),
    ("identity_token", identity_token),
    ("mitigate_identity", mitigate_identity),
    ("guest", guest),
    ("widget", widget),
    ("chat", chat),
    ("events", events),
];
