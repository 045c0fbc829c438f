//! The first use case: a credential becomes a token.

use std::net::IpAddr;

use sidegate_core::context::ContextKey;
use sidegate_core::credential::authenticate;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{Dialect, sigmic};
use sidegate_core::message::Reply;
use sidegate_core::policy::{self, Grant};

use crate::gate::Gate;
use crate::limits::Counted;

/// Handles the body of `POST /api/v1/auth/token`. The answer is written when the context is
/// durable, not before.
///
/// # Errors
/// A [`Denial`] with one of Sigmic's codes or, for what they do not cover, of ours.
pub async fn exchange(gate: &Gate, body: &[u8], address: IpAddr) -> Result<Reply, Denial> {
    let wire = sigmic::parse_exchange(body)?;
    let registry = gate.registry.load();
    let registered = registry.app(&wire.credential.unverified_app);
    let principal = authenticate(registered.map(|registered| &registered.app), &wire.credential)?;
    let registered = registered.ok_or(Code::InvalidCredentials)?;
    let request = wire.into_request(&gate.limits.context)?;
    if let Some(limit) = &registered.limits.exchange {
        gate.count(limit, Counted { address, end_user: &request.subject }).await?;
    }
    let grant = policy::grant(principal, request, &*gate.entropy, gate.now())?;
    keep_context(gate, &grant).await?;
    Dialect::Sigmic.issued(&grant.issue()?)
}

/// Seals and stores the grant's context, if it has one.
async fn keep_context(gate: &Gate, grant: &Grant) -> Result<(), Denial> {
    // A token with an id is asked for its context by apps that inject one, be it empty.
    let kept = !grant.context().is_empty() || grant.app().injection.needs_context();
    let Some(token) = grant.claims().id.as_ref().filter(|_| kept) else { return Ok(()) };
    let sealer = gate.sealer.as_ref().ok_or(Code::ContextNotConfigured)?;
    let key = ContextKey { app: &grant.app().id, token };
    let plaintext = grant.context().to_plaintext()?;
    let record = sealer.seal(key, &plaintext, &*gate.entropy).map_err(|_| Code::Internal)?;
    // Kept for as long as a token may be admitted: the leeway included.
    let expires_at = grant.claims().refused_from();
    gate.vault.put(key, record.into(), expires_at).await.map_err(|_| Code::StoreUnavailable.into())
}
