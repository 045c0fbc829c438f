//! The stores: what every engine promises, and what each adds.

mod backup;
mod conformance;
mod crash;
mod full;
mod memory;
mod model;
mod object_lists;
mod objects;
mod objects_many;
mod paging;
mod postgres;
mod postgres_open;
mod redis;
mod redis_clock;
mod redis_server;
mod registry;
mod rekey;
mod sessions;
mod sqlite;
mod sqlite_start;
mod use_counts;
