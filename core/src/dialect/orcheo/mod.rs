//! Orcheo's ChatKit API (seeds/004; its backend's routers and schemas).

mod answer;
mod assets;
mod events;
pub mod openai;
mod request;
mod route;
pub mod service_tokens;
mod session;
mod token;
mod trade;
mod upload;
mod visitor;
mod workflow;

pub use answer::{Router, issued, refusal};
pub use assets::{ASSET_METHODS, ASSET_TEMPLATE, AssetPath, is_asset, is_plain, rewritten};
pub use events::{Beginning, beginning, created_attachment, filter_list};
pub use request::{Kind, Request};
pub use route::{Operation, SESSION_PATH, TOKEN_PATH, TokenRoute, route};
pub use session::{Wire, parse_session};
pub use token::{WireClaims, Workspaces, bearer, sign};
pub use trade::{Ask, Purpose, Trade, Traded, Vendor, Wanted, current_secret, handed_over};
pub use upload::{bound_query, uploaded};
pub use visitor::{Visitor, X_ORCHEO_OAUTH_SUBJECT, X_ORCHEO_VISITOR_ID, visitor};
pub use workflow::{Access, InvalidWorkflowId, Workflow, WorkflowId, Workflows, asked_workflow};

/// What `iss` says when nothing else is configured.
pub const ISSUER: &str = "orcheo.chatkit";

/// What `aud` says when nothing else is configured.
pub const AUDIENCE: &str = "chatkit";
