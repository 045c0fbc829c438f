//! Whether a page's visitor may have a token, and who that is: the app's rule on what the browser shows to
//! the customer's own site. The gate asks anew each time; a token is never the answer to "who is it".

pub(crate) mod cookie;
mod jwt;

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, StatusCode};
use secrecy::SecretString;

pub use self::jwt::JwtRule;
use crate::app::App;
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::id::EndUserId;
use crate::secret::SecretDigests;

/// The field in which a customer's server names the end user.
pub const X_END_USER_ID: HeaderName = HeaderName::from_static("x-end-user-id");

/// An app's rule.
#[derive(Clone, Debug)]
pub enum Authorize {
    /// Everybody may, and nobody is known.
    Anonymous,
    /// Who shows a secret of the customer's may; nobody is known, unless a field says who it is.
    Secret(SecretRule),
    /// Who shows a JWT of the customer's own may; a claim says who it is.
    Jwt(JwtRule),
    /// A server of the customer's decides.
    Request(RequestRule),
}

/// Where a browser carries what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A header field; of `Authorization` what follows `Bearer`.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
}

/// A secret that stands in a field or cookie.
#[derive(Clone, Debug)]
pub struct SecretRule {
    /// Where.
    pub carrier: Carrier,
    /// Its digest, or two during a rotation.
    pub digests: SecretDigests,
    /// The field that names the end user. Whoever has the secret is believed, so this is for a proxy of
    /// the customer's that sets both, never for a secret that a page knows.
    pub end_user: Option<HeaderName>,
}

/// A request to a server of the customer's: 2xx means yes, and its `X-End-User-Id` says who it is.
#[derive(Clone, Debug)]
pub struct RequestRule {
    /// The name of its upstream.
    pub upstream: String,
    /// The path to ask for with GET.
    pub path: String,
    /// The browser's fields that it is shown.
    pub headers: Vec<HeaderName>,
    /// The session cookie: who comes without it is not asked about. `None`: every visitor is.
    pub cookie: Option<String>,
}

/// The proof that a visitor may have a token of an app.
#[derive(Clone, Debug)]
pub struct Authorized {
    app: Arc<App>,
    end_user: Option<EndUserId>,
}

impl Authorized {
    /// The app.
    #[must_use]
    pub const fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Who it is; `None` for somebody whom nobody knows.
    #[must_use]
    pub const fn end_user(&self) -> Option<&EndUserId> {
        self.end_user.as_ref()
    }
}

/// What a rule says of a request's head.
#[derive(Debug)]
pub enum Verdict {
    /// Yes.
    Yes(Authorized),
    /// A server of the customer's must be asked.
    Ask(Question),
}

/// What a server of the customer's must be asked.
#[derive(Debug)]
pub struct Question(Arc<App>);

impl Authorize {
    /// Whether it can say who somebody is.
    #[must_use]
    pub const fn names_end_users(&self) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Secret(rule) => rule.end_user.is_some(),
            Self::Jwt(_) | Self::Request(_) => true,
        }
    }

    /// The fields that it looks at, which are for the gate and the customer's server alone.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let (carrier, end_user, asked) = match self {
            Self::Anonymous => (None, None, &[][..]),
            Self::Secret(rule) => (Some(&rule.carrier), rule.end_user.as_ref(), &[][..]),
            Self::Jwt(rule) => (Some(&rule.carrier), None, &[][..]),
            Self::Request(rule) => (None, None, &*rule.headers),
        };
        let carried = carrier.and_then(|carrier| match carrier {
            Carrier::Header(name) => Some(name),
            Carrier::Cookie(_) => None,
        });
        carried.into_iter().chain(end_user).chain(asked)
    }

    /// Whether it looks at cookies, so that pages need leave to send theirs.
    #[must_use]
    pub fn uses_cookies(&self) -> bool {
        let carrier = match self {
            Self::Anonymous => return false,
            Self::Secret(rule) => &rule.carrier,
            Self::Jwt(rule) => &rule.carrier,
            Self::Request(rule) => return rule.cookie.is_some() || rule.headers.contains(&http::header::COOKIE),
        };
        matches!(carrier, Carrier::Cookie(_))
    }
}

/// Asks the rule of an app about a request.
///
/// # Errors
/// [`Code::NotFound`] for an app that hands out no tokens to pages; [`Code::AuthRequired`] where nothing is
/// shown, [`Code::NotAuthorized`] where it is not right.
pub fn authorize(app: &Arc<App>, headers: &HeaderMap, now: Timestamp) -> Result<Verdict, Denial> {
    let end_user = match app.authorize.as_ref().ok_or(Code::NotFound)? {
        Authorize::Anonymous => None,
        Authorize::Secret(rule) => rule.check(headers)?,
        Authorize::Jwt(rule) => Some(rule.check(headers, now)?),
        Authorize::Request(rule) => {
            if let Some(cookie) = &rule.cookie {
                cookie::one(headers, cookie)?.ok_or(Code::AuthRequired)?;
            }
            return Ok(Verdict::Ask(Question(Arc::clone(app))));
        }
    };
    Ok(Verdict::Yes(Authorized { app: Arc::clone(app), end_user }))
}

impl Question {
    /// The rule that asks it.
    #[must_use]
    pub fn rule(&self) -> Option<&RequestRule> {
        match &self.0.authorize {
            Some(Authorize::Request(rule)) => Some(rule),
            _ => None,
        }
    }

    /// What the answer means.
    ///
    /// # Errors
    /// [`Code::AuthRequired`] after 401, [`Code::NotAuthorized`] after 403;
    /// [`Code::AuthorizationUnavailable`] after anything else that is not 2xx, and for a name that is none.
    pub fn answered(self, status: StatusCode, headers: &HeaderMap) -> Result<Authorized, Denial> {
        match status {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED => return Err(Code::AuthRequired.into()),
            StatusCode::FORBIDDEN => return Err(Code::NotAuthorized.into()),
            _ => return Err(Code::AuthorizationUnavailable.into()),
        }
        let end_user = named(headers, &X_END_USER_ID).map_err(|()| Code::AuthorizationUnavailable)?;
        Ok(Authorized { app: self.0, end_user })
    }
}

impl SecretRule {
    fn check(&self, headers: &HeaderMap) -> Result<Option<EndUserId>, Denial> {
        let shown = self.carrier.shown(headers)?.ok_or(Code::AuthRequired)?;
        if !SecretDigests::verify(Some(&self.digests), &SecretString::from(shown)) {
            return Err(Code::NotAuthorized.into());
        }
        let Some(name) = &self.end_user else { return Ok(None) };
        let rule = || Denial::because(Code::InvalidRequest, "The field that names the end user is refused");
        named(headers, name).map_err(|()| rule())
    }
}

/// The end user that one field names; `None` without it or if it is empty.
fn named(headers: &HeaderMap, name: &HeaderName) -> Result<Option<EndUserId>, ()> {
    let mut fields = headers.get_all(name).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    let text = std::str::from_utf8(field.as_bytes()).map_err(|_| ())?;
    if fields.next().is_some() {
        return Err(());
    }
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| ()) }
}

impl Carrier {
    /// What stands there; `None` if nothing does.
    ///
    /// # Errors
    /// [`Code::InvalidAuthFormat`] if it stands there twice, or is no text.
    fn shown<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a str>, Denial> {
        let name = match self {
            Self::Cookie(name) => return cookie::one(headers, name),
            Self::Header(name) if name == AUTHORIZATION => return crate::dialect::orcheo::bearer(headers),
            Self::Header(name) => name,
        };
        let mut fields = headers.get_all(name).iter();
        let Some(field) = fields.next() else { return Ok(None) };
        let text = field.to_str().ok().filter(|_| fields.next().is_none());
        text.map(Some).ok_or_else(|| Code::InvalidAuthFormat.into())
    }
}

#[cfg(test)]
mod tests;
