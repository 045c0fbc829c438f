//! Keys of one kind with their values, page by page, as `SCAN` finds them.

use bytes::Bytes;
use redis::cmd;

use super::Redis;
use crate::store::{Cursor, Page, Unavailable};

/// Names that are looked at for a page, about.
const PAGE: usize = 100;

impl Redis {
    /// The page that `from` names, of the keys that match `pattern`. `read` makes an entry of a name
    /// and a value; what is gone meanwhile, or is none, is passed over.
    pub(super) async fn page_of<T>(
        &self,
        pattern: String,
        from: Option<Cursor>,
        read: impl Fn(&str, Bytes) -> Option<T>,
    ) -> Result<Page<T>, Unavailable> {
        let cursor = from.map_or(Ok(0), |cursor| cursor.parse()).map_err(|_| Unavailable)?;
        let (next, names) = self.scan(&pattern, cursor).await?;
        let values = self.values(&names).await?;
        let records = names.iter().zip(values).filter_map(|(name, value)| read(name, value?));
        Ok(Page { records: records.collect(), next: (next != 0).then(|| next.to_string()) })
    }

    /// Some names, and where to go on; 0 after the last.
    pub(super) async fn scan(&self, pattern: &str, cursor: u64) -> Result<(u64, Vec<String>), Unavailable> {
        let mut command = cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(PAGE);
        self.link.call(&command).await.map_err(|_| Unavailable)
    }

    async fn values(&self, names: &[String]) -> Result<Vec<Option<Bytes>>, Unavailable> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        self.link.call(cmd("MGET").arg(names)).await.map_err(|_| Unavailable)
    }
}
