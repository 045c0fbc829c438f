//! What a verified token says, in core's own words.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::dialect::orcheo::{WorkflowId, Workspaces};
use crate::id::{AppId, EndUserId, TokenId};
use crate::leash::Leash;

/// How far two clocks may differ: the one leeway for `exp`, `nbf` and `iat` (RFC 7519 sections
/// 4.1.4 to 4.1.6). Small, because tokens are minted and checked by the same program; above zero,
/// because its replicas have clocks of their own.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(5);

/// The claims of a widget token whose signature is checked. Dialects read them from their own
/// names and require their own markers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The app that the token was issued for.
    pub app: AppId,
    /// The end user (`sub`).
    pub subject: EndUserId,
    /// Origins that may use the token; empty for no restriction of its own.
    pub origins: Vec<String>,
    /// Names the token's context in the vault, if it has one.
    pub id: Option<TokenId>,
    /// The workflow that it is bound to, where the dialect binds it to one.
    pub workflow: Option<WorkflowId>,
    /// The workspaces that it names, where the dialect has them; written, never read.
    pub workspaces: Workspaces,
    /// How much it may be used, beside what its app says.
    pub leash: Leash,
    /// What it says beside: for the upstream, or for its dialect alone.
    pub details: Map<String, Value>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From when on it is good, if it says so.
    pub not_before: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Claims {
    /// From when on the token is refused: its end and [`CLOCK_LEEWAY`]. Whatever an admitted token
    /// keeps open must last until then and no longer: if a stream ended before, its page would ask
    /// again with the same token and be admitted to another stream that ends at once.
    #[must_use]
    pub fn refused_from(&self) -> Timestamp {
        self.expires_at.plus(CLOCK_LEEWAY)
    }

    /// Checks `exp`, `nbf` and `iat` against `now` with [`CLOCK_LEEWAY`].
    ///
    /// # Errors
    /// [`Code::InvalidToken`], saying whether it is over or not yet valid.
    pub fn check_times(&self, now: Timestamp) -> Result<(), Denial> {
        if now >= self.refused_from() {
            return Err(Denial::because(Code::InvalidToken, "The token has expired"));
        }
        let soonest = self.not_before.map_or(self.issued_at, |not_before| not_before.max(self.issued_at));
        if now.plus(CLOCK_LEEWAY) < soonest {
            return Err(Denial::because(Code::InvalidToken, "The token is not yet valid"));
        }
        Ok(())
    }
}
