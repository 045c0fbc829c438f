//! What a session's token may call (the vendor's list), and the gate's routes of a widget for those who have none yet.
//! Paths are compared as sent: an escape, a dot segment, a doubled or a trailing slash makes it another path, which is
//! not served. The vendor serves the same routes below `/api/v1` and `/v1`.

use std::collections::BTreeMap;

use http::Method;
use serde_json::json;
use serde_json::value::RawValue;

use super::settings::Serving;
use super::token::features;
use crate::context::inject::parameter_names;
use crate::dialect::{AnswerUse, BodyUse, Call, Dialect, NoCall};
use crate::id::{ConversationId, ObjectId};
use crate::token::Claims;

/// A chat route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST …/url/unfurl`: the preview of a link.
    Unfurl,
    /// `POST /api/v1/conversation/{id}/initiate`: the bot speaks first.
    Initiate,
    /// `POST …/conversation/{id}/complete`: a message, and what the bot says to it.
    Complete,
    /// `POST …/conversation/{id}/send`: a message.
    Send,
    /// `POST …/conversation/{id}/receive`: what the bot says to the messages before.
    Receive,
    /// `POST …/conversation/{id}/contact/upsert`: who the visitor is.
    UpsertContact,
    /// `POST …/conversation/{id}/attachment/upload`: a file.
    UploadAttachment,
    /// `POST …/conversation/{id}/message/{message}/upvote`.
    Upvote,
    /// `POST …/conversation/{id}/message/{message}/downvote`.
    Downvote,
    /// `POST …/conversation/{id}/message/{message}/synthesize`: a message, spoken.
    Synthesize,
    /// `POST …/channel/{channel}/publish`: what the page's functions gave back.
    PublishChannel,
    /// `GET /integrations/widget/{id}/frame`: the page that the widget lives in.
    Frame,
    /// `GET /integrations/widget/v2.js`: the script that opens the frame, one for all widgets.
    Script,
}

impl Operation {
    /// Every route, in the order of the enum.
    pub const ALL: &[Self] = &[
        Self::Unfurl,
        Self::Initiate,
        Self::Complete,
        Self::Send,
        Self::Receive,
        Self::UpsertContact,
        Self::UploadAttachment,
        Self::Upvote,
        Self::Downvote,
        Self::Synthesize,
        Self::PublishChannel,
        Self::Frame,
        Self::Script,
    ];

    /// The path with `{id}` for the conversation, for logs and metrics; one for both prefixes.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::Unfurl => "/api/v1/url/unfurl",
            Self::Initiate => "/api/v1/conversation/{id}/initiate",
            Self::Complete => "/api/v1/conversation/{id}/complete",
            Self::Send => "/api/v1/conversation/{id}/send",
            Self::Receive => "/api/v1/conversation/{id}/receive",
            Self::UpsertContact => "/api/v1/conversation/{id}/contact/upsert",
            Self::UploadAttachment => "/api/v1/conversation/{id}/attachment/upload",
            Self::Upvote => "/api/v1/conversation/{id}/message/{message}/upvote",
            Self::Downvote => "/api/v1/conversation/{id}/message/{message}/downvote",
            Self::Synthesize => "/api/v1/conversation/{id}/message/{message}/synthesize",
            Self::PublishChannel => "/api/v1/channel/{channel}/publish",
            Self::Frame => "/integrations/widget/{id}/frame",
            Self::Script => SCRIPT,
        }
    }

    /// Its methods, for `Allow` and preflights.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        if self.needs_token() { "POST" } else { "GET" }
    }

    /// Whether a token admits to it; what is left a page loads before it has one.
    #[must_use]
    pub const fn needs_token(self) -> bool {
        !matches!(self, Self::Frame | Self::Script)
    }

    /// Whether it is a message of the visitor's.
    #[must_use]
    pub const fn is_message(self) -> bool {
        matches!(self, Self::Complete | Self::Send)
    }

    /// What it needs from the request's body.
    #[must_use]
    pub const fn body_use(self) -> BodyUse {
        match self {
            Self::UploadAttachment => BodyUse::JsonOrForm,
            Self::Frame | Self::Script => BodyUse::None,
            Self::Unfurl => BodyUse::Decide,
            _ => BodyUse::Json,
        }
    }

    /// Members of the body that are never a browser's to choose; [`Self::surplus`] finds the others of a message.
    #[must_use]
    pub const fn owned_fields(self) -> &'static [&'static str] {
        match self {
            // Whatever else stands there, the gate says itself, or nobody does.
            Self::Initiate | Self::Complete | Self::Send | Self::Receive => &["extensions"],
            // By these the vendor finds contacts of other conversations.
            Self::UpsertContact => &["id", "contactId", "fingerprint", "verifiedAt", "meta"],
            Self::Unfurl
            | Self::UploadAttachment
            | Self::Upvote
            | Self::Downvote
            | Self::Synthesize
            | Self::PublishChannel
            | Self::Frame
            | Self::Script => &[],
        }
    }

    /// Members of a conversation's request that no page has any business with: all but the message and what goes with it.
    #[must_use]
    pub fn surplus(self, body: &[u8]) -> Vec<String> {
        let talks = matches!(self, Self::Initiate | Self::Complete | Self::Send | Self::Receive);
        let members: Option<BTreeMap<String, &RawValue>> = serde_json::from_slice(body).ok().filter(|_| talks);
        let own = |name: &String| !["text", "entities", "functions", "attachments"].contains(&name.as_str());
        members.into_iter().flat_map(BTreeMap::into_keys).filter(own).collect()
    }

    /// What the gate itself says in the body: the features that the session's token has, and its widget still has.
    #[must_use]
    pub fn extensions(self, claims: &Claims, serving: Option<&Serving>) -> Option<(&'static str, String)> {
        let talks = matches!(self, Self::Initiate | Self::Complete | Self::Send | Self::Receive);
        let still = |name: &&str| serving.is_none_or(|serving| serving.features.contains(name));
        let names = features(claims).filter(still).map(|name| json!({ "name": name }));
        talks.then(|| ("extensions", json!({ "features": names.collect::<Vec<_>>() }).to_string()))
    }

    /// What becomes of the upstream's answer.
    #[must_use]
    pub const fn answer_use(self) -> AnswerUse {
        AnswerUse::Pass
    }
}

/// Finds the chat route of a path.
///
/// # Errors
/// [`NoCall`].
pub fn route(method: &Method, path: &str) -> Result<Call, NoCall> {
    let (operation, conversation) = find(path).ok_or(NoCall::UnknownPath)?;
    if method.as_str() != operation.allow() {
        return Err(NoCall::OtherMethod { dialect: Dialect::ChatBotKit, allow: operation.allow() });
    }
    Ok(Call { operation: crate::dialect::Operation::ChatBotKit(operation), conversation })
}

/// The chat route of a path, and the conversation that it names, or the channel.
fn find(path: &str) -> Option<(Operation, Option<ConversationId>)> {
    if path == SCRIPT {
        return Some((Operation::Script, None));
    }
    if framed(path).is_some() {
        return Some((Operation::Frame, None));
    }
    let (prefix, rest) = below_prefix(path)?;
    if rest == "url/unfurl" {
        return Some((Operation::Unfurl, None));
    }
    if let Some(channel) = rest.strip_prefix("channel/") {
        let channel = channel.strip_suffix("/publish")?;
        return Some((Operation::PublishChannel, Some(ConversationId::parse(channel).ok()?)));
    }
    let (id, leaf) = rest.strip_prefix("conversation/")?.split_once('/')?;
    let operation = match leaf {
        "initiate" if prefix == "/api/v1/" => Operation::Initiate,
        "complete" => Operation::Complete,
        "send" => Operation::Send,
        "receive" => Operation::Receive,
        "contact/upsert" => Operation::UpsertContact,
        "attachment/upload" => Operation::UploadAttachment,
        _ => of_message(leaf.strip_prefix("message/")?)?,
    };
    Some((operation, Some(ConversationId::parse(id).ok()?)))
}

fn of_message(rest: &str) -> Option<Operation> {
    let (_, leaf) = rest.split_once('/')?;
    of_one(rest, leaf)?;
    match leaf {
        "upvote" => Some(Operation::Upvote),
        "downvote" => Some(Operation::Downvote),
        "synthesize" => Some(Operation::Synthesize),
        _ => None,
    }
}

/// Whether this is one plain id and then `leaf`.
fn of_one(rest: &str, leaf: &str) -> Option<()> {
    let (id, found) = rest.split_once('/')?;
    (found == leaf && ConversationId::parse(id).is_ok()).then_some(())
}

/// Whether a path lies among those of widgets and conversations, whether or not there is such a route.
#[must_use]
pub fn is_api(path: &str) -> bool {
    let areas = ["integration/widget/", "conversation/"];
    below_prefix(path).is_some_and(|(_, rest)| areas.iter().any(|area| rest.starts_with(area)))
}

pub(super) fn below_prefix(path: &str) -> Option<(&'static str, &str)> {
    ["/api/v1/", "/v1/"].into_iter().find_map(|prefix| path.strip_prefix(prefix).map(|rest| (prefix, rest)))
}

/// Where pages open sessions: `POST …/integration/widget/{id}/session/create`. A widget's id is all they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRoute {
    /// The widget.
    pub widget: ObjectId,
}

impl SessionRoute {
    /// The path with `{id}` for the widget, for logs and metrics.
    pub const TEMPLATE: &str = "/api/v1/integration/widget/{id}/session/create";

    /// Its methods, for `Allow` and preflights.
    pub const ALLOW: &str = "POST";

    /// The route of a path.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        widget_route(path, "session/create").map(|widget| Self { widget })
    }
}

fn widget_route(path: &str, leaf: &str) -> Option<ObjectId> {
    let (_, rest) = below_prefix(path)?;
    let (id, found) = rest.strip_prefix("integration/widget/")?.split_once('/')?;
    if found == leaf { ObjectId::parse(id).ok() } else { None }
}

/// The script that opens a widget's frame.
const SCRIPT: &str = "/integrations/widget/v2.js";

/// The widget whose frame a path is.
#[must_use]
pub fn framed(path: &str) -> Option<ObjectId> {
    ObjectId::parse(path.strip_prefix("/integrations/widget/")?.strip_suffix("/frame")?).ok()
}

/// The query of a frame without the session that a page hands to it.
#[must_use]
pub fn frame_query(sent: &str) -> String {
    let pairs = sent.split('&');
    let is_session = |pair: &&str| parameter_names(pair).any(|name| name == "session");
    pairs.filter(|pair| !is_session(pair)).collect::<Vec<_>>().join("&")
}

/// Where pages find what a widget says in its languages, `GET …/integration/widget/{id}/languages`; the gate's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguagesRoute {
    /// The widget.
    pub widget: ObjectId,
}

impl LanguagesRoute {
    /// The path with `{id}` for the widget, for logs and metrics.
    pub const TEMPLATE: &str = "/api/v1/integration/widget/{id}/languages";

    /// Its methods, for `Allow` and preflights.
    pub const ALLOW: &str = "GET, HEAD";

    /// The route of a path.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        widget_route(path, "languages").map(|widget| Self { widget })
    }
}

/// Where customers' servers open sessions, on the private listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiSessionRoute {
    /// `POST …/bot/{id}/session/create`: a new conversation with a bot.
    Bot(ObjectId),
    /// `POST …/conversation/{id}/session/create`: of a conversation that there is.
    Conversation(ConversationId),
}

impl ApiSessionRoute {
    /// The route of a path.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let (_, rest) = below_prefix(path)?;
        let (kind, rest) = rest.split_once('/')?;
        let id = rest.strip_suffix("/session/create")?;
        match kind {
            "bot" => ObjectId::parse(id).ok().map(Self::Bot),
            "conversation" => ConversationId::parse(id).ok().map(Self::Conversation),
            _ => None,
        }
    }

    /// The path with `{id}`, for logs.
    #[must_use]
    pub const fn template(&self) -> &'static str {
        match self {
            Self::Bot(_) => "/api/v1/bot/{id}/session/create",
            Self::Conversation(_) => "/api/v1/conversation/{id}/session/create",
        }
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
