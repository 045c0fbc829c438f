//! Chat9's widget API (seeds/002): visitors for whom the customer's server vouches, and visitors whom
//! nobody knows, each with a session of the gate's.

mod answer;
mod body;
mod ended;
mod fields;
mod identity;
mod init;
mod priority;
mod query;
mod route;
mod secret;

pub use answer::{identity_token, opened, refusal};
pub use body::{Escalation, MAX_MESSAGE, Message, OWNED_FIELDS};
pub use ended::{Ended, ends};
pub use fields::{FIELDS, UserFields};
pub use identity::{Asked, DEFAULT_TTL, Identity, NotIdentified, mint, parse_mint, verify};
pub use init::{Init, parse_init};
pub use priority::{Trigger, X_ESCALATION_PRIORITIES, X_ESCALATION_PRIORITY, all_priorities, priority};
pub use query::{Query, bound_query};
pub use route::{INIT_PATH, KYC_PATH, Operation, is_widget, route};
pub use secret::{IdentityKeys, InvalidIdentitySecret, PREVIOUS_SECRET, new_identity_secret};

/// What apps of this dialect have beside.
#[derive(Clone, Debug, Default)]
pub struct Bot {
    /// Its signing secrets; `None`: nobody is identified.
    pub identity: Option<IdentityKeys>,
    /// Whether visitors whom nobody vouches for get no session.
    pub require_identity: bool,
}
