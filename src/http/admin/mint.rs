//! `/v1/apps/{app}/…`: tokens that a vendor lets its customer sign, made for the customer's server. Callers show
//! the app's secret or a service token for it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use http::request::Parts;
use secrecy::SecretString;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo::bearer;
use sidegate_core::dialect::{chat9, mitigate};
use sidegate_core::id::AppId;
use sidegate_core::secret::SecretDigests;
use sidegate_core::service_token::Scope;

use super::{Answered, JsonBody, Refused, TheGate};
use crate::gate::Gate;
use crate::http::convert;
use crate::registry::Registered;

/// Who calls, for the app of the path.
pub(super) struct Minter {
    registered: Arc<Registered>,
}

impl FromRequestParts<Arc<Gate>> for Minter {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, gate: &Arc<Gate>) -> Result<Self, Refused> {
        const RULE: &str = "Authorization must be `Bearer` and the app's secret or a service token";
        let shown = bearer(&parts.headers).map_err(|denial| Denial::because(denial.code, RULE))?;
        let secret = SecretString::from(shown.ok_or(Code::AuthRequired)?);
        let Path(id) = Path::<String>::from_request_parts(parts, gate).await.map_err(|_| Code::NotFound)?;
        let registered = gate.registry.load().app(&id).cloned();
        let secrets = registered.as_ref().and_then(|registered| registered.app.secrets.as_ref());
        if !SecretDigests::verify(secrets, &secret) {
            let token = gate.service_tokens.authenticate(&secret)?;
            // Whether there is such an app is told to those alone who may know.
            let named = AppId::parse(&id).ok();
            token.allows(Scope::TOKENS_MINT, named.as_ref().or(token.apps.first()), gate.now())?;
        }
        Ok(Self { registered: registered.ok_or(Code::NotFound)? })
    }
}

/// `POST /v1/apps/{app}/identity-tokens`.
pub(super) async fn identity_token(minter: Minter, State(gate): TheGate, JsonBody(body): JsonBody) -> Answered {
    let keys = minter.registered.app.bot.identity.as_ref().ok_or(Code::IdentityNotConfigured)?;
    let asked = chat9::parse_mint(&body)?;
    let (token, expires_at) = chat9::mint(&asked, keys, gate.now())?;
    Ok(convert::response(chat9::identity_token(&token, expires_at)?).map(Body::from))
}

/// `POST /v1/apps/{app}/jwe-tokens`.
pub(super) async fn jwe_token(minter: Minter, State(gate): TheGate, JsonBody(body): JsonBody) -> Answered {
    let keys = minter.registered.app.widget.minting.clone().ok_or(Code::IdentityNotConfigured)?;
    let mitigate::Asked { user_id, access_token } = mitigate::parse_mint(&body)?;
    let jti = mitigate::new_jti(&*gate.entropy)?;
    let (now, entropy) = (gate.now(), Arc::clone(&gate.entropy));
    let made = gate.rsa.run(move || mitigate::mint(&keys, &user_id, access_token.as_ref(), &jti, now, &*entropy));
    let (token, expires_at) = made.await??;
    Ok(convert::response(mitigate::minted(&token, expires_at)?).map(Body::from))
}
