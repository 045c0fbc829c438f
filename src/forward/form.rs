//! Forms with one file, which the gate forwards without reading their parts; and queries that are bound to
//! what was admitted.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{Operation, chat9, chatbotkit, orcheo};

use super::MediaType;
use super::request::Forward;

impl Forward<'_> {
    /// How large the form of this head may be.
    ///
    /// # Errors
    /// [`Code::UnsupportedMediaType`] if it is none, or coded, so that its size would say nothing;
    /// [`Code::InvalidRequest`] if nobody could tell its parts; [`Code::Forbidden`] if nothing would hold the
    /// upstream to the workflow, whatever the form's fields say.
    pub(super) fn check_form(&self, parts: &Parts) -> Result<usize, Denial> {
        let unsupported = |rule: &'static str| Err(Denial::because(Code::UnsupportedMediaType, rule));
        if MediaType::of(&parts.headers) != MediaType::Form {
            return unsupported("The request body must be multipart/form-data");
        }
        if parts.headers.contains_key(CONTENT_ENCODING) {
            return unsupported("The body must have no content coding here");
        }
        if !has_boundary(parts) {
            return Err(Denial::because(Code::InvalidRequest, "multipart/form-data needs one boundary"));
        }
        let app = self.admission.permit().app();
        if !app.pass.token {
            return Err(Denial::because(Code::Forbidden, "This app takes no files"));
        }
        Ok(app.limits.upload.min(self.limits.form_body))
    }

    /// The query of a form, bound to the token's workflow, or of a session's request, to that session; `None`
    /// for other operations, whose query passes.
    ///
    /// # Errors
    /// [`Code::InvalidToken`] if the app does not list the workflow any more.
    pub(super) fn bound_query(&self, sent: Option<&str>) -> Result<Option<String>, Denial> {
        let permit = self.admission.permit();
        match self.admission.call().operation {
            Operation::Orcheo(orcheo::Operation::Upload) => {}
            Operation::Chat9(_) => {
                let session = self.admission.session().map(|session| session.id().as_str());
                let locale = chat9::Query::parse(sent)?;
                return Ok(Some(chat9::bound_query(&permit.app().id, session, locale.locale().as_deref())));
            }
            // A page may hand its session to the frame, which reads it itself.
            Operation::ChatBotKit(chatbotkit::Operation::Frame) => {
                return Ok(sent.map(chatbotkit::frame_query));
            }
            Operation::Orcheo(orcheo::Operation::Gateway)
            | Operation::Sigmic(_)
            | Operation::Mitigate(_)
            | Operation::ChatBotKit(_) => return Ok(None),
        }
        let bound = permit.claims().workflow.as_ref().filter(|id| permit.app().workflows.get(id).is_some());
        Ok(Some(orcheo::bound_query(sent, bound.ok_or(Code::InvalidToken)?)))
    }
}

/// Whether the one `Content-Type` has one boundary (RFC 7578 section 4.1): of two, readers differ in which
/// they take.
fn has_boundary(parts: &Parts) -> bool {
    let field = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let parameters = field.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut boundaries = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"));
    let first = boundaries.next().is_some_and(|(_, value)| !value.trim().trim_matches('"').is_empty());
    first && boundaries.next().is_none()
}
