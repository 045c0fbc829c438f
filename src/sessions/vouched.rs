//! Whether what vouches for a visitor was revoked: an identity token is a token.

use sidegate_core::app::App;
use sidegate_core::clock::Timestamp;
use sidegate_core::denial::Denial;
use sidegate_core::dialect::orcheo::Workspaces;
use sidegate_core::id::{EndUserId, TokenId};
use sidegate_core::leash::Leash;
use sidegate_core::token::Claims;

use crate::gate::Gate;

/// Why such a token is refused, in logs and metrics.
pub(super) const REVOKED: &str = "revoked";

/// What a good identity token says.
pub(super) struct Vouched<'a> {
    pub(super) end_user: &'a EndUserId,
    /// The epoch, if it does not say.
    pub(super) issued_at: Timestamp,
    pub(super) jti: Option<&'a TokenId>,
    pub(super) text: &'a str,
}

impl Vouched<'_> {
    /// Whether it was revoked: by itself, with its end user, with its app, or with all.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`](sidegate_core::denial::Code::StoreUnavailable).
    pub(super) fn is_revoked(&self, gate: &Gate, app: &App) -> Result<bool, Denial> {
        let claims = Claims {
            app: app.id.clone(),
            subject: self.end_user.clone(),
            origins: Vec::new(),
            id: self.jti.cloned(),
            workflow: None,
            workspaces: Workspaces::default(),
            leash: Leash::default(),
            details: serde_json::Map::new(),
            issued_at: self.issued_at,
            not_before: None,
            expires_at: self.issued_at,
        };
        Ok(gate.revoked.current()?.revokes(&claims, self.text))
    }
}
