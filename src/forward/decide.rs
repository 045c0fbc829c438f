//! Requests whose body says what is asked for: read, held against what the token allows, and bound to
//! what it names.

use http::request::Parts;
use sidegate_core::denial::Code;
use sidegate_core::dialect::{AnswerUse, orcheo};

use super::read_json;
use super::request::{Forward, Refused};
use super::request_body::RequestBody;
use crate::admit::check_owner;
use crate::wire::ClientBody;

impl Forward<'_> {
    /// The body as the upstream gets it, and what is to be done with the answer.
    pub(super) async fn decided(&self, parts: &Parts, body: ClientBody) -> Result<(RequestBody, AnswerUse), Refused> {
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
                check_owner(self.owners, self.owner(), conversation).await?;
            }
        }
        let body = request.bound_to(workflow)?;
        let rewrites = permit.app().injection.rewrites_body();
        let body = if rewrites { self.injected(&body)? } else { RequestBody::Full(Some(body.into())) };
        Ok((body, request.kind.answer_use()))
    }
}
