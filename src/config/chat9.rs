//! What apps of the dialect "chat9" have beside: identity secrets; and those of "mitigate", too: sessions and frames.

use std::time::Duration;

use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chat9::{Bot, IdentityKeys};
use sidegate_core::origin::OriginSet;
use sidegate_core::session::SessionPolicy;

use super::app::origin_set;
use super::layered::parsers::{boolean, duration, string_list};
use super::layered::{Faults, Node, Reader};
use super::settings::{KeyUses, Resolve, secret};

/// `[apps.identity]`.
pub(super) fn read_bot(
    table: &Reader<'_>,
    dialect: Option<Dialect>,
    app: &str,
    resolve: &Resolve<'_>,
    keys: &mut KeyUses,
) -> Bot {
    if !is_of_sessions(table, dialect, "identity") || dialect != Some(Dialect::Chat9) {
        return Bot::default();
    }
    let identity = table.section("identity");
    let current = identity.optional("secret", secret(resolve));
    let previous = identity.optional("previous_secret", secret(resolve));
    let require_identity = identity.or("required", boolean, false);
    if identity.node("secret").is_none() {
        for key in ["previous_secret", "required"] {
            if identity.node(key).is_some() {
                identity.problem(key, "needs a `secret` beside it");
            }
        }
    }
    let read = current.map(|current| IdentityKeys::new(&current, previous.as_ref()));
    let read = read.transpose().unwrap_or_else(|rule| {
        identity.problem("secret", &rule.to_string());
        None
    });
    for fingerprint in read.iter().flat_map(IdentityKeys::fingerprints) {
        if let Err(clash) = keys.claim_identity_secret(fingerprint, app) {
            identity.problem("secret", &clash);
        }
    }
    identity.finish();
    Bot { identity: read, require_identity }
}

/// `[apps.sessions]`.
pub(super) fn read_sessions(table: &Reader<'_>, dialect: Option<Dialect>) -> SessionPolicy {
    let default = dialect.map(SessionPolicy::of).unwrap_or_default();
    if !is_of_sessions(table, dialect, "sessions") {
        return default;
    }
    let sessions = table.section("sessions");
    let idle = sessions.or("idle", duration, default.idle);
    let max_age = sessions.or("max_age", duration, default.max_age);
    let resume = sessions.or("resume", boolean, default.resume);
    if sessions.node("resume").is_some() && dialect != Some(Dialect::Chat9) {
        sessions.problem("resume", "is for dialect \"chat9\"");
    }
    for (key, span) in [("idle", idle), ("max_age", max_age)] {
        if span < SHORTEST {
            sessions.problem(key, "must be 1m or more");
        }
    }
    sessions.finish();
    SessionPolicy { idle, max_age, resume }
}

/// Activity is noted once in a while, see `src/sessions/`; a session must outlive that.
const SHORTEST: Duration = Duration::from_secs(60);

/// `frame_origins`.
pub(super) fn read_frame_origins(table: &Reader<'_>, dialect: Option<Dialect>) -> OriginSet {
    if !is_of_sessions(table, dialect, "frame_origins") {
        return OriginSet::default();
    }
    let written = |node: &Node| -> Result<_, Faults> { Ok(origin_set(&string_list(node)?)?) };
    table.optional("frame_origins", written).unwrap_or_default()
}

/// Whether the dialect has sessions; if not, `key` has no business there.
fn is_of_sessions(table: &Reader<'_>, dialect: Option<Dialect>, key: &'static str) -> bool {
    let has = dialect.is_some_and(Dialect::has_sessions);
    if !has && dialect.is_some() && table.node(key).is_some() {
        table.problem(key, "is for dialects \"chat9\", \"mitigate\" and \"chatbotkit\"");
    }
    has
}

/// What an app with sessions alone has no use for.
pub(super) fn check_sessions(table: &Reader<'_>, dialect: Option<Dialect>) {
    if dialect == Some(Dialect::Chat9) {
        for (key, rule) in [
            ("token", "is for dialects with tokens; this one has sessions"),
            ("scoping", "is for dialects whose conversations have ids; this one has sessions"),
        ] {
            if table.node(key).is_some() {
                table.problem(key, rule);
            }
        }
    }
}
