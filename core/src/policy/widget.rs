//! Requests to widgets (ChatBotKit): whoever knows a widget's id may ask, from where its list says.

use super::{Permit, Provenance, check_origin, is_bound, passes};
use crate::app::App;
use crate::denial::{Code, Denial};
use crate::dialect::chatbotkit::{Operation, Serving, conversation, has_feature};
use crate::id::ConversationId;
use crate::origin::{Origin, RequestOrigin};

/// Decides whether a page may ask anything of a widget: the app's list and the widget's must both let it in.
///
/// # Errors
/// [`Code::OriginNotAllowed`].
pub fn check_widget(
    app: &App,
    serving: &Serving,
    from: Provenance<'_>,
    own_origin: Option<&Origin>,
) -> Result<(), Denial> {
    check_origin(app, from, own_origin)?;
    let list = &serving.origins;
    let lets_in = |origin: &str| list.contains(origin) || app.is_of_frame(origin, own_origin);
    if list.is_empty() || passes(app.allow_missing_origin, from, own_origin, lets_in) {
        return Ok(());
    }
    Err(Code::OriginNotAllowed.into())
}

/// What is asked of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct ConversationCall<'a> {
    /// What.
    pub operation: Operation,
    /// The conversation that its path names, if it does, or the channel.
    pub conversation: Option<&'a ConversationId>,
    /// The origin that the conversation's session was opened from.
    pub opened_from: Option<&'a str>,
}

/// Decides on a request that a conversation's token admits: whether it is for that conversation, from where its session was
/// opened and the widget's list still says, and whether the widget has what it asks for.
///
/// # Errors
/// [`Code::NotFound`] for another conversation; [`Code::OriginNotAllowed`]; [`Code::FeatureDisabled`].
pub fn check_conversation(
    permit: &Permit,
    serving: &Serving,
    call: ConversationCall<'_>,
    from: Provenance<'_>,
    own_origin: Option<&Origin>,
) -> Result<(), Denial> {
    let (app, claims) = (permit.app(), permit.claims());
    let own = conversation(claims)?;
    let is_own = |asked: &ConversationId| match call.operation {
        // Its channels are named after it. What has a dash itself could be the channel of another one.
        Operation::PublishChannel => {
            let rest = asked.as_str().strip_prefix(own.as_str());
            !own.as_str().contains('-') && rest.is_some_and(|rest| rest.starts_with('-'))
        }
        _ => *asked == own,
    };
    if call.conversation.is_some_and(|asked| !is_own(asked)) {
        return Err(Code::NotFound.into());
    }
    check_widget(app, serving, from, own_origin)?;
    let bound: Vec<_> = call.opened_from.iter().map(|origin| (*origin).to_owned()).collect();
    // A page may hand its session to the widget's frame.
    let in_frame = matches!(from.origin, RequestOrigin::Sent(origin) if app.is_of_frame(origin, own_origin));
    if !in_frame && !is_bound(&bound, app.allow_missing_origin, from, own_origin) {
        return Err(Code::OriginNotAllowed.into());
    }
    let has = match call.operation {
        // A session has what its widget had when it began, and still has.
        Operation::UploadAttachment => serving.attachments && has_feature(claims, "attachments"),
        Operation::Unfurl => serving.unfurl,
        Operation::UpsertContact => serving.contact_collection,
        _ => true,
    };
    if has { Ok(()) } else { Err(Code::FeatureDisabled.into()) }
}

#[cfg(test)]
#[path = "widget_tests.rs"]
mod tests;
