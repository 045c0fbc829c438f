//! A service token in answers and on the terminal.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, ServiceTokenId, WorkspaceId};
use sidegate_core::service_token::Scope;

use super::Kept;

/// A service token as it is shown: never its secret, nor the secret's digest.
#[derive(Serialize)]
pub struct Shown<'a> {
    id: &'a ServiceTokenId,
    scopes: &'a [Scope],
    apps: &'a [AppId],
    workspaces: &'a [WorkspaceId],
    issued_at: Option<String>,
    expires_at: Option<String>,
    previous_secret_until: Option<String>,
    revoked_at: Option<String>,
    revocation_reason: Option<&'a str>,
    last_used_at: Option<String>,
    use_count: u64,
    /// Once: when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl<'a> Shown<'a> {
    /// What is kept, with its secret if it has just been made.
    #[must_use]
    pub fn new(Kept { token, uses }: &'a Kept, secret: Option<&'a SecretString>) -> Self {
        let revoked = token.revoked.as_ref();
        Self {
            id: &token.id,
            scopes: &token.scopes,
            apps: &token.apps,
            workspaces: &token.workspaces,
            issued_at: token.issued_at.rfc3339_millis(),
            expires_at: token.expires_at.and_then(Timestamp::rfc3339_millis),
            previous_secret_until: token.previous.as_ref().and_then(|previous| previous.until.rfc3339_millis()),
            revoked_at: revoked.and_then(|revoked| revoked.at.rfc3339_millis()),
            revocation_reason: revoked.map(|revoked| &*revoked.reason),
            last_used_at: uses.last.and_then(Timestamp::rfc3339_millis),
            use_count: uses.count,
            secret: secret.map(|secret| secret.expose_secret()),
        }
    }
}
