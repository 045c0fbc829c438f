//! `sidegate revoke`: tokens are refused from now on, before their time.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use sidegate_core::app::App;
use sidegate_core::clock::{Clock as _, Timestamp};
use sidegate_core::dialect::sigmic;
use sidegate_core::id::{AppId, EndUserId, TokenId};
use sidegate_core::revocation::Revocation;
use sidegate_core::secret::SecretDigest;
use sidegate_core::token::{CLOCK_LEEWAY, Claims, UnverifiedToken};

use super::serve::control_runtime;
use super::token::read_stdin;
use super::{ConfigArgs, Exit};
use crate::config::{Settings, StateSettings};
use crate::store;
use crate::system::System;

/// A revocation is kept for this long at least: tokens may be older than the `max_ttl` of today.
const KEPT_AT_LEAST: Duration = Duration::from_secs(31 * 24 * 3_600);

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// The app whose tokens are meant; alone: all of them
    #[arg(long, value_name = "ID", required_unless_present_any = ["all", "token"], conflicts_with_all = ["all", "token"])]
    app: Option<AppId>,
    /// One end user's tokens
    #[arg(long, value_name = "ID", requires = "app", conflicts_with = "jti")]
    end_user: Option<EndUserId>,
    /// One token, by its jti
    #[arg(long, value_name = "ID", requires = "app")]
    jti: Option<TokenId>,
    /// One token, read from standard input
    #[arg(long, conflicts_with = "all")]
    token: bool,
    /// Every token of every app
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn revoke(args: RevokeArgs) -> Result<(), Exit> {
    let settings = args.config.clone().load()?.settings;
    if matches!(settings.store.state, StateSettings::Memory) {
        let why = "store.state is \"memory\", which only the running program can reach: nothing was revoked";
        return Err(Exit::Usage(why.to_owned()));
    }
    let (revocation, until) = asked_for(args, &settings)?;
    control_runtime()?.block_on(async {
        let store = store::open(&settings.store).await.map_err(Exit::Failure)?;
        store.revoke(&revocation, until).await.map_err(|fault| Exit::Failure(fault.to_string()))
    })?;
    println!("{:#}", json!({ "revoked": revocation, "kept_until": until.rfc3339_millis() }));
    Ok(())
}

fn asked_for(args: RevokeArgs, settings: &Settings) -> Result<(Revocation, Timestamp), Exit> {
    let now = System.now();
    if args.token {
        return one_token(read_stdin()?.trim(), settings);
    }
    let Some(app) = args.app else {
        return Ok((Revocation::All { issued_before: now }, kept_until(now, apps(settings))));
    };
    let known = apps(settings).find(|known| known.id == app);
    let known = known.ok_or_else(|| Exit::Failure(format!("no app {} is configured", app.as_str())))?;
    let until = kept_until(now, [known]);
    let revocation = match (args.jti, args.end_user) {
        (Some(jti), _) => Revocation::Id { app, jti },
        (None, Some(end_user)) => Revocation::EndUser { app, end_user, issued_before: now },
        (None, None) => Revocation::App { app, issued_before: now },
    };
    Ok((revocation, until))
}

/// A token that its app's keys verify, by its digest; until it would be refused anyway.
fn one_token(text: &str, settings: &Settings) -> Result<(Revocation, Timestamp), Exit> {
    let claims = || {
        let token = UnverifiedToken::<sigmic::WireClaims<'_>>::parse(text).ok()?;
        let app = apps(settings).find(|app| app.id.as_str() == token.unverified_claims.app_id)?;
        Claims::try_from(token.verify(&app.token.as_ref()?.keys).ok()?).ok()
    };
    let claims = claims().ok_or_else(|| Exit::Failure("this is no token of a configured app".to_owned()))?;
    Ok((Revocation::Token { digest: SecretDigest::of(&text.into()) }, claims.refused_from()))
}

fn apps(settings: &Settings) -> impl Iterator<Item = &App> {
    settings.apps.iter().map(|(app, _)| app)
}

/// By then every token of these apps that was issued until now is over.
fn kept_until<'a>(now: Timestamp, apps: impl IntoIterator<Item = &'a App>) -> Timestamp {
    let longest = apps.into_iter().filter_map(|app| app.token.as_ref()).map(|policy| policy.max_ttl).max();
    now.plus(longest.unwrap_or_default().max(KEPT_AT_LEAST)).plus(CLOCK_LEEWAY)
}
