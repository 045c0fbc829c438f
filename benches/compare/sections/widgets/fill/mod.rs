//! Very many widgets: two by the API, the others copied from them in the registry's tables, as quickly as it can.

mod database;

use super::api::{WIDGETS, post};
use super::{copies, ids};
use crate::Result;
use crate::lab::Lab;
use crate::postgres::Postgres;
use crate::rows::Row;
use crate::token::ORIGIN;
use database::Database;
use serde_json::json;

/// What every second widget is found by; the first part alone finds all.
pub(super) const FILTER: &str = "meta.live=true&meta.team=red";
const TEAMS: [&str; 2] = ["red", "blue"];

/// Rows of a statement.
const BATCH: usize = 1000;

/// Fills a row's registry; its gate runs only for the time that it takes to make two widgets.
pub(super) fn fill(row: &Row, server: Option<&Postgres>, lab: &Lab) -> Result<()> {
    let templates = templates(row, lab)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut database = match server {
            Some(server) => Database::Postgres(server.connect().await?),
            None => Database::sqlite(&lab.path(&format!("{}.db", row.name))).await?,
        };
        copy(&mut database, &templates, copies(row)?).await?;
        database.close().await
    })
}

/// One of each team; the file of a new registry is made with them.
fn templates(row: &Row, lab: &Lab) -> Result<[String; 2]> {
    let gate = lab.start(row)?;
    let make = |team| {
        let meta = json!({ "team": team, "live": true });
        let fields =
            json!({ "name": "Shop", "botId": "bot_1", "origin": ORIGIN, "title": "May I help?", "meta": meta });
        let made = post(gate.spare[0], &format!("{WIDGETS}/create"), &fields)?;
        Ok::<_, Box<dyn std::error::Error>>(made["id"].as_str().ok_or("no id")?.to_owned())
    };
    let [red, blue] = TEAMS;
    Ok([make(red)?, make(blue)?])
}

/// Copies, the last of them a red one: the next newer one is the red template.
async fn copy(database: &mut Database, templates: &[String; 2], copies: u64) -> Result<()> {
    database.begin().await?;
    database.run("create temporary table copies (number bigint, id text, template text)").await?;
    let numbers: Vec<u64> = (0..copies).collect();
    for batch in numbers.chunks(BATCH) {
        let row = |number: &u64| {
            let template = &templates[usize::from((copies - number).is_multiple_of(2))];
            Ok(format!("({}, '{}', '{template}')", number + 1, ids::id(*number)?.as_str()))
        };
        let rows = batch.iter().map(row).collect::<Result<Vec<_>>>()?;
        database.run(&format!("insert into copies values {}", rows.join(", "))).await?;
    }
    for statement in STATEMENTS {
        database.run(statement).await?;
    }
    database.run("commit").await
}

/// As if each had been made by the API, one after the other.
const STATEMENTS: [&str; 6] = [
    "create temporary table lists as select list, id as template from object_lists \
     where id in (select template from copies)",
    "insert into objects (kind, id, app, revision, parent, labels, document) \
     select kind, copies.id, app, revision, parent, labels, replace(document, objects.id, copies.id) \
     from copies join objects on objects.kind = 'widget' and objects.id = copies.template order by copies.id",
    "insert into object_lists (list, id) select list, copies.id \
     from lists join copies on copies.template = lists.template order by list, copies.id",
    "insert into object_changes (kind, id, changed) select 'widget', copies.id, changes + number \
     from copies, object_generation order by copies.id",
    "update object_generation set changes = changes + (select count(*) from copies)",
    "drop table copies",
];
