//! The registry in a PostgreSQL server that all replicas share, in a schema of its own.
//!
//! Every name in a statement has its schema, and nothing is kept in a session: any connection will do,
//! also one of a pooler that gives each transaction another.

mod calls;
mod entries;
mod fault;
mod object_statements;
mod objects;
mod open;
mod options;
mod rights;
mod schema;
mod statements;
mod use_counts;

use self::calls::Calls;
use self::object_statements::ObjectStatements;
use self::statements::Statements;

/// The registry in a PostgreSQL server.
pub struct Postgres {
    calls: Calls,
    statements: Statements,
    objects: ObjectStatements,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}
