//! Use counts of service tokens.

use sidegate_core::clock::Timestamp;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row as _, query};

use super::Sqlite;
use super::batch::{Change, millis};
use crate::store::use_counts::MOST;
use crate::store::{Answer, Unavailable, UseCounts, Used};

impl UseCounts for Sqlite {
    fn add_uses<'a>(&'a self, used: &'a [Used]) -> Answer<'a, ()> {
        Box::pin(async move { self.writer.write(Change::AddUses(used.to_vec())).await.map(drop) })
    }

    fn use_counts(&self) -> Answer<'_, Vec<Used>> {
        Box::pin(async move {
            let all = query("select token, uses, last_used from use_counts");
            let pool = self.reads.pool();
            let rows = self.reads.ask(async move { all.fetch_all(&pool).await }).await?;
            rows.iter().map(|row| used_of(row).ok_or(Unavailable)).collect()
        })
    }
}

/// Within the writer's transaction. A sum beyond 64 bits would be a fault of the whole of it.
pub(super) async fn add_uses(connection: &mut SqliteConnection, used: &[Used]) -> sqlx::Result<()> {
    let statement = "insert into use_counts (token, uses, last_used) values (?1, ?2, ?3) on conflict do update \
                     set uses = min(uses + excluded.uses, ?4), last_used = max(last_used, excluded.last_used)";
    for Used { token, count, last } in used {
        let most = millis(Timestamp::from_millis(MOST));
        let count = millis(Timestamp::from_millis(*count)).min(most);
        let add = query(statement).bind(token.as_str()).bind(count).bind(millis(*last)).bind(most);
        add.execute(&mut *connection).await?;
    }
    Ok(())
}

/// `None` if it is not as we write it.
fn used_of(row: &SqliteRow) -> Option<Used> {
    let token = row.try_get::<&str, _>("token").ok()?.parse().ok()?;
    let number = |column| row.try_get::<i64, _>(column).ok()?.try_into().ok();
    Some(Used { token, count: number("uses")?, last: Timestamp::from_millis(number("last_used")?) })
}
