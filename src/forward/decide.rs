//! Requests whose body says what is asked for: read, held against what the token allows, and bound to
//! what it names.

use http::request::Parts;
use sidegate_core::denial::Code;
use sidegate_core::dialect::{AnswerUse, orcheo};
use sidegate_core::id::ConversationId;

use super::MediaType;
use super::request::{Forward, Refused};
use super::request_body::RequestBody;
use crate::wire::ClientBody;

impl Forward<'_> {
    /// The body as the upstream gets it, and what is to be done with the answer.
    pub(super) async fn decided(&self, parts: &Parts, body: ClientBody) -> Result<(RequestBody, AnswerUse), Refused> {
        if MediaType::of(&parts.headers) != MediaType::Json {
            return Err(Code::UnsupportedMediaType.into());
        }
        let sent = self.read_json(parts, body).await?;
        let request = orcheo::Request::parse(&sent)?;
        let permit = self.admission.permit();
        let bound = permit.claims().workflow.as_ref();
        if request.unverified_workflow.as_ref().is_some_and(|named| Some(named) != bound) {
            return Err(Code::WorkflowMismatch.into());
        }
        let workflow = bound.and_then(|id| permit.app().workflows.get(id)).ok_or(Code::InvalidToken)?;
        if self.scopes() {
            for conversation in request.thread.iter().chain(&request.attachments) {
                self.check_owner(conversation).await?;
            }
        }
        let body = request.bound_to(workflow)?;
        let rewrites = permit.app().injection.rewrites_body();
        let body = if rewrites { self.injected(&body)? } else { RequestBody::Full(Some(body.into())) };
        Ok((body, request.kind.answer_use()))
    }

    /// Another user's conversation does not exist for this one.
    async fn check_owner(&self, conversation: &ConversationId) -> Result<(), Refused> {
        match self.owners.owns(self.owner(), conversation).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Code::NotFound.into()),
            Err(_) => Err(Code::StoreUnavailable.into()),
        }
    }
}
