//! The stores: what every engine promises, and what each adds.

mod backup;
mod conformance;
mod memory;
mod redis;
mod registry;
mod paging;
mod rekey;
