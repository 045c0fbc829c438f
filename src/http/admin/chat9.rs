//! `/tenants/me/kyc/…`: the identity secret of a bot, in Chat9's words. Where the vendor knows the caller's tenant,
//! the gate asks for `bot_id`, or takes the only one that the service token is for.

use axum::extract::State;
use http::{StatusCode, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sidegate_core::clock::Timestamp;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chat9::{IdentityKeys, PREVIOUS_SECRET, Query};
use sidegate_core::id::AppId;
use sidegate_core::service_token::Scope;

use super::{Answered, Caller, Nothing, Strict, TheGate, answered};
use crate::gate::Gate;

/// The bot that a query names, if the caller may do this to it.
fn bot(caller: &Caller, gate: &Gate, uri: &Uri, scope: &str) -> Result<AppId, Denial> {
    let registry = gate.registry.load();
    let only = || match &*caller.token.apps {
        [only] => Some(only.clone()),
        [] => registry.only_of(Dialect::Chat9).map(|only| only.app.id.clone()),
        _ => None,
    };
    let named = match Query::parse(uri.query())?.unverified_bot {
        Some(text) => AppId::parse(&text).ok(),
        None => only(),
    };
    caller.may(scope, named.as_ref().or(caller.token.apps.first()))?;
    let is_bot = |id: &AppId| registry.app(id.as_str()).is_some_and(|found| found.app.dialect == Dialect::Chat9);
    named.filter(is_bot).ok_or_else(|| Code::BotNotFound.into())
}

/// A secret, which is shown once.
#[derive(Serialize)]
struct Made<'a> {
    secret_key: &'a str,
    message: &'static str,
}

fn made(secret: &SecretString) -> Answered {
    let message = "Store this securely. It will not be shown again.";
    answered(StatusCode::OK, &Made { secret_key: secret.expose_secret(), message })
}

pub(super) async fn generate(caller: Caller, State(gate): TheGate, uri: Uri, _: Strict<Nothing>) -> Answered {
    let id = bot(&caller, &gate, &uri, Scope::APPS_WRITE)?;
    made(&gate.apps.new_identity(&id).await?.1)
}

pub(super) async fn rotate(caller: Caller, State(gate): TheGate, uri: Uri, _: Strict<Nothing>) -> Answered {
    let id = bot(&caller, &gate, &uri, Scope::APPS_WRITE)?;
    made(&gate.apps.rotate_identity(&id, PREVIOUS_SECRET).await?.1)
}

#[derive(Serialize)]
struct Status {
    has_secret: bool,
    /// The part of identified sessions among those opened in seven days; null if there were none.
    identified_session_rate_7d: Option<f64>,
    last_identified_session: Option<String>,
    masked_secret_hint: Option<String>,
}

pub(super) async fn status(caller: Caller, State(gate): TheGate, uri: Uri) -> Answered {
    /// Six days and what there is of today.
    const SINCE: u64 = 6 * 24 * 3_600;
    let id = bot(&caller, &gate, &uri, Scope::APPS_READ)?;
    let since = Timestamp::from_seconds(gate.now().seconds().saturating_sub(SINCE));
    let counts = gate.store.session_counts(&id, since).await?;
    let registry = gate.registry.load();
    let keys = registry.app(id.as_str()).and_then(|found| found.app.bot.identity.as_ref());
    let status = Status {
        has_secret: keys.is_some(),
        identified_session_rate_7d: rate(counts.identified, counts.all),
        last_identified_session: counts.last_identified.and_then(Timestamp::rfc3339_millis),
        masked_secret_hint: keys.map(IdentityKeys::hint).map(|hint| format!("****{hint}")),
    };
    answered(StatusCode::OK, &status)
}

/// A part of a whole, to four places.
fn rate(part: u64, whole: u64) -> Option<f64> {
    let hundredths_of_percent = part.saturating_mul(10_000).checked_div(whole)?;
    u32::try_from(hundredths_of_percent).ok().map(|rate| f64::from(rate) / 10_000.0)
}
