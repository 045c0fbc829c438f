//! `POST /api/chatkit/session`: what a customer's server asks for. Unknown members are ignored, as by the
//! vendor; each known one stands in one spelling, snake or camel.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::workflow::WorkflowId;
use crate::context::SessionContext;
use crate::denial::{Code, Denial};
use crate::entropy::Entropy;
use crate::id::EndUserId;
use crate::json;
use crate::leash::Leash;
use crate::policy::ExchangeRequest;

/// Bytes of what goes into the token beside its own claims: a token travels in a header.
const MAX_DETAILS: usize = 2 * 1024;

/// The body, read.
#[derive(Debug, Default, Deserialize)]
pub struct Wire {
    #[serde(default, alias = "workflowId")]
    workflow_id: Option<Value>,
    #[serde(default, alias = "workflowLabel")]
    workflow_label: Option<Value>,
    #[serde(default)]
    metadata: Option<Value>,
    #[serde(default)]
    user: Option<Value>,
    #[serde(default)]
    assistant: Option<Value>,
    /// Ours: the vendor has none.
    #[serde(default)]
    leash: Option<Value>,
    // `current_client_secret` is not read: the vendor copies it into the new token, which so grows with
    // each refresh and carries a token that is still good.
}

/// Reads the body; an empty one asks for nothing in particular.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub fn parse_session(body: &[u8]) -> Result<Wire, Denial> {
    if body.is_empty() {
        return Ok(Wire::default());
    }
    let text = json::check_object(body).map_err(|fault| invalid(&format!("The body is refused: {fault}")))?;
    // What is checked is an object without duplicates; only two spellings of one name can still fail.
    serde_json::from_str(text).map_err(|_| invalid("a member stands there in two spellings"))
}

impl Wire {
    /// The workflow that is asked for, if any is.
    ///
    /// # Errors
    /// [`Code::InvalidWorkflow`].
    pub fn workflow(&self) -> Result<Option<WorkflowId>, Denial> {
        match &self.workflow_id {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| Code::InvalidWorkflow.into()),
            Some(_) => Err(Code::InvalidWorkflow.into()),
        }
    }

    /// Whether it says for whom the token is to be.
    #[must_use]
    pub fn names_end_user(&self) -> bool {
        self.user.as_ref().and_then(|user| user.get("id")).is_some_and(|id| !id.is_null())
    }

    /// What is asked for. The end user is `user.id`; without one, nobody that a token was made for
    /// before: two visitors are never the same to the upstream.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] for members of another kind, or too long ones; [`Code::Internal`]
    /// without randomness.
    pub fn into_request(self, workflow: WorkflowId, entropy: &dyn Entropy) -> Result<ExchangeRequest, Denial> {
        let subject = match self.user.as_ref().and_then(|user| user.get("id")) {
            None | Some(Value::Null) => EndUserId::anonymous(entropy).map_err(|_| Code::Internal)?,
            Some(Value::String(id)) => id.parse().map_err(|rule| invalid(&format!("user.id {rule}")))?,
            Some(_) => return Err(invalid("user.id must be a string")),
        };
        let mut details = Map::new();
        let members = [("metadata", self.metadata), ("user", self.user), ("assistant", self.assistant)];
        for (name, value) in members {
            match value {
                None | Some(Value::Null) => {}
                Some(value @ Value::Object(_)) => drop(details.insert(name.to_owned(), value)),
                Some(_) => return Err(invalid(&format!("{name} must be an object"))),
            }
        }
        match self.workflow_label {
            None | Some(Value::Null) => {}
            Some(label @ Value::String(_)) => drop(details.insert("workflow_label".to_owned(), label)),
            Some(_) => return Err(invalid("workflow_label must be a string")),
        }
        if serde_json::to_string(&details).map_or(usize::MAX, |text| text.len()) > MAX_DETAILS {
            return Err(invalid("metadata, user, assistant and workflow_label may have 2048 bytes together"));
        }
        Ok(ExchangeRequest {
            subject,
            lifetime: None,
            context: SessionContext::default(),
            workflow: Some(workflow),
            leash: Leash::asked(self.leash)?,
            details,
        })
    }
}

fn invalid(message: &str) -> Denial {
    Denial::because(Code::InvalidRequest, message.to_owned())
}
