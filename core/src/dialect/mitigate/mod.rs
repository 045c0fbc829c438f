//! Mitigate's embeddable chat (seeds/000, ai-platform-docs.mitigate.dev): identity tokens, which are JWS in JWE, guests
//! and anonymous visitors, and the chat API behind them.

mod identity;
mod keys;

pub use identity::{LIFETIME, Reason, Verified, mint, verify};
pub use keys::{InvalidWorkspaceKeys, MintingKeys, WorkspaceKeys};
