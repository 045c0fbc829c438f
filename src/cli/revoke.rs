//! `sidegate revoke`: tokens are refused from now on, before their time.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use sidegate_core::clock::Clock as _;
use sidegate_core::id::{AppId, EndUserId, TokenId};

use super::app::apps_of;
use super::serve::control_runtime;
use super::store::{check_reachable, open};
use super::token::read_stdin;
use super::{ConfigArgs, Exit};
use crate::revocations::{Resolved, Target, resolve};
use crate::system::System;

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
    let mut settings = args.config.clone().load()?.settings;
    check_reachable(&settings)?;
    let target = target(args)?;
    let Resolved { revocation, until, .. } = control_runtime()?.block_on(async {
        let stores = open(&settings).await?;
        let kept = apps_of(&mut settings, Arc::clone(&stores.registry)).await?.readable();
        let apps = settings.apps.iter().map(|configured| &configured.app).chain(kept.iter().map(AsRef::as_ref));
        let resolved = resolve(target, apps, System.now()).map_err(|denial| Exit::Failure(denial.message.into()))?;
        let kept = stores.state.revoke(&resolved.revocation, resolved.until).await;
        kept.map(|()| resolved).map_err(|fault| Exit::Failure(fault.to_string()))
    })?;
    println!("{:#}", json!({ "revoked": revocation, "kept_until": until.rfc3339_millis() }));
    Ok(())
}

fn target(args: RevokeArgs) -> Result<Target, Exit> {
    Ok(match (args.app, args.jti, args.end_user) {
        _ if args.token => Target::Token(read_stdin()?.trim().to_owned()),
        (None, ..) => Target::All,
        (Some(app), Some(jti), _) => Target::Id(app, jti),
        (Some(app), None, Some(end_user)) => Target::EndUser(app, end_user),
        (Some(app), None, None) => Target::App(app),
    })
}
