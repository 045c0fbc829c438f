//! What a session's token may call (the vendor's list), and the gate's routes of a widget for those who have none yet.
//! Paths are compared as sent: an escape, a dot segment, a doubled or a trailing slash makes it another path, which is
//! not served. The vendor serves the same routes below `/api/v1` and `/v1`.

use crate::dialect::{AnswerUse, BodyUse};
use crate::id::{ConversationId, ObjectId};

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
        }
    }

    /// Its methods, for `Allow` and preflights.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        "POST"
    }

    /// What it needs from the request's body.
    #[must_use]
    pub const fn body_use(self) -> BodyUse {
        match self {
            Self::UploadAttachment => BodyUse::JsonOrForm,
            _ => BodyUse::Json,
        }
    }

    /// Members of the body that are the customer's to choose, never a browser's: which bot answers and from what, by
    /// which rules, and how much of it. `text`, `entities` and `functions` are the page's.
    #[must_use]
    pub const fn owned_fields(self) -> &'static [&'static str] {
        match self {
            Self::Initiate | Self::Complete | Self::Send | Self::Receive => &[
                "extensions",
                "options",
                "features",
                "limits",
                "model",
                "backstory",
                "datasetId",
                "skillsetId",
                "botId",
                "contactId",
                "privacy",
                "moderation",
                "messages",
                "meta",
                "debug",
            ],
            // By these the vendor finds contacts of other conversations.
            Self::UpsertContact => &["id", "contactId", "fingerprint", "verifiedAt", "meta"],
            Self::Unfurl
            | Self::UploadAttachment
            | Self::Upvote
            | Self::Downvote
            | Self::Synthesize
            | Self::PublishChannel => &[],
        }
    }

    /// What becomes of the upstream's answer.
    #[must_use]
    pub const fn answer_use(self) -> AnswerUse {
        AnswerUse::Pass
    }
}

/// The chat route of a path, and the conversation that it names.
#[must_use]
pub fn find(path: &str) -> Option<(Operation, Option<ConversationId>)> {
    let (prefix, rest) = below_prefix(path)?;
    if rest == "url/unfurl" {
        return Some((Operation::Unfurl, None));
    }
    if let Some(channel) = rest.strip_prefix("channel/") {
        return of_one(channel, "publish").map(|()| (Operation::PublishChannel, None));
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

fn below_prefix(path: &str) -> Option<(&'static str, &str)> {
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

/// What a page loads before it opens a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageRoute {
    /// The frame that the widget lives in.
    Frame,
    /// The script that opens the frame.
    Script,
    /// What the widget says in its languages; the gate's own.
    Languages,
}

impl PageRoute {
    /// Every route.
    pub const ALL: [Self; 3] = [Self::Frame, Self::Script, Self::Languages];

    /// The route of a path and the widget in it; the script is one for all.
    #[must_use]
    pub fn of(path: &str) -> Option<(Self, Option<ObjectId>)> {
        if path == Self::Script.template() {
            return Some((Self::Script, None));
        }
        if let Some(widget) = widget_route(path, "languages") {
            return Some((Self::Languages, Some(widget)));
        }
        let id = path.strip_prefix("/integrations/widget/")?.strip_suffix("/frame")?;
        Some((Self::Frame, Some(ObjectId::parse(id).ok()?)))
    }

    /// The path with `{id}` for the widget, for logs and metrics.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::Frame => "/integrations/widget/{id}/frame",
            Self::Script => "/integrations/widget/v2.js",
            Self::Languages => "/api/v1/integration/widget/{id}/languages",
        }
    }

    /// Its methods, for `Allow` and preflights.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        "GET"
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
