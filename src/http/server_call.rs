//! What calls of a customer's server have in common: a service token, and a body that is JSON or empty.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::request::Parts;
use secrecy::SecretString;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo;
use sidegate_core::service_token::ServiceToken;

use crate::forward::{MediaType, read};
use crate::gate::Gate;
use crate::wire::ClientBody;

/// Who calls, and with what. Nothing is read for somebody without a service token.
///
/// # Errors
/// [`Code::InvalidAuthFormat`], [`Code::AuthRequired`], [`Code::InvalidServiceToken`];
/// [`Code::UnsupportedMediaType`] for a body of another kind; as [`read`].
pub(super) async fn caller_and_body(
    gate: &Gate,
    parts: &Parts,
    body: ClientBody,
) -> Result<(Arc<ServiceToken>, Bytes), Denial> {
    let shown = orcheo::bearer(&parts.headers)?.ok_or(Code::AuthRequired)?;
    let caller = gate.service_tokens.authenticate(&SecretString::from(shown))?;
    let body = read(body, gate.limits.exchange_body, gate.listen.body_timeout).await?;
    let json = MediaType::of(&parts.headers) == MediaType::Json && !parts.headers.contains_key(CONTENT_ENCODING);
    if json || body.is_empty() { Ok((caller, body)) } else { Err(Code::UnsupportedMediaType.into()) }
}
