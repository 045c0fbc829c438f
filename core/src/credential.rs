//! Who is asking: a credential shown, and the proof of who it turned out to be.

use std::sync::Arc;

use secrecy::SecretString;

use crate::app::App;
use crate::authorize::Authorized;
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::secret::SecretDigests;
use crate::service_token::{Scope, ServiceToken};

/// What a customer's server shows for an exchange.
#[derive(Debug)]
pub struct AppCredential {
    /// The app it claims to be. Unverified until [`authenticate`].
    pub unverified_app: String,
    /// The app secret.
    pub secret: SecretString,
}

/// The proof that the caller holds the app's secret.
#[derive(Clone, Debug)]
pub struct Principal {
    app: Arc<App>,
}

impl Principal {
    /// The app that the caller acts for.
    #[must_use]
    pub const fn app(&self) -> &Arc<App> {
        &self.app
    }
}

impl From<&Authorized> for Principal {
    /// A visitor whom the app's own rule lets have a token.
    fn from(authorized: &Authorized) -> Self {
        Self { app: Arc::clone(authorized.app()) }
    }
}

/// Checks that a service token, whose secret was shown, may ask for session tokens of an app.
///
/// # Errors
/// As [`ServiceToken::allows`].
pub fn authorize(token: &ServiceToken, app: &Arc<App>, now: Timestamp) -> Result<Principal, Denial> {
    token.allows(Scope::CHATKIT_SESSION, Some(&app.id), now)?;
    Ok(Principal { app: Arc::clone(app) })
}

/// Checks an app secret. `app` is what the registry knows under the claimed id: an unknown app, an
/// app without secrets and a wrong secret give the same answer after the same work.
///
/// # Errors
/// [`Code::InvalidCredentials`].
pub fn authenticate(app: Option<&Arc<App>>, credential: &AppCredential) -> Result<Principal, Denial> {
    let known = app.and_then(|app| app.secrets.as_ref());
    match (SecretDigests::verify(known, &credential.secret), app) {
        (true, Some(app)) => Ok(Principal { app: Arc::clone(app) }),
        _ => Err(Code::InvalidCredentials.into()),
    }
}
