//! `sidegate service-token`: what callers of the gate's own API show, made and ended at the store.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::json;
use sidegate_core::denial::Denial;
use sidegate_core::duration::{InvalidLifetime, parse_lifetime};
use sidegate_core::id::{AppId, ServiceTokenId, WorkspaceId};
use sidegate_core::service_token::{NewServiceToken, Scope};

use super::serve::control_runtime;
use super::store::open_registry;
use super::{ConfigArgs, Exit};
use crate::service_tokens::{Kept, ServiceTokens, Shown};
use crate::system::System;

#[derive(Debug, Subcommand)]
pub(super) enum ServiceTokenCommand {
    /// Make one; its secret is shown only here
    Create {
        /// Its name; a random one if not given
        #[arg(long)]
        id: Option<ServiceTokenId>,
        /// What it may do: admin:apps:read, admin:apps:write, admin:tokens:read, admin:tokens:write, admin:revoke,
        /// chatkit:session
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<Scope>,
        /// An app that it may do that with; all apps if none is given
        #[arg(long = "app", value_name = "ID")]
        apps: Vec<AppId>,
        /// A workspace of Orcheo whose apps it may do that with; all if none is given
        #[arg(long = "workspace", value_name = "ID")]
        workspaces: Vec<WorkspaceId>,
        /// How long it is good, such as 30d; for ever if not given
        #[arg(long, value_name = "SPAN", value_parser = parse_lifetime)]
        expires_in: Option<Duration>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show all, never their secrets
    List(ConfigArgs),
    /// Show one, never its secret
    Show(Named),
    /// Give one a new secret, which is shown only here
    Rotate {
        /// For how long the old secret is good beside the new one, such as 5m, or 0s
        #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = overlap)]
        overlap: Duration,
        /// How long it is good from now on; as before if not given
        #[arg(long, value_name = "SPAN", value_parser = parse_lifetime)]
        expires_in: Option<Duration>,
        #[command(flatten)]
        named: Named,
    },
    /// End one: it is refused within a second on every replica
    Revoke {
        /// Why, for those who look at it later
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        named: Named,
    },
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its name
    id: ServiceTokenId,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn overlap(text: &str) -> Result<Duration, InvalidLifetime> {
    if text == "0s" { Ok(Duration::ZERO) } else { parse_lifetime(text) }
}

pub(super) fn run(command: ServiceTokenCommand) -> Result<(), Exit> {
    use ServiceTokenCommand::{Create, List, Revoke, Rotate, Show};
    match command {
        Create { id, scopes, apps, workspaces, expires_in, config } => with(config, async |tokens| {
            let asked = NewServiceToken { id, scopes, apps, workspaces, lifetime: expires_in };
            print_with_secret(tokens.create(asked).await?);
            Ok(())
        }),
        List(config) => with(config, async |tokens| {
            let all = tokens.list().await?;
            let all: Vec<_> = all.iter().map(|token| Shown::new(token, None)).collect();
            println!("{:#}", json!({ "service_tokens": all }));
            Ok(())
        }),
        Show(Named { id, config }) => with(config, async |tokens| {
            print(&tokens.get(&id).await?, None);
            Ok(())
        }),
        Rotate { overlap, expires_in, named: Named { id, config } } => with(config, async |tokens| {
            print_with_secret(tokens.rotate(&id, overlap, expires_in).await?);
            Ok(())
        }),
        Revoke { reason, named: Named { id, config } } => with(config, async |tokens| {
            print(&tokens.revoke(&id, &reason).await?, None);
            Ok(())
        }),
    }
}

/// Does something with the service tokens of the store that the configuration names.
fn with(config: ConfigArgs, work: impl AsyncFnOnce(ServiceTokens) -> Result<(), Denial>) -> Result<(), Exit> {
    let settings = config.load()?.settings;
    let failed = |denial: Denial| Exit::Failure(denial.message.into());
    control_runtime()?.block_on(async {
        let registry = open_registry(&settings).await?;
        let tokens = ServiceTokens::open(registry, None, Arc::new(System), Arc::new(System)).await;
        work(tokens.map_err(|fault| failed(fault.into()))?).await.map_err(failed)
    })
}

fn print(token: &Kept, secret: Option<&SecretString>) {
    println!("{:#}", json!(Shown::new(token, secret)));
}

fn print_with_secret((token, secret): (Kept, SecretString)) {
    print(&token, Some(&secret));
    eprintln!("The secret is shown only here.");
}
