//! What is asked of the server about objects of the API, one round trip each.

use std::sync::Arc;

/// The texts, with the schema in place.
pub(super) struct ObjectStatements {
    pub(super) insert: Arc<str>,
    pub(super) replace: Arc<str>,
    pub(super) remove: Arc<str>,
    pub(super) forget_removals: Arc<str>,
    pub(super) object: Arc<str>,
    pub(super) of_ids: Arc<str>,
    pub(super) ids: Arc<str>,
    pub(super) ids_newest_first: Arc<str>,
    pub(super) among: Arc<str>,
    pub(super) changed: Arc<str>,
    pub(super) last_change: Arc<str>,
    pub(super) add_usage: Arc<str>,
    pub(super) usage: Arc<str>,
    pub(super) all: Arc<str>,
}

impl ObjectStatements {
    /// `schema` is a plain identifier, as the settings have it.
    pub(super) fn new(schema: &str) -> Self {
        let text = |statement: &str| -> Arc<str> { statement.replace("{schema}", &format!("\"{schema}\"")).into() };
        Self {
            insert: text(&noted(INSERT, JOIN, "null")),
            replace: text(&noted(REPLACE, MOVE, "null")),
            remove: text(&noted(REMOVE, LEAVE, "now()")),
            forget_removals: text(FORGET_REMOVALS),
            object: text("select * from {schema}.objects where kind = $1 and id = $2"),
            of_ids: text("select * from {schema}.objects where kind = $1 and id = any($2)"),
            ids: text(&walk(">", "asc")),
            ids_newest_first: text(&walk("<", "desc")),
            among: text("select id from {schema}.object_lists where list = $1 and id = any($2)"),
            changed: text(CHANGED),
            last_change: text("select changes from {schema}.object_generation"),
            add_usage: text(ADD_USAGE),
            usage: text("select * from {schema}.object_usage where kind = 'widget' and widget = $1"),
            all: text(ALL),
        }
    }
}

const INSERT: &str = "insert into {schema}.objects (kind, id, app, revision, parent, labels, document) \
     values ($1, $2, $3, 1, $4, $5, $6) on conflict do nothing";
const JOIN: &str = "joined as (insert into {schema}.object_lists (list, id) \
     select unnest($7::bytea[]), id from done on conflict do nothing)";

/// Of two changes of one row in a statement only one takes place: a list is left or joined, not both.
const REPLACE: &str = "update {schema}.objects set revision = revision + 1, parent = $4, labels = $5, document = $6 \
     where kind = $1 and id = $2 and app = $3 and revision = $9";
const MOVE: &str = "joined as (insert into {schema}.object_lists (list, id) \
     select unnest($7::bytea[]), id from done on conflict do nothing), \
     gone as (delete from {schema}.object_lists where list = any($8) and id = (select id from done))";

const REMOVE: &str = "delete from {schema}.objects where kind = $1 and id = $2 and revision = $3";
const LEAVE: &str = "gone as (delete from {schema}.object_lists where list = any($4) and id = (select id from done))";

/// A change of an object and its lists that gets a number.
///
/// As with the entries, a writer takes the one row of the generation after the object's own, and keeps it
/// locked until its transaction ends: numbers are given in the order of commits, so whoever finds one also
/// finds all that are smaller. They grow with the server's clock, too: a standby that takes over without
/// having seen the last changes gives none of their numbers again.
fn noted(change: &str, lists: &str, removed_at: &str) -> String {
    format!(
        "with done as ({change} returning kind, id), {lists}, \
         number as (update {{schema}}.object_generation \
         set changes = greatest(changes + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint) \
         where exists (select from done) returning changes) \
         insert into {{schema}}.object_changes (kind, id, changed, removed_at) \
         select kind, id, changes, {removed_at}::timestamptz from done, number \
         on conflict (kind, id) do update set changed = excluded.changed, removed_at = excluded.removed_at \
         returning changed"
    )
}

/// The next ids of a list, one by one. In one piece the planner may think the list so short that it would read
/// and sort the whole of it: it knows nothing yet of one that has grown lately.
fn walk(behind: &str, order: &str) -> String {
    let next = |place: &str| {
        format!(
            "select id from {{schema}}.object_lists where list = $1 and id {behind} {place} order by id {order} limit 1"
        )
    };
    format!(
        "with recursive walk (id, steps) as (select ({}), 1::bigint union all \
         select ({}), steps + 1 from walk where walk.id is not null and steps < $3) \
         select id from walk where id is not null",
        next("$2"),
        next("walk.id")
    )
}

/// Some removals that were told for long enough. Others may do the same: nobody waits for anybody.
const FORGET_REMOVALS: &str = "delete from {schema}.object_changes where (kind, id) in \
     (select kind, id from {schema}.object_changes where removed_at <= now() - $1 * interval '1 second' \
     order by removed_at limit 16 for update skip locked)";

/// After a mark that was never given all are told.
const CHANGED: &str = "select kind, id, changed from {schema}.object_changes where changed > \
     (select case when $1 > changes then 0 else $1 end from {schema}.object_generation) order by changed limit $2";

/// Widgets are locked before their usage, as by those who remove them, and all in one order: so none waits for
/// another in a circle, and no usage is kept of a widget that goes meanwhile.
const ADD_USAGE: &str = "with known as (select id from {schema}.objects \
     where kind = 'widget' and id = any($1) order by id for key share) \
     insert into {schema}.object_usage as kept (widget, sessions, messages, refused, bytes) \
     select added.* from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
     as added (widget, sessions, messages, refused, bytes) join known on known.id = added.widget order by known.id \
     on conflict (kind, widget) do update set sessions = least(kept.sessions + excluded.sessions, $6), \
     messages = least(kept.messages + excluded.messages, $6), \
     refused = least(kept.refused + excluded.refused, $6), bytes = least(kept.bytes + excluded.bytes, $6)";

const ALL: &str = "select objects.*, sessions, messages, refused, bytes from {schema}.objects \
     left join {schema}.object_usage usage on usage.kind = objects.kind and usage.widget = objects.id \
     where (objects.kind, objects.id) > ($1, $2) order by objects.kind, objects.id limit $3";
