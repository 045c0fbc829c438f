//! The only two decisions: what a caller may have ([`grant`]) and whether a request may pass
//! ([`admit`], with what stands in for a token).

mod visit;
mod widget;

pub use visit::{admit_frame, admit_opened, admit_page, admit_visitor};
pub use widget::{ConversationCall, check_conversation, check_widget};

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::app::{App, TokenPolicy};
use crate::clock::Timestamp;
use crate::context::SessionContext;
use crate::credential::Principal;
use crate::denial::{Code, Denial};
use crate::dialect::orcheo::{WorkflowId, Workspaces};
use crate::entropy::Entropy;
use crate::id::{EndUserId, TokenId};
use crate::leash::Leash;
use crate::origin::{Origin, OriginSet, RequestOrigin};
use crate::revocation::RevocationList;
use crate::token::Claims;

/// What is asked for in an exchange (RFC 8693 calls it the token request).
#[derive(Debug)]
pub struct ExchangeRequest {
    /// Whom the token is for.
    pub subject: EndUserId,
    /// How long it should live; the app's default if not said.
    pub lifetime: Option<Duration>,
    /// Its env and secrets.
    pub context: SessionContext,
    /// The workflow that it is to be bound to, where the dialect has them.
    pub workflow: Option<WorkflowId>,
    /// How much it may be used.
    pub leash: Leash,
    /// What the token is to say beside, for the upstream.
    pub details: Map<String, Value>,
}

/// What is allowed: claims to sign and a context to keep.
#[derive(Debug)]
pub struct Grant {
    principal: Principal,
    claims: Claims,
    context: SessionContext,
}

/// A token handed out.
pub struct Issued {
    /// The token's text.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A token stays out of logs.
impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Decides on an exchange. `entropy` gives the token its id, if there is a context to keep or the token
/// is good for a single use.
///
/// # Errors
/// [`Code::JwtNotConfigured`]; [`Code::InvalidExpiresIn`] for a lifetime above the app's longest;
/// [`Code::Internal`] without randomness.
pub fn grant(
    principal: Principal,
    request: ExchangeRequest,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<Grant, Denial> {
    let app = principal.app();
    let policy = token_policy(app)?;
    let lifetime = request.lifetime.unwrap_or(policy.ttl);
    if lifetime > policy.max_ttl {
        let longest = policy.max_ttl.as_secs();
        return Err(Denial::because(
            Code::InvalidExpiresIn,
            format!("expiresIn may be at most {longest}s for this app"),
        ));
    }
    let bare = request.context.is_empty() && !policy.single_use && !app.dialect.always_has_id();
    let id = match bare {
        true => None,
        false => Some(TokenId::new(entropy, now).map_err(|_| Code::Internal)?),
    };
    let issued_at = Timestamp::from_seconds(now.seconds());
    let claims = Claims {
        app: app.id.clone(),
        subject: request.subject,
        origins: app.origins.written().to_vec(),
        id,
        workflow: request.workflow,
        workspaces: Workspaces { own: app.workspace.clone(), all: principal.workspaces().to_vec() },
        leash: request.leash,
        details: request.details,
        issued_at,
        not_before: None,
        expires_at: issued_at.plus(lifetime),
    };
    Ok(Grant { principal, claims, context: request.context })
}

fn token_policy(app: &App) -> Result<&TokenPolicy, Denial> {
    app.token.as_ref().ok_or_else(|| Code::JwtNotConfigured.into())
}

impl Grant {
    /// The app it was granted for.
    #[must_use]
    pub const fn app(&self) -> &Arc<App> {
        self.principal.app()
    }

    /// The claims to sign.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The context to keep before the token leaves.
    #[must_use]
    pub const fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Signs the token. Call it when the context is durable, not before.
    ///
    /// # Errors
    /// [`Code::JwtNotConfigured`], [`Code::Internal`].
    pub fn issue(&self) -> Result<Issued, Denial> {
        let app = self.app();
        let token = app.dialect.sign(token_policy(app)?, &self.claims)?;
        Ok(Issued { token, expires_at: self.claims.expires_at })
    }
}

/// Where a request comes from, as its head says.
#[derive(Clone, Copy, Debug)]
pub struct Provenance<'a> {
    /// Its `Origin`.
    pub origin: RequestOrigin<'a>,
    /// `Sec-Fetch-Site: same-origin`: a page of the gate's own origin, which sends no `Origin` on
    /// a GET. A page cannot set this field itself (Fetch standard, forbidden request-header).
    pub same_origin: bool,
}

/// The proof that a request may pass: token verified, in time, from an origin on both lists.
/// Limits, ownership and forwarding all ask for it.
#[derive(Clone, Debug)]
pub struct Permit {
    app: Arc<App>,
    claims: Arc<Claims>,
}

impl Permit {
    /// The app.
    #[must_use]
    pub const fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The verified claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// How much may be used: what the app allows, and the token.
    #[must_use]
    pub fn leash(&self) -> Leash {
        self.app.leash.and(&self.claims.leash)
    }
}

/// What holds when a request is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The time.
    pub now: Timestamp,
    /// What is revoked.
    pub revoked: &'a RevocationList,
    /// The gate's own origin as browsers see it.
    pub own_origin: Option<&'a Origin>,
}

/// Decides on a request: `claims` come from a token of `app` that was verified, and `text` is that
/// token.
///
/// # Errors
/// [`Code::InvalidToken`] for a token of another app, outside its time, or revoked;
/// [`Code::OriginNotAllowed`].
pub fn admit(
    app: &Arc<App>,
    claims: Arc<Claims>,
    text: &str,
    from: Provenance<'_>,
    moment: Moment<'_>,
) -> Result<Permit, Denial> {
    if claims.app != app.id {
        return Err(Code::InvalidToken.into());
    }
    claims.check_times(moment.now)?;
    if moment.revoked.revokes(&claims, text) {
        return Err(Denial::because(Code::InvalidToken, "The token has been revoked"));
    }
    let own = moment.own_origin;
    // The list only changes with the config, so the token's copy is nearly always the same text.
    let same_list = claims.origins == app.origins.written();
    let is_meant = match app.dialect.has_sessions() {
        true => is_bound(&claims.origins, app.allow_missing_origin, from, own),
        false => same_list || passes_claim(&claims.origins, app.allow_missing_origin, from, own),
    };
    let passes = lets_in(app, from, own) && is_meant;
    if !passes {
        return Err(Code::OriginNotAllowed.into());
    }
    Ok(Permit { app: Arc::clone(app), claims })
}

/// Decides on a request of a chat session, whose claims these are.
///
/// # Errors
/// [`Code::SessionNotFound`] for a session of another app, or one that is over; [`Code::OriginNotAllowed`];
/// [`Code::SessionForbidden`] for one that was opened from another origin, or revoked.
pub fn admit_session(
    app: &Arc<App>,
    claims: Claims,
    from: Provenance<'_>,
    moment: Moment<'_>,
) -> Result<Permit, Denial> {
    if claims.app != app.id || moment.now >= claims.expires_at {
        return Err(Code::SessionNotFound.into());
    }
    check_origin(app, from, moment.own_origin)?;
    let id = claims.id.as_ref().map_or("", |id| id.as_str());
    let is_bound = is_bound(&claims.origins, app.allow_missing_origin, from, moment.own_origin);
    if !is_bound || moment.revoked.revokes(&claims, id) {
        return Err(Code::SessionForbidden.into());
    }
    Ok(Permit { app: Arc::clone(app), claims: Arc::new(claims) })
}

/// Decides whether a page may ask anything of an app, before it shows any token.
///
/// # Errors
/// [`Code::OriginNotAllowed`].
pub fn check_origin(app: &App, from: Provenance<'_>, own_origin: Option<&Origin>) -> Result<(), Denial> {
    if lets_in(app, from, own_origin) { Ok(()) } else { Err(Code::OriginNotAllowed.into()) }
}

/// Whether a request comes from where its session was opened. That is compared as it came: it is no pattern.
fn is_bound(bound: &[String], allow_missing: bool, from: Provenance<'_>, own: Option<&Origin>) -> bool {
    bound.is_empty() || passes(allow_missing, from, own, |origin| bound.iter().any(|bound| bound == origin))
}

fn passes_claim(origins: &[String], allow_missing: bool, from: Provenance<'_>, own: Option<&Origin>) -> bool {
    OriginSet::parse(origins).is_ok_and(|list| passes_list(&list, allow_missing, from, own))
}

fn passes_list(list: &OriginSet, allow_missing: bool, from: Provenance<'_>, own: Option<&Origin>) -> bool {
    list.is_empty() || passes(allow_missing, from, own, |origin| list.contains(origin))
}

fn lets_in(app: &App, from: Provenance<'_>, own: Option<&Origin>) -> bool {
    app.origins.is_empty() || passes(app.allow_missing_origin, from, own, |origin| app.lets_in(origin, own))
}

fn passes(allow_missing: bool, from: Provenance<'_>, own: Option<&Origin>, is_listed: impl Fn(&str) -> bool) -> bool {
    match from.origin {
        RequestOrigin::Sent(origin) => is_listed(origin),
        RequestOrigin::Malformed => false,
        RequestOrigin::Absent => allow_missing || (from.same_origin && own.is_some_and(|own| is_listed(own.as_str()))),
    }
}
