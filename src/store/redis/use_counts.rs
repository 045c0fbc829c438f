//! Use counts of service tokens: one hash.

use redis::cmd;
use sidegate_core::clock::Timestamp;

use super::Redis;
use crate::store::use_counts::MOST;
use crate::store::{Answer, Unavailable, UseCounts, Used};

impl UseCounts for Redis {
    fn add_uses<'a>(&'a self, used: &'a [Used]) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut script = self.scripts.add_uses.key(self.keys.use_counts());
            script.arg(MOST);
            for Used { token, count, last } in used {
                script.arg(token.as_str()).arg(count.min(&MOST)).arg(last.millis().min(MOST));
            }
            self.link.run(&script).await.map_err(|_| Unavailable)
        })
    }

    fn use_counts(&self) -> Answer<'_, Vec<Used>> {
        Box::pin(async move {
            let mut command = cmd("HGETALL");
            command.arg(self.keys.use_counts());
            let all: Vec<(String, String)> = self.link.call(&command).await.map_err(|_| Unavailable)?;
            all.iter().map(|(token, text)| parse(token, text).ok_or(Unavailable)).collect()
        })
    }
}

/// `None` if it is not as we write it.
fn parse(token: &str, text: &str) -> Option<Used> {
    let (count, last) = text.split_once(' ')?;
    let last = Timestamp::from_millis(last.parse().ok()?);
    Some(Used { token: token.parse().ok()?, count: count.parse().ok()?, last })
}
