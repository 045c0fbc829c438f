//! What apps of the dialect "orcheo" have beside: workflows, a workspace, and the backend's own names of settings.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sidegate_core::app::{Pass, TokenPolicy};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::orcheo::{Access, Vendor, Workflow, WorkflowId, Workflows};
use sidegate_core::id::WorkspaceId;
use sidegate_core::rate::{Rate, RateKey, Rates};

use super::layered::parsers::{boolean, non_empty, parsed, string};
use super::layered::{Faults, Node, Reader, SecretSource};
use super::settings::{KeyUses, Resolve};
use super::trade::vendor_of;

/// How long tokens live, and at least, as the backend has it.
pub(super) const TTL: Duration = Duration::from_secs(300);
pub(super) const MIN_TTL: Duration = Duration::from_secs(60);

/// The workflows of an app; no two apps list the same one, because a token names its app by it.
pub(super) fn read_workflows(table: &Reader<'_>, app: &str, uses: &mut KeyUses) -> Workflows {
    let is_openais = vendor_of(table) == Vendor::OpenAi;
    let mut list = Vec::new();
    for workflow in table.tables("workflows") {
        let (id, version) = match is_openais {
            true => (workflow.required("id", openais), workflow.optional("version", non_empty)),
            false => (workflow.required("id", parsed::<WorkflowId>()), None),
        };
        let name = workflow.optional("name", non_empty);
        let access = read_access(&workflow);
        if let Some(id) = id {
            if let Err(clash) = uses.claim_workflow(&id, app) {
                workflow.problem("id", &clash);
            }
            list.push(Workflow { id, name, version, access });
        }
        workflow.finish();
    }
    Workflows::new(list)
}

fn read_access(workflow: &Reader<'_>) -> Access {
    let published = workflow.or("published", boolean, false);
    match (published, workflow.or("require_login", boolean, false)) {
        (true, false) => Access::Everybody,
        (true, true) => Access::Login,
        (false, false) => Access::Token,
        (false, true) => {
            workflow.problem("require_login", "is for a workflow with published = true: without a token");
            Access::Token
        }
    }
}

/// Whether what is published can be: a workflow for those without a token.
pub(super) fn check_published(table: &Reader<'_>, workflows: &Workflows, pass: Pass, token: Option<&TokenPolicy>) {
    if !workflows.are_published() {
        return;
    }
    if pass.cookies {
        table.problem(
            "pass",
            "must not have \"cookies\" where a workflow is published: the upstream would take them for a login",
        );
    }
    if token.is_some_and(|token| token.single_use) {
        table.problem("token", "single_use is for apps without published workflows, which need no token");
    }
    if vendor_of(table) == Vendor::OpenAi {
        table.problem("workflows", "are published at OpenAI itself; the gate does not stand before its chats");
    }
}

/// The workspace of an app.
pub(super) fn read_workspace(table: &Reader<'_>, dialect: Option<Dialect>) -> Option<WorkspaceId> {
    let workspace = table.optional("workspace", parsed());
    if workspace.is_some() && dialect == Some(Dialect::Sigmic) {
        table.problem("workspace", "is for dialect \"orcheo\"");
    }
    workspace
}

fn openais(node: &Node) -> Result<WorkflowId, Faults> {
    WorkflowId::of_openai(&string(node)?).map_err(|rule| rule.to_string().into())
}

/// A setting by the name that the backend's own environment has for it: `ORCHEO_CHATKIT_…`, or
/// `CHATKIT_…` as its guide writes it.
pub(super) fn environment(resolve: &Resolve<'_>, name: &str) -> Option<SecretString> {
    named(resolve, name).map(|(_, value)| value)
}

/// The setting, and the name that it has.
fn named(resolve: &Resolve<'_>, name: &str) -> Option<(String, SecretString)> {
    let names = [format!("ORCHEO_CHATKIT_{name}"), format!("CHATKIT_{name}")];
    names.into_iter().find_map(|name| Some((name.clone(), resolve(&SecretSource::Env(name)).ok()?)))
}

/// As [`environment`], where it is no secret.
pub(super) fn plain(resolve: &Resolve<'_>, name: &str) -> Option<String> {
    environment(resolve, name).map(|value| value.expose_secret().to_owned())
}

/// `CHATKIT_TOKEN_TTL_SECONDS`.
///
/// # Errors
/// The rule.
pub(super) fn ttl(resolve: &Resolve<'_>) -> Result<Option<Duration>, &'static str> {
    let Some(text) = plain(resolve, "TOKEN_TTL_SECONDS") else { return Ok(None) };
    let seconds = text.parse().map_err(|_| "CHATKIT_TOKEN_TTL_SECONDS must be a number of seconds")?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// A rate that the backend has unless its environment says otherwise: its name there, how many in a minute,
/// counted by what.
pub(super) type DefaultRate = (&'static str, u32, RateKey);

/// Of sessions.
pub(super) const SESSION_RATES: [DefaultRate; 1] = [("SESSION", 60, RateKey::EndUser)];
/// Of chat requests with a token.
pub(super) const CHAT_RATES: [DefaultRate; 2] = [("IP", 120, RateKey::Address), ("JWT", 120, RateKey::EndUser)];
/// Of chat requests to what is published.
pub(super) const PUBLISH_RATES: [DefaultRate; 1] = [("PUBLISH", 60, RateKey::Workflow)];

/// These rates, as `CHATKIT_RATE_LIMIT_…_LIMIT` (0: none) and `…_INTERVAL` (seconds) change them.
///
/// # Errors
/// The rule, with the variable's name.
pub(super) fn default_rates(resolve: &Resolve<'_>, defaults: &[DefaultRate]) -> Result<Rates, String> {
    const YEAR: u32 = 365 * 24 * 3_600;
    let mut rates = Vec::with_capacity(defaults.len());
    for (name, count, key) in defaults {
        let count = number(resolve, &format!("RATE_LIMIT_{name}_LIMIT"), *count, 0, u32::MAX)?;
        let seconds = number(resolve, &format!("RATE_LIMIT_{name}_INTERVAL"), 60, 1, YEAR)?;
        let period = Duration::from_secs(seconds.into());
        rates.extend(NonZeroU32::new(count).map(|count| Rate { count, period, key: *key }));
    }
    Rates::new(rates).map_err(|rule| rule.to_string())
}

/// `CHATKIT_MAX_UPLOAD_SIZE_BYTES`.
///
/// # Errors
/// As [`default_rates`].
pub(super) fn max_upload(resolve: &Resolve<'_>) -> Result<usize, String> {
    number(resolve, "MAX_UPLOAD_SIZE_BYTES", 5_000_000, 0, usize::MAX)
}

fn number<T>(resolve: &Resolve<'_>, name: &str, default: T, least: T, most: T) -> Result<T, String>
where
    T: Copy + FromStr + PartialOrd + std::fmt::Display,
{
    let Some((variable, text)) = named(resolve, name) else { return Ok(default) };
    let number = text.expose_secret().trim().parse().ok().filter(|number| (&least..=&most).contains(&number));
    number.ok_or_else(|| format!("{variable} must be an integer from {least} to {most}"))
}

const CORS_ALLOW_ORIGINS: &str = "ORCHEO_CORS_ALLOW_ORIGINS";

/// The origins that the backend's environment lists, as JSON or divided by commas; `None` if it lists none.
///
/// # Errors
/// The rule, with the variable's name.
pub(super) fn cors_origins(resolve: &Resolve<'_>) -> Option<Result<Vec<String>, String>> {
    let text = resolve(&SecretSource::Env(CORS_ALLOW_ORIGINS.to_owned())).ok()?;
    let text = text.expose_secret().trim();
    if !text.starts_with('[') {
        return Some(Ok(text.split(',').map(|entry| entry.trim().to_owned()).collect()));
    }
    let entries = serde_json::from_str::<Vec<String>>(text);
    Some(match entries {
        // Here it would let every page in; there it lets none.
        Ok(entries) if entries.is_empty() => Err(in_cors_origins("names no origin")),
        Ok(entries) => Ok(entries),
        Err(_) => Err(in_cors_origins("must be a JSON list of strings, or divided by commas")),
    })
}

/// A fault in [`cors_origins`].
pub(super) fn in_cors_origins(fault: &str) -> String {
    format!("{CORS_ALLOW_ORIGINS}: {fault}")
}
