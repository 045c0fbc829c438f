//! A session of a conversation (ChatBotKit), and its token, which is good for that conversation alone.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use sidegate_core::app::App;
use sidegate_core::clock::Timestamp;
use sidegate_core::context::SessionContext;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chatbotkit::{self, Contact, Widget};
use sidegate_core::entropy::Entropy;
use sidegate_core::id::{ConversationId, EndUserId, ObjectId, SessionId};
use sidegate_core::policy::Issued;
use sidegate_core::session::{ChatSession, Mode};
use sidegate_core::token::Claims;

use super::Live;
use super::open::begin_until;
use crate::gate::Gate;

/// What a session is opened with.
pub struct Opening<'a> {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// Whose it is: a contact, or somebody whom nobody knows.
    pub end_user: EndUserId,
    /// What that one says to be.
    pub contact: Option<&'a Contact>,
    /// The widget that it was opened with; none by a customer's server.
    pub widget: Option<&'a Widget>,
    /// The bot that answers.
    pub bot: Option<&'a str>,
    /// What its conversation may do.
    pub features: &'a [&'a str],
    /// What is noted beside the conversation.
    pub meta: Option<&'a Map<String, Value>>,
    /// The origin that it is opened from.
    pub origin: Option<String>,
    /// How long it lasts.
    pub length: Duration,
    /// What the upstream takes for its conversation, where it keeps the widgets.
    pub upstream_token: Option<SecretString>,
}

/// Under which name a session's context has the upstream's token.
const UPSTREAM_TOKEN: &str = "upstream_token";

/// A session that was opened.
#[derive(Debug)]
pub struct Conversation {
    /// The session.
    pub live: Live,
    /// What its token says.
    pub claims: Claims,
    /// Its token.
    pub issued: Issued,
}

/// The id of a conversation that nobody has had, made like all of the vendor's.
///
/// # Errors
/// [`Code::Internal`] without randomness.
pub fn new_conversation(now: Timestamp, entropy: &dyn Entropy) -> Result<ConversationId, Denial> {
    let id = ObjectId::new(now, entropy).map_err(|_| Code::Internal)?;
    ConversationId::parse(id.as_str()).map_err(|_| Code::Internal.into())
}

impl Opening<'_> {
    /// Keeps the session, and signs its token.
    ///
    /// # Errors
    /// [`Code::JwtNotConfigured`]; [`Code::StoreUnavailable`]; [`Code::Internal`] without randomness.
    pub async fn open(self, gate: &Gate, app: &App) -> Result<Conversation, Denial> {
        let policy = app.token.as_ref().ok_or(Code::JwtNotConfigured)?;
        let now = Timestamp::from_seconds(gate.now().seconds());
        let expires_at = now.plus(self.length.min(policy.max_ttl));
        let id = SessionId::new(&*gate.entropy).map_err(|_| Code::Internal)?;
        let mode = if self.contact.is_some() { Mode::Guest } else { Mode::Anonymous };
        let context = self.context()?;
        let (end_user, origin) = (self.end_user, self.origin);
        let session = ChatSession { id, end_user, mode, origin, opened_at: gate.now(), context };
        let claims = Claims { issued_at: now, ..session.claims(&app.id, expires_at)? };
        let details = chatbotkit::details(&self.conversation, self.features);
        let token = chatbotkit::sign(&policy.keys, &claims, &self.conversation, self.features)?;
        // The token is handed out when its session is durable.
        let live = begin_until(gate, app, session, expires_at).await?;
        let subject = EndUserId::parse(live.id().as_str()).map_err(|_| Code::Internal)?;
        let claims = Claims { subject, details, origins: Vec::new(), ..claims };
        Ok(Conversation { live, claims, issued: Issued { token, expires_at } })
    }

    /// What templates may place into the requests of its conversation.
    fn context(&self) -> Result<SessionContext, Denial> {
        let meta = self.meta.map(serde_json::to_string).transpose().map_err(|_| Code::Internal)?;
        let blueprint = self.widget.and_then(|widget| widget.fields.blueprint_id.clone()).filter(|id| !id.is_empty());
        let known = [
            ("widget_id", self.widget.map(|widget| widget.id.as_str().to_owned())),
            ("blueprint_id", blueprint),
            ("bot_id", self.bot.map(str::to_owned)),
            ("conversation_id", Some(self.conversation.as_str().to_owned())),
            ("contact_id", self.contact.map(|_| self.end_user.as_str().to_owned())),
            ("meta", meta),
        ];
        let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let context = SessionContext::of_user(known);
        let context = match &self.upstream_token {
            Some(token) => context.and_secret(UPSTREAM_TOKEN, token.clone()),
            None => context,
        };
        let Some(contact) = self.contact else { return Ok(context) };
        let said = [("name", &contact.name), ("email", &contact.email), ("phone", &contact.phone)];
        Ok(said.into_iter().fold(context, |context, (name, value)| match value {
            Some(value) => context.and_unverified(name, value.clone()),
            None => context,
        }))
    }
}

impl Live {
    /// What the upstream takes for it, where it keeps the widgets.
    #[must_use]
    pub fn upstream_token(&self) -> Option<&SecretString> {
        self.context().secret(UPSTREAM_TOKEN)
    }

    /// The widget that it was opened with, where the dialect has such (ChatBotKit).
    #[must_use]
    pub fn widget(&self) -> Option<ObjectId> {
        ObjectId::parse(self.context().user("widget_id")?.expose_secret()).ok()
    }
}
