//! New secrets and keys of apps in the place of others, which stay good for a while.

use std::time::Duration;

use secrecy::SecretString;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chat9::new_identity_secret;
use sidegate_core::id::AppId;

use super::{Checked, new_key};
use crate::apps::{Apps, Shown};

impl Apps {
    /// Gives an app a new secret; the one of now is good for `overlap` more.
    ///
    /// # Errors
    /// As [`Self::disable`].
    pub async fn rotate_secret(&self, id: &AppId, overlap: Duration) -> Result<(Shown, SecretString), Denial> {
        let now = self.now();
        self.change(id, None, Checked::No, |document| {
            let secret = self.new_secret()?;
            document.settings.add_secret(&secret, !overlap.is_zero());
            document.previous_secret_until = (!overlap.is_zero()).then(|| now.plus(overlap));
            Ok(secret)
        })
        .await
    }

    /// Gives an app its first secret for identity tokens.
    ///
    /// # Errors
    /// [`Code::Conflict`] if it has one; as [`Self::update`].
    pub async fn new_identity(&self, id: &AppId) -> Result<(Shown, SecretString), Denial> {
        let changed = self.change(id, None, Checked::Yes, |document| {
            if document.settings.has_identity() {
                return Err(Denial::because(Code::Conflict, "The app has an identity secret; rotate it"));
            }
            let secret = self.new_identity_secret()?;
            document.settings.rotate_identity(&secret, false);
            Ok(secret)
        });
        changed.await
    }

    /// Gives an app a new secret for identity tokens; that of now verifies for `overlap` more.
    ///
    /// # Errors
    /// [`Code::IdentityNotConfigured`] if it has none; as [`Self::update`].
    pub async fn rotate_identity(&self, id: &AppId, overlap: Duration) -> Result<(Shown, SecretString), Denial> {
        let now = self.now();
        let changed = self.change(id, None, Checked::Yes, |document| {
            if !document.settings.has_identity() {
                return Err(Code::IdentityNotConfigured.into());
            }
            let secret = self.new_identity_secret()?;
            document.settings.rotate_identity(&secret, !overlap.is_zero());
            document.previous_identity_until = (!overlap.is_zero()).then(|| now.plus(overlap));
            Ok(secret)
        });
        changed.await
    }

    fn new_identity_secret(&self) -> Result<SecretString, Denial> {
        new_identity_secret(&*self.entropy).map_err(|_| Code::Internal.into())
    }

    /// Signs an app's tokens with `key` from now on, or with a new one; the one of now still verifies.
    /// Those that were retired before do so unless they are dropped.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn rotate_key(&self, id: &AppId, key: Option<SecretString>, drop_retired: bool) -> Result<Shown, Denial> {
        self.refuse_configured(id)?;
        let algorithm = self.document(&self.entry(id).await?)?.settings.algorithm();
        let key = match key {
            Some(key) => key,
            None => new_key(algorithm).await?,
        };
        let changed = self.change(id, None, Checked::Yes, |document| {
            if document.settings.algorithm() != algorithm {
                return Err(Code::Conflict.into());
            }
            document.settings.rotate_key(&key, drop_retired);
            Ok(())
        });
        Ok(changed.await?.0)
    }
}
