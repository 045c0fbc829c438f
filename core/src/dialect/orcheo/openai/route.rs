//! OpenAI's own routes, for customers' servers on the private listener: a client of OpenAI's whose base URL is the
//! gate's finds them.

use std::fmt;

use http::Method;

use super::answer::CANCEL;
use crate::denial::{Code, Denial};

/// What they begin with.
pub const BASE: &str = "/v1/";

const SESSIONS: &str = "/v1/chatkit/sessions";
const CLIENT_SECRETS: &str = "/v1/realtime/client_secrets";

/// A call of a customer's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A new ChatKit session.
    Create,
    /// The end of one.
    Cancel(SessionId),
    /// A new Realtime client secret.
    ClientSecret,
}

/// The id of a ChatKit session: `cksess_` and 1 to 128 letters, digits and underscores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("cksess_")?;
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        ((1..=128).contains(&name.len()) && plain).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Call {
    /// The path, for logs.
    #[must_use]
    pub const fn template(&self) -> &'static str {
        match self {
            Self::Create => SESSIONS,
            Self::Cancel(_) => "/v1/chatkit/sessions/{id}/cancel",
            Self::ClientSecret => CLIENT_SECRETS,
        }
    }
}

/// The call of a path, which is compared as sent.
///
/// # Errors
/// [`Code::NotFound`], [`Code::MethodNotAllowed`].
pub fn route(method: &Method, path: &str) -> Result<Call, Denial> {
    let call = match path {
        SESSIONS => Call::Create,
        CLIENT_SECRETS => Call::ClientSecret,
        _ => {
            let below = path.strip_prefix(SESSIONS).and_then(|rest| rest.strip_prefix('/'));
            let id = below.and_then(|rest| rest.strip_suffix(CANCEL)).and_then(SessionId::parse);
            Call::Cancel(id.ok_or(Code::NotFound)?)
        }
    };
    if method == Method::POST { Ok(call) } else { Err(Denial::method_not_allowed("POST")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_are_found_and_tricks_are_not() {
        let found = |path: &str| route(&Method::POST, path).map(|call| call.template()).map_err(|denial| denial.code);
        assert_eq!(found("/v1/chatkit/sessions"), Ok("/v1/chatkit/sessions"));
        assert_eq!(found("/v1/realtime/client_secrets"), Ok("/v1/realtime/client_secrets"));
        assert_eq!(found("/v1/chatkit/sessions/cksess_aB_1/cancel"), Ok("/v1/chatkit/sessions/{id}/cancel"));
        for id in ["", "cksess_", "aB", "cksess_a/../b", "cksess_a%2e", "cksess_a%2F..", "..", "cksess_a?b", "cksess_é"]
        {
            assert_eq!(found(&format!("/v1/chatkit/sessions/{id}/cancel")), Err(Code::NotFound), "{id}");
        }
        let long = format!("/v1/chatkit/sessions/cksess_{}/cancel", "a".repeat(129));
        for path in ["/v1/chatkit", "/v1/chatkit/sessions/", "/v1/chatkit/sessions/cksess_a", "/v1/models", &long] {
            assert_eq!(found(path), Err(Code::NotFound), "{path}");
        }
        let got = route(&Method::GET, "/v1/chatkit/sessions").expect_err("POST");
        assert_eq!((got.code, got.allow), (Code::MethodNotAllowed, Some("POST")));
    }
}
