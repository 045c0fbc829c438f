//! What the role may do, so that a missing right is found now and not in the middle of a request.

use sqlx::postgres::PgConnection;
use sqlx::query_scalar;

use super::open::unusable;

/// What the statements need.
const RIGHTS: [(&str, &str); 24] = [
    ("entries", "SELECT"),
    ("entries", "INSERT"),
    ("entries", "UPDATE"),
    ("generation", "SELECT"),
    ("generation", "UPDATE"),
    ("use_counts", "SELECT"),
    ("use_counts", "INSERT"),
    ("use_counts", "UPDATE"),
    ("objects", "SELECT"),
    ("objects", "INSERT"),
    ("objects", "UPDATE"),
    ("objects", "DELETE"),
    ("object_lists", "SELECT"),
    ("object_lists", "INSERT"),
    ("object_lists", "DELETE"),
    ("object_changes", "SELECT"),
    ("object_changes", "INSERT"),
    ("object_changes", "UPDATE"),
    ("object_changes", "DELETE"),
    ("object_generation", "SELECT"),
    ("object_generation", "UPDATE"),
    ("object_usage", "SELECT"),
    ("object_usage", "INSERT"),
    ("object_usage", "UPDATE"),
];

pub(super) async fn check(connection: &mut PgConnection, schema: &str) -> Result<(), String> {
    for (table, right) in RIGHTS {
        let name = format!("\"{schema}\".{table}");
        let may = query_scalar("select has_table_privilege($1, $2)").bind(&name).bind(right);
        if !may.fetch_one(&mut *connection).await.map_err(|fault| unusable(&fault))? {
            return Err(format!("store.postgres.username: this user may not {right} in {schema}.{table}"));
        }
    }
    Ok(())
}
