//! `sidegate token inspect`: what a token says, and whether its app would take it.

use std::io::Read;

use clap::Args;
use serde_json::{Value, json};
use sidegate_core::clock::{Clock, Timestamp};
use sidegate_core::dialect::sigmic;
use sidegate_core::token::{Claims, UnverifiedToken};

use super::{ConfigArgs, Exit};
use crate::config::Loaded;
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
    let verified = loaded.map_or_else(
        || json!("not checked: give --config to check it with its app's keys"),
        |loaded| verdict(&loaded, text),
    );
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
fn verdict(loaded: &Loaded, text: &str) -> Value {
    let check = || {
        let token = UnverifiedToken::<sigmic::WireClaims<'_>>::parse(text)?;
        let id = &*token.unverified_claims.app_id;
        let app = loaded.settings.apps.iter().map(|configured| &configured.app).find(|app| app.id.as_str() == id);
        let policy = app.and_then(|app| app.token.as_ref()).ok_or(sidegate_core::denial::Code::InvalidToken)?;
        Claims::try_from(token.verify(&policy.keys)?)?.check_times(System.now())
    };
    match check() {
        Ok(()) => json!(true),
        Err(denial) => json!(format!("no: {}", denial.message)),
    }
}
