//! `sidegate token inspect`: what a token says, and whether its app would take it.

use std::io::Read;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use sidegate_core::app::App;
use sidegate_core::clock::{Clock, Timestamp};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{Dialect, check_life};
use sidegate_core::token::UnverifiedToken;

use super::app::apps_of;
use super::serve::control_runtime;
use super::store::open_registry;
use super::{ConfigArgs, Exit};
use crate::config::{Settings, StateSettings};
use crate::system::System;

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The token, or `-` to read it from standard input
    token: String,
    #[command(flatten)]
    config: ConfigArgs,
}

/// A token is some hundred bytes; more on standard input is not read.
const MAX_INPUT: u64 = 64 * 1024;

pub(super) fn inspect(args: InspectArgs) -> Result<(), Exit> {
    let text = if args.token == "-" { read_stdin()? } else { args.token };
    let text = text.trim();
    let unverified = UnverifiedToken::<Value>::parse(text).map_err(|_| {
        Exit::Failure(
            "this is no widget token: three parts in base64url, signed with HS256, RS256, ES256 or EdDSA".into(),
        )
    })?;
    let loaded = if args.config.config.is_empty() { None } else { Some(args.config.load()?) };
    let verified = match loaded {
        None => json!("not checked: give --config to check it with its app's keys"),
        Some(loaded) => verdict(loaded.settings, text)?,
    };
    let claims = &unverified.unverified_claims;
    let report = json!({
        "claims": claims,
        "issued": time(claims, "iat"),
        "expires": time(claims, "exp"),
        "accepted": verified,
    });
    println!("{report:#}");
    Ok(())
}

pub(super) fn read_stdin() -> Result<String, Exit> {
    let mut text = String::new();
    let read = std::io::stdin().take(MAX_INPUT).read_to_string(&mut text);
    read.map_err(|fault| Exit::Failure(format!("cannot read the token: {fault}")))?;
    Ok(text)
}

fn time(claims: &Value, name: &str) -> Option<String> {
    Timestamp::from_seconds(claims.get(name)?.as_u64()?).rfc3339_millis()
}

/// What the gate would say of the token itself; origin and limits depend on the request.
fn verdict(mut settings: Settings, text: &str) -> Result<Value, Exit> {
    let configured: Vec<_> = settings.apps.iter().map(|configured| &configured.app).collect();
    let verdict = match check(text, &configured) {
        Some(verdict) => Some(verdict),
        None => check(text, &kept_apps(&mut settings)?.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
    };
    Ok(match verdict.unwrap_or_else(|| Err(Code::InvalidToken.into())) {
        Ok(()) => json!(true),
        Err(denial) => json!(format!("no: {}", denial.message)),
    })
}

/// `None` if none of their keys verifies it.
fn check(text: &str, apps: &[&App]) -> Option<Result<(), Denial>> {
    let (app, claims) = Dialect::verify_any(text, apps).ok()?;
    Some(check_life(app, &claims).and_then(|()| claims.check_times(System.now())))
}

/// Apps of the registry that are served; none if there is no store yet, and none is made.
pub(super) fn kept_apps(settings: &mut Settings) -> Result<Vec<Arc<App>>, Exit> {
    let none = match &settings.store.state {
        StateSettings::Memory => true,
        StateSettings::Embedded { path } => !path.exists(),
        StateSettings::Redis(_) => false,
    };
    if none && !settings.store.registry.is_apart() {
        return Ok(Vec::new());
    }
    control_runtime()?.block_on(async {
        let registry = open_registry(settings).await?;
        Ok(apps_of(settings, registry).await?.enabled())
    })
}
