//! Widgets that the vendor keeps (ChatBotKit with `authority = "upstream"`): its API is passed on with the customer's key,
//! which the upstream's settings have. Sessions are opened there, and their tokens stay here: whoever asked gets one of
//! the gate's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response};
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chatbotkit::{Opened, api_method, named_conversation};
use sidegate_core::id::{ConversationId, EndUserId};
use sidegate_core::policy;

use super::asker::prove;
use super::convert;
use super::service::{Common, Outcome};
use crate::admit::provenance;
use crate::forward::{Call, Failure, Refused, picked, read, read_json_or_none};
use crate::limits::{Counted, Sender, stranger};
use crate::registry::Registered;
use crate::sessions::{Opening, sent_origin};
use crate::wire::ClientBody;

/// Bytes of a request's body, and of an answer's: a page of a hundred widgets, or a list of some thousands.
const MAX_BODY: usize = 512 * 1024;
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// For how long the vendor may answer.
const PATIENCE: Duration = Duration::from_secs(30);

const FAILURE_CODE: HeaderName = HeaderName::from_static("x-failure-code");

/// A call for an app whose widgets the vendor keeps.
pub(super) struct Passing<'a> {
    pub(super) common: &'a Common,
    pub(super) registered: &'a Arc<Registered>,
    pub(super) parts: &'a Parts,
}

impl Passing<'_> {
    /// Passes a call of the API on; `route` is what the log calls it.
    pub(super) async fn api(&self, body: ClientBody, route: &'static str) -> Outcome {
        let answered = match self.is_of_the_api() {
            Ok(()) => self.passed(body).await.map(as_it_came),
            Err(denial) => Err(denial.into()),
        };
        self.outcome(answered, Cors::Silent).of_route(route)
    }

    /// The customer's key opens more.
    fn is_of_the_api(&self) -> Result<(), Denial> {
        let method = api_method(self.parts.uri.path()).ok_or(Code::NotFound)?;
        if self.parts.method == method { Ok(()) } else { Err(Denial::method_not_allowed(method)) }
    }

    /// Passes a request for a session on, of a server's for this conversation.
    pub(super) async fn server_session(
        &self,
        body: ClientBody,
        conversation: Option<&ConversationId>,
        route: &'static str,
    ) -> Outcome {
        let answered = match self.passed(body).await {
            Ok(answer) => self.opened(answer, conversation, None).await,
            Err(refused) => Err(refused),
        };
        self.outcome(answered, Cors::Silent).of_route(route)
    }

    /// Passes a page's request for a session on, if the app's list lets it in.
    pub(super) async fn page_session(
        &self,
        body: ClientBody,
        sender: Sender<'_>,
        cors: Cors,
        route: &'static str,
    ) -> Outcome {
        let answered = self.of_page(body, sender).await;
        let is_elsewhere = matches!(&answered, Err(refused) if refused.denial.code == Code::OriginNotAllowed);
        self.outcome(answered, if is_elsewhere { Cors::Silent } else { cors }).of_route(route)
    }

    async fn of_page(&self, body: ClientBody, sender: Sender<'_>) -> Result<Response<Bytes>, Refused> {
        let (gate, app) = (&self.common.gate, &self.registered.app);
        if self.parts.method != Method::POST {
            return Err(Denial::method_not_allowed("POST").into());
        }
        let from = provenance(&self.parts.headers);
        policy::check_origin(app, from, gate.own_origin())?;
        let nobody = stranger(sender.address)?;
        gate.count(self.registered.limits.exchange.as_ref(), Counted::of(sender, &nobody)).await?;
        let body = read_json_or_none(self.parts, body, MAX_BODY, gate.listen.body_timeout).await?;
        // With the customer's key the vendor opens whatever conversation is named: one of before is its holder's alone.
        if let Some(existing) = named_conversation(&body)? {
            prove(gate, app, &existing, &self.parts.headers)?;
        }
        self.opened(self.called(body, None).await?, None, sent_origin(from)).await
    }

    async fn passed(&self, body: ClientBody) -> Result<Response<Bytes>, Refused> {
        let body = read(body, MAX_BODY, self.common.gate.listen.body_timeout).await?;
        self.called(body, self.parts.uri.query()).await
    }

    /// What the vendor answers.
    async fn called(&self, body: Bytes, query: Option<&str>) -> Result<Response<Bytes>, Refused> {
        let call = Call {
            method: self.parts.method.clone(),
            path: self.parts.uri.path(),
            query,
            headers: picked(&self.parts.headers, &[ACCEPT, CONTENT_TYPE]),
            body: Some(body).filter(|body| !body.is_empty()),
            limit: MAX_ANSWER,
        };
        let called = tokio::time::timeout(PATIENCE, self.common.client.call(&self.registered.upstream, call));
        let answer = called.await.map_err(|_| Failure::ResponseTimeout)??;
        // It is about the customer's key, which is no matter of whoever calls.
        if answer.status() == http::StatusCode::UNAUTHORIZED { Err(Failure::Unauthorized.into()) } else { Ok(answer) }
    }

    /// A session of the gate's for one that the vendor has opened.
    async fn opened(
        &self,
        answer: Response<Bytes>,
        conversation: Option<&ConversationId>,
        origin: Option<String>,
    ) -> Result<Response<Bytes>, Refused> {
        if !answer.status().is_success() {
            return Ok(as_it_came(answer));
        }
        let gate = &self.common.gate;
        let opened = Opened::read(answer.body(), conversation).ok_or(Failure::Unreadable)?;
        let features: Vec<&str> = opened.features.iter().map(String::as_str).collect();
        let opening = Opening {
            conversation: opened.conversation.clone(),
            end_user: EndUserId::anonymous(&*gate.entropy).map_err(|_| Code::Internal)?,
            contact: None,
            widget: None,
            bot: None,
            features: &features,
            meta: None,
            origin,
            length: opened.expires_at.since(gate.now()),
            upstream_token: Some(opened.token.clone()),
        };
        let kept = opening.open(gate, &self.registered.app).await?;
        Ok(convert::response(opened.reply(&kept.issued)))
    }

    fn outcome(&self, answered: Result<Response<Bytes>, Refused>, cors: Cors) -> Outcome {
        let mut outcome = match answered {
            Ok(response) => Outcome::of(response, cors),
            Err(Refused { denial, failure }) => {
                Outcome::refused(Some(Dialect::ChatBotKit), &denial, cors).after(failure)
            }
        };
        outcome.facts.app = Some(self.registered.app.id.clone());
        outcome
    }
}

/// An answer of the vendor's with the fields that say what it is.
fn as_it_came(answer: Response<Bytes>) -> Response<Bytes> {
    let (mut parts, body) = answer.into_parts();
    parts.headers = picked(&parts.headers, &[CONTENT_TYPE, FAILURE_CODE, http::header::RETRY_AFTER]);
    parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Response::from_parts(parts, body)
}
