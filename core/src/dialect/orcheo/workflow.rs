//! The workflows of an app: what its tokens may be bound to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use url::form_urlencoded;

use crate::denial::{Code, Denial};

/// A workflow's id: at Orcheo a UUID (RFC 9562 section 4), in lower case; at OpenAI `wf_` and letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkflowId(Arc<str>);

/// Why a text is no workflow id. Says the rule, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidWorkflowId(&'static str);

impl fmt::Display for InvalidWorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidWorkflowId {}

impl FromStr for WorkflowId {
    type Err = InvalidWorkflowId;

    /// Reads hexadecimal digits of either case in groups of 8, 4, 4, 4 and 12.
    fn from_str(text: &str) -> Result<Self, InvalidWorkflowId> {
        const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
        let mut groups = text.split('-');
        let digits = |group: &str, length| group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit());
        let whole = GROUPS.iter().all(|length| groups.next().is_some_and(|group| digits(group, *length)));
        if whole && groups.next().is_none() {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(InvalidWorkflowId("must be a UUID, such as 0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1"))
        }
    }
}

impl WorkflowId {
    /// The id of a workflow of OpenAI's: `wf_` and 1 to 128 letters and digits.
    ///
    /// # Errors
    /// [`InvalidWorkflowId`].
    pub fn of_openai(text: &str) -> Result<Self, InvalidWorkflowId> {
        let name = text.strip_prefix("wf_").unwrap_or_default();
        if (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidWorkflowId("must be `wf_` and letters and digits, as OpenAI shows it"))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The workflow that a query asks for, of either vendor, as `workflow_id` or `workflowId`; `None` if it asks for none.
///
/// # Errors
/// [`Code::InvalidWorkflow`]; [`Code::InvalidRequest`] if it asks twice.
pub fn asked_workflow(query: Option<&str>) -> Result<Option<WorkflowId>, Denial> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut asked = pairs.filter(|(name, _)| name == "workflow_id" || name == "workflowId");
    let Some((_, id)) = asked.next() else { return Ok(None) };
    if asked.next().is_some() {
        return Err(Denial::because(Code::InvalidRequest, "workflow_id stands in the query twice"));
    }
    let id = id.parse().or_else(|_| WorkflowId::of_openai(&id));
    id.map(Some).map_err(|_| Code::InvalidWorkflow.into())
}

/// A workflow that an app lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workflow {
    /// Its id at the upstream.
    pub id: WorkflowId,
    /// Its name, for the upstream's `metadata`.
    pub name: Option<String>,
    /// The version to run (OpenAI); `None` for the one that is deployed.
    pub version: Option<String>,
    /// Who may use it without a token.
    pub access: Access,
}

/// Who may use a workflow without a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    #[default]
    Token,
    /// Who has logged in at the customer's site, by the app's rule.
    Login,
    /// Everybody.
    Everybody,
}

/// The workflows of an app; the first is what a token is bound to when none is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workflows(Vec<Workflow>);

impl Workflows {
    /// A list, in which the first is the default.
    #[must_use]
    pub const fn new(list: Vec<Workflow>) -> Self {
        Self(list)
    }

    /// All of them, the default first.
    #[must_use]
    pub fn all(&self) -> &[Workflow] {
        &self.0
    }

    /// What a token is bound to when none is asked for.
    #[must_use]
    pub fn default_workflow(&self) -> Option<&Workflow> {
        self.0.first()
    }

    /// The one that is asked for, if it is listed; the default if none is.
    ///
    /// # Errors
    /// [`Code::WorkflowNotFound`]; [`Code::MissingWorkflow`] if there is no default.
    pub fn asked(&self, id: Option<&WorkflowId>) -> Result<&Workflow, Code> {
        match id {
            Some(id) => self.get(id).ok_or(Code::WorkflowNotFound),
            None => self.default_workflow().ok_or(Code::MissingWorkflow),
        }
    }

    /// Whether one of them is for these.
    #[must_use]
    pub fn have(&self, access: Access) -> bool {
        self.0.iter().any(|workflow| workflow.access == access)
    }

    /// Whether one of them is for somebody without a token.
    #[must_use]
    pub fn are_published(&self) -> bool {
        self.have(Access::Login) || self.have(Access::Everybody)
    }

    /// The one of an id, if it is listed.
    #[must_use]
    pub fn get(&self, id: &WorkflowId) -> Option<&Workflow> {
        self.0.iter().find(|workflow| workflow.id == *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_id_is_a_uuid_in_either_case() {
        let id: WorkflowId = "0B6AD1A8-5b0e-4a39-8a52-3cf4cf64a3d1".parse().expect("a UUID");
        assert_eq!(id.as_str(), "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1");
        for bad in [
            "",
            "wf_123",
            "0b6ad1a85b0e4a398a523cf4cf64a3d1",
            "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d",
            "-----",
            "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1-",
            "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3dg",
            "{0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1}",
        ] {
            assert!(bad.parse::<WorkflowId>().is_err(), "{bad}");
        }
    }
    #[test]
    fn one_of_openai_is_of_its_own_form() {
        let id = WorkflowId::of_openai("wf_68df4b13b3588190a09d19288d4610ec0df388c3983f58d1").expect("an id");
        assert!(id.as_str().ends_with("58d1"));
        for bad in ["", "wf_", "WF_1", "wf-1", "wf_1/../2", "wf_é", "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1"] {
            assert!(WorkflowId::of_openai(bad).is_err(), "{bad}");
        }
        assert!(WorkflowId::of_openai(&format!("wf_{}", "1".repeat(129))).is_err());
    }

    #[test]
    fn a_query_asks_for_a_workflow_of_either_vendor() {
        let asked = |query: &str| asked_workflow(Some(query)).map(|id| id.map(|id| id.as_str().to_owned()));
        assert_eq!(asked("workflow_id=wf_1aB"), Ok(Some("wf_1aB".to_owned())));
        let uuid = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";
        assert_eq!(asked(&format!("workflowId={uuid}")), Ok(Some(uuid.to_owned())));
        assert_eq!(asked("workflow_id=wf_"), Err(Code::InvalidWorkflow.into()));
    }
}
