//! The token with which a session chats, where the dialect has such (Mitigate), and another one in its place.

use std::sync::Arc;

use http::HeaderMap;
use sidegate_core::app::App;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::mitigate::WorkspaceRoute;
use sidegate_core::dialect::{Dialect, mitigate};
use sidegate_core::id::{SessionId, TokenId};
use sidegate_core::message::Reply;
use sidegate_core::policy::{self, Issued, Moment, Provenance};
use sidegate_core::token::Claims;

use super::Live;
use crate::gate::Gate;
use crate::limits::{Counted, Sender};
use crate::registry::Registered;

impl Live {
    /// A token for it, as a visitor gets it. It ends with the session at the latest.
    ///
    /// # Errors
    /// [`Code::JwtNotConfigured`]; [`Code::Internal`].
    pub fn issue(&self, gate: &Gate, app: &App) -> Result<Reply, Denial> {
        let policy = app.token.as_ref().ok_or(Code::JwtNotConfigured)?;
        let now = sidegate_core::clock::Timestamp::from_seconds(gate.now().seconds());
        let expires_at = now.plus(policy.ttl).min(self.kept.expires_at);
        let claims = Claims { issued_at: now, expires_at, ..self.claims(app)? };
        let token = mitigate::sign(&policy.keys, &claims, self.about.mode)?;
        let session = claims.id.as_ref().ok_or(Code::Internal)?;
        mitigate::issued(&Issued { token, expires_at }, self.about.mode, session)
    }
}

/// The session of a token that wants another one in its place. The token may be over: as long as the session is
/// not, its visitor is there. It is counted as a chat request.
///
/// # Errors
/// [`Code::AuthRequired`], [`Code::InvalidAuthFormat`], [`Code::InvalidToken`]; [`Code::OriginNotAllowed`];
/// [`Code::RateLimited`]; [`Code::StoreUnavailable`].
pub async fn refreshed(
    gate: &Gate,
    registered: &Arc<Registered>,
    headers: &HeaderMap,
    (from, sender): (Provenance<'_>, Sender<'_>),
) -> Result<Live, Denial> {
    let app = &registered.app;
    policy::check_origin(app, from, gate.own_origin())?;
    let text = mitigate::bearer(headers)?;
    // Its own life is no matter here.
    let (_, claims) = Dialect::verify_any(text, &[&**app])?;
    let counted =
        Counted { route: Some(("POST", WorkspaceRoute::Refresh.template())), ..Counted::of(sender, &claims.subject) };
    let counted = counted.in_session(claims.id.as_ref().map(TokenId::as_str));
    gate.count(registered.limits.chat.as_ref(), counted).await?;
    let live = of_claims(gate, app, &claims).await?;
    let revoked = gate.revoked.current()?;
    let moment = Moment { now: gate.now(), revoked: &revoked, own_origin: gate.own_origin() };
    // The token itself may be revoked, too.
    let ended = revoked.revokes(&claims, text);
    match policy::admit_session(app, live.claims(app)?, from, moment) {
        Ok(_) if !ended => Ok(live),
        Err(denial) if denial.code == Code::OriginNotAllowed => Err(denial),
        _ => Err(Code::InvalidToken.into()),
    }
}

/// The open session of a token. One that is over, or closed, is as good as an expired token.
///
/// # Errors
/// [`Code::InvalidToken`]; [`Code::StoreUnavailable`].
pub async fn of_claims(gate: &Gate, app: &App, claims: &Claims) -> Result<Live, Denial> {
    let id = claims.id.as_ref().and_then(|id| SessionId::parse(id.as_str()).ok()).ok_or(Code::InvalidToken)?;
    let found = Live::find(gate, app, &id).await.map_err(|denial| match denial.code {
        Code::SessionNotFound => Code::InvalidToken.into(),
        _ => denial,
    })?;
    if found.is_closed() { Err(Code::InvalidToken.into()) } else { Ok(found) }
}
