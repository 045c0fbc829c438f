//! Mitigate's embeddable chat (seeds/000, ai-platform-docs.mitigate.dev): identity tokens, which are JWS in JWE, guests
//! and anonymous visitors, and the chat API behind them.

mod answer;
mod challenge;
mod chat;
mod guest;
mod identity;
mod keys;
pub(in crate::dialect) mod members;
mod mint;
mod route;
mod schema;
mod session;
mod token;
mod tools;
mod workspace;

pub use answer::{issued, refusal};
pub use challenge::Challenge;
pub use chat::{Checked, check, created_chat};
pub use guest::Guest;
pub(in crate::dialect) use guest::is_email;
pub use identity::{LIFETIME, Reason, Verified, mint, verify};
pub use keys::{InvalidWorkspaceKeys, MintingKeys, WorkspaceKeys};
pub use mint::{Asked, minted, new_jti, parse_mint};
pub use route::{Operation, WorkspaceRoute, route};
pub use session::{Shown, Wire, parse_session};
pub use token::{AUDIENCE, WireClaims, bearer, sign};
pub use workspace::{Display, DisplayMode, Locale, Modes, PrivacyPolicyUrl, Workspace};

/// What templates may name of a visitor: who is vouched for has a `user_id`, a guest says the others.
pub const FIELDS: [&str; 4] = ["user_id", "name", "email", "locale"];
