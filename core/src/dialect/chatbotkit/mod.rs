//! ChatBotKit's widgets (seeds/001, docs.cbk.ai/widget-integration): widgets and blueprints as customers keep them, the
//! sessions that pages open with a widget's id, and the chat API behind them.

mod answer;
mod fields;
mod languages;
mod list;
mod meta;
mod passed;
mod phone;
mod route;
mod rules;
mod session;
mod settings;
mod token;
mod translate;
mod unfurl;
mod widget;

pub use answer::{Failure, failure, file_answer, id_answer, refusal};
pub use fields::{Fields, Patch};
pub use languages::{LanguageMap, LanguagesAnswer, Texts, default_texts, languages, languages_answer};
pub use list::{ListFormat, ListQuery, Order, csv_header, csv_row, json_page, jsonl_item, sse_item};
pub use passed::{Opened, api_method};
pub use route::{ApiSessionRoute, LanguagesRoute, Operation, SessionRoute, frame_query, framed, is_api, route};
pub use session::{
    Answer, Asked, Author, Contact, Message, bot_answer, conversation_answer, named_conversation, parse_bot_session,
    parse_conversation_session, parse_session, stored_meta,
};
pub use settings::{Serving, frame_ancestors};
pub use token::{AUDIENCE, WireClaims, bearer, conversation, details, has_feature, sign};
pub use translate::{TranslationList, TranslationService, Translator};
pub use unfurl::{Place, preview_of};
pub use widget::{Blueprint, FileType, Widget, WidgetId, Wire, effective, from_document, parse_attach, to_document};

/// What templates may name of a visitor. The gate says what its conversation is; the visitor says the others.
pub const FIELDS: [&str; 9] =
    ["widget_id", "bot_id", "blueprint_id", "conversation_id", "contact_id", "meta", "name", "email", "phone"];
