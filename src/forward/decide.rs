//! Requests whose body says what is asked for: read, held against what the token or session allows, and
//! bound to what it names.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, HeaderValue};
use http_body::Body as _;
use secrecy::ExposeSecret as _;
use sidegate_core::address::is_public;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{AnswerUse, Operation, chat9, chatbotkit, mitigate, orcheo};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::read_json;
use super::request::{Forward, Refused};
use super::request_body::RequestBody;
use crate::admit::check_owner;
use crate::wire::ClientBody;

/// A request that may go on.
pub(super) struct Decided {
    /// The body as the upstream gets it.
    pub(super) body: RequestBody,
    /// What is to be done with the answer.
    pub(super) answer_use: AnswerUse,
    /// What the upstream is told beside.
    pub(super) told: Option<(HeaderName, HeaderValue)>,
    /// Whether it is the first thing that is said in its session.
    pub(super) begins: bool,
    /// Whether it counts as a message, where its route does not say so.
    pub(super) says: bool,
}

impl Forward<'_> {
    pub(super) async fn decided(&self, parts: &Parts, body: ClientBody) -> Result<Decided, Refused> {
        let operation = self.admission.call().operation;
        match operation {
            Operation::Chat9(widget) => self.of_session(widget, parts, body).await,
            Operation::Orcheo(_) => self.of_workflow(parts, body).await,
            Operation::Mitigate(_) => self.of_workspace(parts, body).await,
            Operation::ChatBotKit(_) => self.of_preview(parts, body).await,
            // Its bodies decide nothing.
            Operation::Sigmic(_) => Err(Code::Internal.into()),
        }
    }

    /// A preview of a page, which must be one that everybody could look at.
    async fn of_preview(&self, parts: &Parts, body: ClientBody) -> Result<Decided, Refused> {
        let sent = read_json(parts, body, self.limits.json_body, self.body_timeout).await?;
        if let chatbotkit::Place::Name(host, port) = chatbotkit::preview_of(&sent)? {
            check_public(&host, port).await?;
        }
        Ok(Decided { body: self.injected(&sent)?, answer_use: AnswerUse::Pass, told: None, begins: false, says: false })
    }

    async fn of_workflow(&self, parts: &Parts, body: ClientBody) -> Result<Decided, Refused> {
        let sent = read_json(parts, body, self.limits.json_body, self.body_timeout).await?;
        let request = orcheo::Request::parse(&sent)?;
        let permit = self.admission.permit();
        let bound = permit.claims().workflow.as_ref();
        if request.unverified_workflow.as_ref().is_some_and(|named| Some(named) != bound) {
            return Err(Code::WorkflowMismatch.into());
        }
        let workflow = bound.and_then(|id| permit.app().workflows.get(id)).ok_or(Code::InvalidToken)?;
        if self.scopes() {
            for conversation in request.thread.iter().chain(&request.attachments) {
                check_owner(&**self.store, self.owner(), conversation).await?;
            }
        }
        let says = request.kind.has_events();
        if says {
            self.tether_stream()?;
        }
        let body = request.bound_to(workflow)?;
        let rewrites = permit.app().injection.rewrites_body();
        let body = if rewrites { self.injected(&body)? } else { RequestBody::Full(Some(body.into())) };
        Ok(Decided { body, answer_use: request.kind.answer_use(), told: None, begins: false, says })
    }

    /// A prompt of a visitor's, or what the page's tools have found out.
    async fn of_workspace(&self, parts: &Parts, body: ClientBody) -> Result<Decided, Refused> {
        let session = self.admission.session().ok_or(Code::InvalidToken)?;
        let sent = read_json(parts, body, self.limits.json_body, self.body_timeout).await?;
        let app = self.admission.permit().app();
        let checked = mitigate::check(&sent, &app.id, &self.admission.permit().claims().subject)?;
        if let (true, Some(chat)) = (self.scopes(), &checked.chat_id) {
            check_owner(&**self.store, self.owner(), chat).await?;
        }
        session.touch(&**self.store, app, self.now, false).await?;
        let answer_use = match checked.chat_id {
            None => AnswerUse::RecordOwnerIfNamed,
            Some(_) => AnswerUse::Pass,
        };
        let body = match app.injection.rewrites_body() {
            true => self.injected(&checked.body)?,
            false => RequestBody::Full(Some(checked.body.into())),
        };
        Ok(Decided { body, answer_use, told: None, begins: !session.is_started(), says: false })
    }

    /// A message, or a call for a human.
    async fn of_session(&self, widget: chat9::Operation, parts: &Parts, body: ClientBody) -> Result<Decided, Refused> {
        let session = self.admission.session().ok_or(Code::SessionInvalid)?;
        // A turn without a body asks for the greeting.
        let sent = match body.is_end_stream() {
            true => bytes::Bytes::new(),
            false => read_json(parts, body, self.limits.json_body, self.body_timeout).await?,
        };
        let plan_tier = session.context().user("plan_tier").map(|tier| tier.expose_secret());
        let (body, says, told) = match widget {
            chat9::Operation::Escalate => {
                let asked = chat9::Escalation::parse(&sent)?;
                (asked.body, true, (chat9::X_ESCALATION_PRIORITY, chat9::priority(asked.trigger, plan_tier)))
            }
            _ => {
                let message = chat9::Message::parse(&sent, session.is_started())?;
                let priorities = (chat9::X_ESCALATION_PRIORITIES, chat9::all_priorities(plan_tier));
                (message.body, message.says_something, priorities)
            }
        };
        session.touch(&**self.store, self.admission.permit().app(), self.now, false).await?;
        let answer_use = self.admission.call().operation.answer_use();
        let begins = says && !session.is_started();
        Ok(Decided { body: self.injected(&body)?, answer_use, told: Some(told), begins, says: false })
    }
}

/// For the addresses of a host.
const LOOKUP: Duration = Duration::from_secs(3);

/// Refuses a host that has an address which is not public. Whoever connects must look it up again, and check again.
async fn check_public(host: &str, port: u16) -> Result<(), Denial> {
    let refused = || Denial::because(Code::InvalidRequest, "url must be the http or https address of a public page");
    let found = timeout(LOOKUP, lookup_host((host, port))).await;
    let addresses: Vec<_> = found.map_err(|_| refused())?.map_err(|_| refused())?.collect();
    let all_public = addresses.iter().all(|address| is_public(address.ip()));
    if all_public && !addresses.is_empty() { Ok(()) } else { Err(refused()) }
}
