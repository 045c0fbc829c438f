//! Mitigate's embeddable chat (seeds/000, ai-platform-docs.mitigate.dev): identity tokens, which are JWS in JWE, guests
//! and anonymous visitors, and the chat API behind them.

mod answer;
mod guest;
mod identity;
mod keys;
mod members;
mod route;
mod session;
mod token;
mod workspace;

pub use answer::{issued, refusal};
pub use guest::Guest;
pub use identity::{LIFETIME, Reason, Verified, mint, verify};
pub use keys::{InvalidWorkspaceKeys, MintingKeys, WorkspaceKeys};
pub use route::{Operation, WorkspaceRoute};
pub use session::{Shown, Wire, parse_session};
pub use token::{AUDIENCE, WireClaims, bearer, sign};
pub use workspace::{Display, DisplayMode, Locale, Mode, Modes, PrivacyPolicyUrl, Workspace};
