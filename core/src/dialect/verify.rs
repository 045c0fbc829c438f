//! From a token's text to an app and claims: what the token says unverified chooses the app, and with it
//! the keys; after that it is verified or nothing.

use super::{Dialect, chatbotkit, mitigate, orcheo, sigmic};
use crate::app::{App, TokenPolicy};
use crate::denial::{Code, Denial};
use crate::token::{CLOCK_LEEWAY, Claims, UnverifiedToken};

/// What an unverified token says of its app.
#[derive(Clone, Copy, Debug)]
pub enum UnverifiedTarget<'a> {
    /// Its id.
    App(&'a str),
    /// One of its workflows.
    Workflow(&'a str),
}

impl UnverifiedTarget<'_> {
    /// Whether it means this app.
    #[must_use]
    pub fn means(self, app: &App) -> bool {
        match self {
            Self::App(id) => app.id.as_str() == id,
            Self::Workflow(id) => id.parse().is_ok_and(|id| app.workflows.get(&id).is_some()),
        }
    }
}

impl Dialect {
    /// Verifies a token with the keys of the app that `find` knows under its target; `app` looks into
    /// what was found.
    ///
    /// # Errors
    /// [`Code::InvalidToken`].
    pub fn verify<R>(
        self,
        text: &str,
        find: impl FnOnce(UnverifiedTarget<'_>) -> Option<R>,
        app: impl Fn(&R) -> &App,
    ) -> Result<(R, Claims), Denial> {
        let (found, claims) = self.of_any_life(text, find, &app)?;
        check_life(app(&found), &claims)?;
        Ok((found, claims))
    }

    /// The same of a token that may be good for longer than its app allows.
    fn of_any_life<R>(
        self,
        text: &str,
        find: impl FnOnce(UnverifiedTarget<'_>) -> Option<R>,
        app: &impl Fn(&R) -> &App,
    ) -> Result<(R, Claims), Denial> {
        let known = |target: UnverifiedTarget<'_>| {
            let found = find(target).filter(|found| app(found).dialect == self);
            found.ok_or_else(|| Denial::from(Code::InvalidToken))
        };
        match self {
            Self::Sigmic => {
                let token = UnverifiedToken::<sigmic::WireClaims<'_>>::parse(text)?;
                let found = known(UnverifiedTarget::App(&token.unverified_claims.app_id))?;
                let claims = Claims::try_from(token.verify(policy(app(&found))?.keys.verifying())?)?;
                Ok((found, claims))
            }
            Self::Orcheo => {
                let token = UnverifiedToken::<orcheo::WireClaims<'_>>::parse(text)?;
                let found = known(UnverifiedTarget::Workflow(&token.unverified_claims.chatkit.workflow_id))?;
                let claims = token.verify(policy(app(&found))?.keys.verifying())?.into_claims(app(&found))?;
                Ok((found, claims))
            }
            Self::Mitigate => {
                let token = UnverifiedToken::<mitigate::WireClaims<'_>>::parse(text)?;
                let found = known(UnverifiedTarget::App(&token.unverified_claims.workspace_id))?;
                let claims = Claims::try_from(token.verify(policy(app(&found))?.keys.verifying())?)?;
                Ok((found, claims))
            }
            Self::ChatBotKit => {
                let token = UnverifiedToken::<chatbotkit::WireClaims<'_>>::parse(text)?;
                let found = known(UnverifiedTarget::App(&token.unverified_claims.user_id))?;
                let claims = Claims::try_from(token.verify(policy(app(&found))?.keys.verifying())?)?;
                Ok((found, claims))
            }
            Self::Chat9 => Err(Code::InvalidToken.into()),
        }
    }

    /// As [`Self::verify`], for a token of any dialect, without [`check_life`]: for what is to be revoked, and may be allowed again
    /// some day, and where a token stands for its session, whatever its own life.
    ///
    /// # Errors
    /// [`Code::InvalidToken`].
    pub fn verify_any<'a>(text: &str, apps: &[&'a App]) -> Result<(&'a App, Claims), Denial> {
        let verified = Self::ALL.iter().find_map(|dialect| {
            let find = |target: UnverifiedTarget<'_>| apps.iter().copied().find(|app| target.means(app));
            dialect.of_any_life(text, find, &|app: &&'a App| *app).ok()
        });
        verified.ok_or_else(|| Code::InvalidToken.into())
    }
}

/// Refuses a token that is good for longer than its app allows: it was issued when the app allowed more, or by another who
/// has the key, and may outlive what is kept of its revocation.
///
/// # Errors
/// [`Code::InvalidToken`].
pub fn check_life(app: &App, claims: &Claims) -> Result<(), Denial> {
    let latest = claims.issued_at.plus(policy(app)?.max_ttl).plus(CLOCK_LEEWAY);
    if claims.expires_at > latest {
        return Err(Denial::because(Code::InvalidToken, "The token is good for longer than its app allows"));
    }
    Ok(())
}

fn policy(app: &App) -> Result<&TokenPolicy, Denial> {
    app.token.as_ref().ok_or_else(|| Code::InvalidToken.into())
}
