//! Use counts of service tokens.

use sidegate_core::clock::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Postgres;
use super::statements::ask;
use crate::store::use_counts::MOST;
use crate::store::{Answer, Unavailable, UseCounts, Used};

impl UseCounts for Postgres {
    fn add_uses<'a>(&'a self, used: &'a [Used]) -> Answer<'a, ()> {
        Box::pin(async move {
            let bounded = |number: u64| i64::try_from(number.min(MOST)).unwrap_or(i64::MAX);
            let tokens: Vec<_> = used.iter().map(|used| used.token.as_str().to_owned()).collect();
            let counts: Vec<_> = used.iter().map(|used| bounded(used.count)).collect();
            let times: Vec<_> = used.iter().map(|used| bounded(used.last.millis())).collect();
            self.calls.write(ask(&self.statements.add_uses).bind(tokens).bind(counts).bind(times)).await.map(drop)
        })
    }

    fn use_counts(&self) -> Answer<'_, Vec<Used>> {
        Box::pin(async move {
            let rows = self.calls.read(ask(&self.statements.use_counts)).await?;
            rows.iter().map(|row| used_of(row).ok_or(Unavailable)).collect()
        })
    }
}

/// `None` if it is not as we write it.
fn used_of(row: &PgRow) -> Option<Used> {
    let token = row.try_get::<&str, _>("token").ok()?.parse().ok()?;
    let number = |column| row.try_get::<i64, _>(column).ok()?.try_into().ok();
    Some(Used { token, count: number("uses")?, last: Timestamp::from_millis(number("last_used")?) })
}
