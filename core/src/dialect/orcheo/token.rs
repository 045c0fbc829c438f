//! The claims of Orcheo's session tokens (its backend's ChatKit session router) and the forms of `Authorization`.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::app::{App, TokenPolicy};
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::id::WorkspaceId;
use crate::leash::{self, Leash};
use crate::service_token::Scope;
use crate::token::Claims;

/// The claims as they stand in the token. `chatkit` is this dialect's marker.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireClaims<'a> {
    /// Who issued it.
    pub iss: Cow<'a, str>,
    /// For whom.
    pub aud: Cow<'a, str>,
    /// The end user: each their own, so that the upstream keeps them apart.
    pub sub: Cow<'a, str>,
    /// Issued at, in seconds.
    pub iat: u64,
    /// Not before, in seconds; we write none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Expires at, in seconds.
    pub exp: u64,
    /// The token's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<Cow<'a, str>>,
    /// What it may use, where its server asked for a leash.
    #[serde(default, skip_serializing_if = "Leash::is_endless", deserialize_with = "leash::as_object")]
    pub leash: Leash,
    /// What ChatKit makes of it.
    pub chatkit: ChatKit<'a>,
}

/// The workspaces that a token names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workspaces {
    /// The app's own, `workspace_id`; one without is refused where an app has one, and the other way round.
    pub own: Option<WorkspaceId>,
    /// Those of whoever asked for the token, `workspace_ids`.
    pub all: Vec<WorkspaceId>,
}

/// The claim `chatkit`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChatKit<'a> {
    /// The workspace of the app.
    #[serde(default)]
    workspace_id: Option<Cow<'a, str>>,
    /// Those of whoever asked for the token, in order.
    #[serde(default)]
    workspace_ids: Vec<Cow<'a, str>>,
    /// The workflow that the token is bound to; one without is refused.
    pub workflow_id: Cow<'a, str>,
    #[serde(default)]
    scopes: Vec<Cow<'a, str>>,
    #[serde(default)]
    identity_type: Option<Cow<'a, str>>,
    /// The upstream counts its limits by it: the end user, too.
    #[serde(default)]
    token_id: Option<Cow<'a, str>>,
    /// What was said of the session beside: `metadata`, `user`, `assistant`, `workflow_label`.
    #[serde(flatten)]
    details: Map<String, Value>,
}

impl WireClaims<'_> {
    /// The claims in core's words, if the token is one of `app`.
    ///
    /// # Errors
    /// [`Code::InvalidClaims`] for another issuer, audience or workspace, an unbound token, or a workflow
    /// that the app does not list (any more).
    pub fn into_claims(self, app: &App) -> Result<Claims, Denial> {
        let policy = app.token.as_ref().ok_or(Code::InvalidToken)?;
        let own_workspace = self.chatkit.workspace_id.as_deref() == app.workspace.as_ref().map(WorkspaceId::as_str);
        let known = self.iss == policy.issuer() && self.aud == policy.audience() && own_workspace;
        let workflow = self.chatkit.workflow_id.parse().ok().filter(|id| app.workflows.get(id).is_some());
        let workflow = workflow.filter(|_| known).ok_or(Code::InvalidClaims)?;
        let invalid = |_| Denial::from(Code::InvalidClaims);
        Ok(Claims {
            app: app.id.clone(),
            subject: self.sub.parse().map_err(invalid)?,
            origins: Vec::new(),
            id: self.jti.map(|id| id.parse()).transpose().map_err(invalid)?,
            workflow: Some(workflow),
            workspaces: Workspaces::default(),
            leash: self.leash,
            details: Map::new(),
            issued_at: Timestamp::from_seconds(self.iat),
            not_before: self.nbf.map(Timestamp::from_seconds),
            expires_at: Timestamp::from_seconds(self.exp),
        })
    }
}

/// Signs `claims` as Orcheo writes them.
///
/// # Errors
/// [`Code::Internal`] for claims without a workflow or an id, which are not made for this dialect;
/// else as [`crate::token::KeyRing::sign`].
pub fn sign(policy: &TokenPolicy, claims: &Claims) -> Result<String, Denial> {
    let workflow = claims.workflow.as_ref().ok_or(Code::Internal)?;
    let id = claims.id.as_ref().ok_or(Code::Internal)?;
    policy.keys.sign(&WireClaims {
        iss: policy.issuer().into(),
        aud: policy.audience().into(),
        sub: claims.subject.as_str().into(),
        iat: claims.issued_at.seconds(),
        nbf: claims.not_before.map(Timestamp::seconds),
        exp: claims.expires_at.seconds(),
        jti: Some(id.as_str().into()),
        leash: claims.leash,
        chatkit: ChatKit {
            workspace_id: claims.workspaces.own.as_ref().map(|own| own.as_str().into()),
            workspace_ids: claims.workspaces.all.iter().map(|workspace| workspace.as_str().into()).collect(),
            workflow_id: workflow.as_str().into(),
            scopes: vec![Scope::CHATKIT_SESSION.into()],
            identity_type: Some("service".into()),
            token_id: Some(claims.subject.as_str().into()),
            details: claims.details.clone(),
        },
    })
}

/// The one bearer token of a request; `None` without any `Authorization`.
///
/// # Errors
/// [`Code::InvalidAuthFormat`] for another scheme or several fields.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denial> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    let text = field.to_str().ok().filter(|_| fields.next().is_none()).ok_or(Code::InvalidAuthFormat)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("Bearer") || token.is_empty() {
        return Err(Code::InvalidAuthFormat.into());
    }
    Ok(Some(token))
}
