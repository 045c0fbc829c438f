//! What can be done with service tokens, whichever API asks: who may, and what is done.

use std::time::Duration;

use secrecy::SecretString;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::id::ServiceTokenId;
use sidegate_core::service_token::{NewServiceToken, Scope};

use super::Caller;
use crate::service_tokens::Kept;

/// Characters of the reason of a revocation.
const MAX_REASON: usize = 256;

impl Caller {
    /// All of them.
    pub(super) async fn service_tokens(&self) -> Result<Vec<Kept>, Denial> {
        self.may(Scope::TOKENS_READ, None)?;
        self.gate.service_tokens.list().await
    }

    /// Makes one, which has no right that the caller lacks.
    pub(super) async fn create_service_token(&self, asked: NewServiceToken) -> Result<(Kept, SecretString), Denial> {
        self.governs(asked.rights())?;
        self.gate.service_tokens.create(asked).await
    }

    /// The one that a path names.
    pub(super) async fn service_token(&self, id: &str) -> Result<Kept, Denial> {
        self.may(Scope::TOKENS_READ, None)?;
        self.gate.service_tokens.get(&name(id)?).await
    }

    /// Gives one a new secret.
    pub(super) async fn rotate_service_token(
        &self,
        id: &str,
        overlap: Duration,
        lifetime: Option<Duration>,
    ) -> Result<(Kept, SecretString), Denial> {
        let id = self.governed(id).await?;
        self.gate.service_tokens.rotate(&id, overlap, lifetime).await
    }

    /// Ends one.
    pub(super) async fn revoke_service_token(&self, id: &str, reason: &str) -> Result<Kept, Denial> {
        if reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
            const RULE: &str = "reason must be plain text of at most 256 characters";
            return Err(Denial::because(Code::InvalidRequest, RULE));
        }
        let id = self.governed(id).await?;
        self.gate.service_tokens.revoke(&id, reason).await
    }

    /// The name in a path, if the caller holds all rights of what it names.
    async fn governed(&self, id: &str) -> Result<ServiceTokenId, Denial> {
        let id = name(id)?;
        self.may(Scope::TOKENS_WRITE, self.token.apps.first())?;
        let Kept { token, .. } = self.gate.service_tokens.get(&id).await?;
        self.governs(token.rights())?;
        Ok(id)
    }
}

/// What is no name names nothing.
fn name(text: &str) -> Result<ServiceTokenId, Code> {
    text.parse().map_err(|_| Code::NotFound)
}
