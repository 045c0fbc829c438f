//! `authority = "upstream"` and `[apps.trade]`: the upstream makes the tokens, the gate fetches them.

use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::orcheo::{Trade, Vendor};

use super::layered::parsers::{duration, one_of};
use super::layered::{Faults, Node, Reader, SecretSource};
use super::openai::{read_realtime, read_session};
use super::settings::{Resolve, secret};
use super::token::TokenOf;

/// For all attempts at one token.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The variable in which the vendor's guide keeps the credential.
const fn variable(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Orcheo => "ORCHEO_SERVICE_TOKEN",
        Vendor::OpenAi => "OPENAI_API_KEY",
    }
}

/// `None` where the gate signs, as it does where it passes an API on; `Some(None)` with a problem.
pub(super) fn read_authority(table: &Reader<'_>, of: TokenOf<'_>, resolve: &Resolve<'_>) -> Option<Option<Trade>> {
    let upstream = table.or("authority", one_of(&[("local", false), ("upstream", true)]), false);
    let vendor = table.optional("vendor", one_of(&Vendor::ALL.map(|vendor| (vendor.name(), vendor))));
    if !upstream {
        for key in ["vendor", "trade"] {
            if table.node(key).is_some() {
                table.problem(key, "is for authority = \"upstream\"");
            }
        }
        return None;
    }
    if of.dialect == Some(Dialect::ChatBotKit) {
        for key in ["vendor", "trade"] {
            if table.node(key).is_some() {
                table.problem(key, "is for dialect \"orcheo\"");
            }
        }
        return None;
    }
    if of.dialect != Some(Dialect::Orcheo) {
        table.problem("authority", "\"upstream\" is for dialects \"orcheo\" and \"chatbotkit\"");
    }
    if table.node("token").is_some() {
        table.problem("token", "is for authority = \"local\": the upstream makes the tokens");
    }
    let trade = table.section("trade");
    let vendor = vendor.unwrap_or(Vendor::Orcheo);
    let authorization = read_credential(&trade, vendor, resolve);
    let timeout = trade.or("timeout", duration, TIMEOUT);
    let (session, realtime) = (read_session(&trade), read_realtime(&trade));
    if vendor != Vendor::OpenAi {
        for key in ["session", "realtime"] {
            if trade.node(key).is_some() {
                trade.problem(key, "is for vendor = \"openai\"");
            }
        }
    }
    trade.finish();
    Some(authorization.map(|authorization| Trade { vendor, authorization, timeout, session, realtime }))
}

/// Whether an app of ChatBotKit's passes the vendor's API on. What else stands there, [`read_authority`] tells.
pub(super) fn is_passed(table: &Reader<'_>, dialect: Option<Dialect>) -> bool {
    let says_so = table.node("authority").and_then(Node::as_text) == Some("upstream");
    dialect == Some(Dialect::ChatBotKit) && says_so
}

/// The vendor of an app whose table is not read yet.
pub(super) fn vendor_of(table: &Reader<'_>) -> Vendor {
    let named = table.node("vendor").and_then(Node::as_text);
    Vendor::ALL.into_iter().find(|vendor| named == Some(vendor.name())).unwrap_or(Vendor::Orcheo)
}

fn read_credential(trade: &Reader<'_>, vendor: Vendor, resolve: &Resolve<'_>) -> Option<HeaderValue> {
    let parse = |node: &Node| -> Result<_, Faults> { Ok(bearer(&secret(resolve)(node)?)?) };
    if trade.node("credential").is_none()
        && let Ok(found) = resolve(&SecretSource::Env(variable(vendor).to_owned()))
    {
        return bearer(&found).map_err(|rule| trade.problem("credential", rule)).ok();
    }
    trade.required("credential", parse)
}

/// `Bearer` and the token (RFC 6750 section 2.1).
fn bearer(token: &SecretString) -> Result<HeaderValue, &'static str> {
    const RULE: &str = "must be a token as it stands behind `Bearer`: letters, digits and punctuation, no spaces";
    if !token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(RULE);
    }
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| RULE)?;
    value.set_sensitive(true);
    Ok(value)
}
