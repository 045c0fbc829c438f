//! Sigmic's widget API (seeds/003, docs.sigmic.ai).

mod answer;
mod exchange;
mod route;
mod token;

pub use answer::{created_task, filter_list, issued, refusal};
pub use exchange::{Wire, parse_exchange};
pub use route::{EXCHANGE_PATH, Operation, route};
pub use token::{WireClaims, bearer, sign};
