//! What becomes of a request's body: passed as it comes, read and rewritten, or refused.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body::Body as _;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{BodyUse, Operation};

use super::request::{Forward, Refused};
use super::request_body::{Progress, RequestBody, Upload};
use crate::wire::ClientBody;

impl Forward<'_> {
    pub(super) async fn body(
        &self,
        parts: &Parts,
        body: ClientBody,
    ) -> Result<(RequestBody, Option<Rc<Progress>>), Refused> {
        let operation = self.admission.call().operation;
        let injects = self.admission.permit().app().injection.rewrites_body();
        let rewrites = injects || !operation.owned_fields().is_empty();
        match (operation.body_use(), MediaType::of(&parts.headers)) {
            (BodyUse::None, _) if body.is_end_stream() => Ok((RequestBody::Empty, None)),
            (BodyUse::None, _) => Err(Denial::because(Code::InvalidRequest, "This route takes no body").into()),
            (BodyUse::Json | BodyUse::JsonOrForm, MediaType::Json) if rewrites => self.rewritten(parts, body).await,
            (BodyUse::Json | BodyUse::JsonOrForm, MediaType::Json) => {
                self.passed(parts, body, self.limits.json_body).await
            }
            (BodyUse::JsonOrForm, MediaType::Form) if injects => {
                let rule = "This app adds fields to the body, which must be application/json";
                Err(Denial::because(Code::UnsupportedMediaType, rule).into())
            }
            (BodyUse::JsonOrForm, MediaType::Form) => self.passed(parts, body, self.limits.form_body).await,
            (BodyUse::JsonOrForm, MediaType::Other) => {
                let rule = "The request body must be application/json or multipart/form-data";
                Err(Denial::because(Code::UnsupportedMediaType, rule).into())
            }
            (BodyUse::Form, _) => self.passed(parts, body, self.check_form(parts)?).await,
            (BodyUse::Json | BodyUse::Decide, _) => Err(Code::UnsupportedMediaType.into()),
        }
    }

    /// The body as it comes; a short one in one piece, so that it leaves together with its head.
    async fn passed(
        &self,
        parts: &Parts,
        body: ClientBody,
        limit: usize,
    ) -> Result<(RequestBody, Option<Rc<Progress>>), Refused> {
        let length = announced_length(&parts.headers);
        refuse_longer(length, limit)?;
        if length.is_some_and(|length| length <= SHORT_BODY) {
            let short = read(body, limit, self.body_timeout).await?;
            return Ok((RequestBody::Full(Some(short)), None));
        }
        let (upload, progress) = Upload::new(body, limit, self.body_timeout);
        Ok((RequestBody::Streamed(upload), Some(progress)))
    }

    async fn rewritten(&self, parts: &Parts, body: ClientBody) -> Result<(RequestBody, Option<Rc<Progress>>), Refused> {
        let sent = read_json(parts, body, self.limits.json_body, self.body_timeout).await?;
        Ok((self.injected(&sent)?, None))
    }

    /// What the dialect itself says in a body: what a conversation may do.
    fn given(&self) -> Option<(&'static str, String)> {
        let Operation::ChatBotKit(operation) = self.admission.call().operation else { return None };
        // Where the upstream keeps the widgets, its own token says it.
        if self.admission.permit().app().is_passed() {
            return None;
        }
        let serving = self.admission.widget().and_then(|served| served.serving().ok());
        operation.extensions(self.admission.permit().claims(), serving)
    }

    /// A JSON object with the fields that the app injects.
    pub(super) fn injected(&self, sent: &[u8]) -> Result<RequestBody, Refused> {
        let injection = &self.admission.permit().app().injection;
        let operation = self.admission.call().operation;
        let surplus = operation.surplus(sent);
        let owned: Vec<_> =
            operation.owned_fields().iter().copied().chain(surplus.iter().map(String::as_str)).collect();
        let body = injection
            .apply_body(self.values(), &owned, self.given(), sent)?
            .map_err(|fault| Denial::because(Code::InvalidRequest, format!("The body is refused: {fault}")))?;
        Ok(RequestBody::Full(Some(body.into())))
    }
}

/// Reads a body that the gate must understand.
///
/// # Errors
/// [`Code::UnsupportedMediaType`] for anything but JSON without a content coding; as [`read`].
pub async fn read_json(parts: &Parts, body: ClientBody, limit: usize, timeout: Duration) -> Result<Bytes, Denial> {
    if MediaType::of(&parts.headers) != MediaType::Json {
        return Err(Code::UnsupportedMediaType.into());
    }
    if parts.headers.contains_key(CONTENT_ENCODING) {
        return Err(Denial::because(Code::UnsupportedMediaType, "The body must have no content coding here"));
    }
    refuse_longer(announced_length(&parts.headers), limit)?;
    read(body, limit, timeout).await
}

/// Reads a body that may be left out; then it is empty.
///
/// # Errors
/// As [`read_json`].
pub async fn read_json_or_none(
    parts: &Parts,
    body: ClientBody,
    limit: usize,
    timeout: Duration,
) -> Result<Bytes, Denial> {
    // Some clients name a type for what they do not send.
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    read_json(parts, body, limit, timeout).await
}

/// What a body is, by its one `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`, in UTF-8.
    Json,
    /// `multipart/form-data`.
    Form,
    /// Anything else, or not said.
    Other,
}

impl MediaType {
    /// The media type that the fields of a head name.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut fields = headers.get_all(CONTENT_TYPE).iter();
        let field = fields.next().filter(|_| fields.next().is_none()).and_then(|value| value.to_str().ok());
        let field = field.unwrap_or_default();
        let (essence, parameters) = field.split_once(';').unwrap_or((field, ""));
        match essence.trim() {
            essence if essence.eq_ignore_ascii_case("application/json") && is_utf8(parameters) => Self::Json,
            essence if essence.eq_ignore_ascii_case("multipart/form-data") => Self::Form,
            _ => Self::Other,
        }
    }
}

/// Whether no parameter names a charset but UTF-8, the only one of JSON (RFC 8259 section 8.1). A
/// server that honours another (UTF-7 is common in libraries) would read other members than we do.
fn is_utf8(parameters: &str) -> bool {
    parameters.split(';').filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

/// Bytes of a body that is read before it is sent on: a chat message, not a file.
const SHORT_BODY: u64 = 16 * 1024;

/// The length that the head announces; who reads the body holds it to that.
#[must_use]
pub fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Refuses by the announced length, before anything is read or sent.
fn refuse_longer(length: Option<u64>, limit: usize) -> Result<(), Denial> {
    if length.is_some_and(|length| length > limit as u64) { Err(Code::PayloadTooLarge.into()) } else { Ok(()) }
}

/// Reads a whole body.
///
/// # Errors
/// [`Code::PayloadTooLarge`], [`Code::RequestTimeout`], [`Code::InvalidRequest`].
pub async fn read<B>(body: B, limit: usize, patience: Duration) -> Result<Bytes, Denial>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut whole = pin!(collect(body, limit));
    // Most bodies have arrived with their head: those need no timer.
    match poll_fn(|cx| Poll::Ready(whole.as_mut().poll(cx))).await {
        Poll::Ready(read) => read,
        Poll::Pending => tokio::time::timeout(patience, whole).await.unwrap_or(Err(Code::RequestTimeout.into())),
    }
}

/// The pieces of a body as one; a client that sends a byte at a time costs a byte at a time.
async fn collect<B: http_body::Body<Data = Bytes>>(body: B, limit: usize) -> Result<Bytes, Denial> {
    let mut body = pin!(body);
    let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        // Trailers are not ours to check, so they are not read.
        let Ok(data) = frame.map_err(|_| Code::InvalidRequest)?.into_data() else { continue };
        if data.len() > limit - first.len().max(whole.len()) {
            return Err(Code::PayloadTooLarge.into());
        }
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        whole.extend_from_slice(&std::mem::take(&mut first));
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}
