//! What is asked of the server, one round trip each.

use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, query};

use crate::store::use_counts::MOST;

/// The texts, with the schema in place.
pub(super) struct Statements {
    pub(super) add: Arc<str>,
    pub(super) change: Arc<str>,
    pub(super) entry: Arc<str>,
    pub(super) entries: Arc<str>,
    pub(super) generation: Arc<str>,
    pub(super) add_uses: Arc<str>,
    pub(super) use_counts: Arc<str>,
}

impl Statements {
    /// `schema` is a plain identifier, as the settings have it.
    ///
    /// A writer takes the one row of `generation` last, and keeps it locked until its transaction ends. So
    /// numbers are given in the order of commits: whoever finds number g also finds every change that
    /// has a number up to g. And as each writer locks one entry before it, none waits for another in
    /// a circle. A write that changes nothing leaves the row alone.
    pub(super) fn new(schema: &str) -> Self {
        let counted = |change: &str| -> Arc<str> {
            let bump = format!("update \"{schema}\".generation set changes = changes + 1");
            format!("with done as ({change} returning 1) {bump} where exists (select from done) returning changes")
                .into()
        };
        Self {
            add: counted(&format!(
                "insert into \"{schema}\".entries (kind, id, revision, document) values ($1, $2, $3, $4) \
                 on conflict do nothing"
            )),
            change: counted(&format!(
                "update \"{schema}\".entries set revision = revision + 1, document = $4 \
                 where kind = $1 and id = $2 and revision = $3"
            )),
            entry: format!("select id, revision, document from \"{schema}\".entries where kind = $1 and id = $2")
                .into(),
            entries: format!("select id, revision, document from \"{schema}\".entries where kind = $1 order by id")
                .into(),
            generation: format!("select changes from \"{schema}\".generation").into(),
            // All replicas lock rows in one order, so none waits for another in a circle.
            add_uses: format!(
                "insert into \"{schema}\".use_counts as kept (token, uses, last_used) \
                 select * from unnest($1::text[], $2::bigint[], $3::bigint[]) as added (token, uses, last_used) \
                 order by token collate \"C\" on conflict (token) do update \
                 set uses = least(kept.uses + excluded.uses, {MOST}), \
                 last_used = greatest(kept.last_used, excluded.last_used)"
            )
            .into(),
            use_counts: format!("select token, uses, last_used from \"{schema}\".use_counts").into(),
        }
    }
}

/// A statement that waits for its values.
pub(super) fn ask(statement: &Arc<str>) -> Query<'static, sqlx::Postgres, PgArguments> {
    query(AssertSqlSafe(Arc::clone(statement)))
}
