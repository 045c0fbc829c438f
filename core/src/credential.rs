//! Who is asking: a credential shown, and the proof of who it turned out to be.

use std::sync::Arc;

use secrecy::SecretString;

use crate::app::App;
use crate::authorize::Authorized;
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::id::WorkspaceId;
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
    workspaces: Vec<WorkspaceId>,
}

impl Principal {
    /// The app that the caller acts for.
    #[must_use]
    pub const fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The workspaces that the caller acts for (Orcheo), in order.
    #[must_use]
    pub fn workspaces(&self) -> &[WorkspaceId] {
        &self.workspaces
    }
}

impl From<&Authorized> for Principal {
    /// A visitor whom the app's own rule lets have a token.
    fn from(authorized: &Authorized) -> Self {
        let app = Arc::clone(authorized.app());
        Self { workspaces: app.workspace.iter().cloned().collect(), app }
    }
}

/// Checks that a service token, whose secret was shown, may ask for session tokens of an app.
///
/// # Errors
/// As [`ServiceToken::allows`] and [`ServiceToken::enters`].
pub fn authorize(token: &ServiceToken, app: &Arc<App>, now: Timestamp) -> Result<Principal, Denial> {
    token.allows(Scope::CHATKIT_SESSION, Some(&app.id), now)?;
    token.enters(app.workspace.as_ref())?;
    let workspaces = match &*token.workspaces {
        [] => app.workspace.iter().cloned().collect(),
        own => own.to_vec(),
    };
    Ok(Principal { app: Arc::clone(app), workspaces })
}

/// Checks an app secret. `app` is what the registry knows under the claimed id: an unknown app, an
/// app without secrets and a wrong secret give the same answer after the same work.
///
/// # Errors
/// [`Code::InvalidCredentials`].
pub fn authenticate(app: Option<&Arc<App>>, credential: &AppCredential) -> Result<Principal, Denial> {
    let known = app.and_then(|app| app.secrets.as_ref());
    match (SecretDigests::verify(known, &credential.secret), app) {
        (true, Some(app)) => Ok(Principal { app: Arc::clone(app), workspaces: Vec::new() }),
        _ => Err(Code::InvalidCredentials.into()),
    }
}
