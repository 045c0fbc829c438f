//! `sidegate token mint`: a token that a vendor lets its customer sign, for a user of the customer's.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use sidegate_core::app::App;
use sidegate_core::clock::{Clock as _, Timestamp};
use sidegate_core::dialect::chat9::{self, Asked, UserFields};
use sidegate_core::duration::parse_lifetime;
use sidegate_core::id::AppId;

use super::token::kept_apps;
use super::{ConfigArgs, Exit};
use crate::system::System;

#[derive(Debug, Args)]
pub(super) struct MintArgs {
    /// The app
    #[arg(long)]
    app: AppId,
    /// Who the token says that a visitor is: the customer's own id of a user
    #[arg(long, value_name = "ID")]
    user: String,
    /// The user's address
    #[arg(long)]
    email: Option<String>,
    /// The user's name
    #[arg(long)]
    name: Option<String>,
    /// What the user pays for, such as pro
    #[arg(long)]
    plan_tier: Option<String>,
    /// A label of the customer's own
    #[arg(long)]
    audience_tag: Option<String>,
    /// Whom the user works for
    #[arg(long)]
    company: Option<String>,
    /// The user's language, such as en-US
    #[arg(long)]
    locale: Option<String>,
    /// How long it is good, from 60s to 1h
    #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = |text: &str| parse_lifetime(text))]
    ttl: std::time::Duration,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn mint(args: MintArgs) -> Result<(), Exit> {
    let mut settings = args.config.load()?.settings;
    let configured = settings.apps.iter().position(|configured| configured.app.id == args.app);
    let app: Arc<App> = match configured {
        Some(place) => settings.apps.swap_remove(place).app.into(),
        None => {
            let mut kept = kept_apps(&mut settings)?.into_iter();
            kept.find(|app| app.id == args.app).ok_or_else(|| Exit::Failure("there is no such app".into()))?
        }
    };
    let keys = app.bot.identity.as_ref();
    let keys = keys.ok_or_else(|| Exit::Failure("the app has no identity secret: [apps.identity] secret".into()))?;
    let fields = UserFields {
        email: args.email,
        name: args.name,
        plan_tier: args.plan_tier,
        audience_tag: args.audience_tag,
        company: args.company,
        locale: args.locale,
    };
    let asked = Asked::new(&args.user, fields, args.ttl).map_err(|denial| Exit::Usage(denial.message.into()))?;
    let minted = chat9::mint(&asked, keys, System.now()).map_err(|denial| Exit::Failure(denial.message.into()))?;
    let expires_at = Timestamp::rfc3339_millis(minted.1);
    println!("{:#}", json!({ "identity_token": minted.0, "expires_at": expires_at }));
    Ok(())
}
