//! What apps of the dialect "orcheo" have beside: workflows, and the backend's own names of settings.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sidegate_core::dialect::orcheo::{Access, Workflow, WorkflowId, Workflows};

use super::layered::parsers::{boolean, non_empty, parsed};
use super::layered::{Reader, SecretSource};
use super::settings::{KeyUses, Resolve};

/// How long tokens live, and at least, as the backend has it.
pub(super) const TTL: Duration = Duration::from_secs(300);
pub(super) const MIN_TTL: Duration = Duration::from_secs(60);

/// The workflows of an app; no two apps list the same one, because a token names its app by it.
pub(super) fn read_workflows(table: &Reader<'_>, app: &str, uses: &mut KeyUses) -> Workflows {
    let mut list = Vec::new();
    for workflow in table.tables("workflows") {
        let id = workflow.required("id", parsed::<WorkflowId>());
        let name = workflow.optional("name", non_empty);
        let access = read_access(&workflow);
        if let Some(id) = id {
            if let Err(clash) = uses.claim_workflow(&id, app) {
                workflow.problem("id", &clash);
            }
            list.push(Workflow { id, name, access });
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

/// A setting by the name that the backend's own environment has for it: `ORCHEO_CHATKIT_…`, or
/// `CHATKIT_…` as its guide writes it.
pub(super) fn environment(resolve: &Resolve<'_>, name: &str) -> Option<SecretString> {
    let names = [format!("ORCHEO_CHATKIT_{name}"), format!("CHATKIT_{name}")];
    names.into_iter().find_map(|name| resolve(&SecretSource::Env(name)).ok())
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
