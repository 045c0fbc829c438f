//! For each target a function that takes any bytes and panics when what must hold does not. The head of each target in
//! `fuzz_targets/` says what that is.

mod cache;
mod chat;
mod chatkit;
mod conversation;
mod edits;
mod events;
mod exchange;
mod guest;
mod identity_token;
mod jwe;
mod jws;
mod keys;
mod mitigate_identity;
mod origin;
mod splice;
mod stream;
mod template;
mod text;
mod values;
mod widget;
mod widget_api;

pub use cache::cache;
pub use chat::chat;
pub use chatkit::chatkit;
pub use conversation::conversation;
pub use events::events;
pub use exchange::exchange;
pub use guest::guest;
pub use identity_token::identity_token;
pub use jwe::jwe;
pub use jws::jws;
pub use mitigate_identity::mitigate_identity;
pub use origin::origin;
pub use splice::json;
pub use stream::stream;
pub use template::template;
pub use values::values;
pub use widget::widget;
pub use widget_api::widget_api;

/// A check of bytes.
pub type Check = fn(&[u8]);

/// The targets by their names.
pub const TARGETS: [(&str, Check); 18] = [
    ("jws", jws),
    ("jwe", jwe),
    ("identity_token", identity_token),
    ("mitigate_identity", mitigate_identity),
    ("guest", guest),
    ("widget", widget),
    ("chat", chat),
    ("events", events),
    ("origin", origin),
    ("values", values),
    ("template", template),
    ("json", json),
    ("stream", stream),
    ("cache", cache),
    ("chatkit", chatkit),
    ("exchange", exchange),
    ("widget_api", widget_api),
    ("conversation", conversation),
];
