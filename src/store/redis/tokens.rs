//! What belongs to tokens: contexts, first uses, revocations.

use bytes::{BufMut as _, Bytes, BytesMut};
use redis::{Value, cmd};
use sidegate_core::clock::Timestamp;
use sidegate_core::context::ContextKey;
use sidegate_core::id::{AppId, TokenId};
use sidegate_core::revocation::Revocation;

use super::{LAST, Redis, forgotten};
use crate::store::{Answer, Cursor, Mark, Page, Record, Replay, Revocations, Revoked, Unavailable, Vault};

/// Bytes of a record's time, before its context.
const TIME: usize = size_of::<u64>();

fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = BytesMut::with_capacity(TIME + record.sealed.len());
    bytes.put_u64(record.expires_at.millis());
    bytes.extend_from_slice(&record.sealed);
    bytes.into()
}

fn decode(mut bytes: Bytes) -> Option<Record> {
    let time = bytes.get(..TIME)?.try_into().ok()?;
    let sealed = bytes.split_off(TIME);
    Some(Record { sealed, expires_at: Timestamp::from_millis(u64::from_be_bytes(time)) })
}

impl Redis {
    /// Sets what nobody has set before; whether it was.
    async fn set_new(&self, name: String, value: &[u8], over: Timestamp) -> Result<bool, Unavailable> {
        let mut command = cmd("SET");
        command.arg(name).arg(value).arg("NX").arg("PXAT").arg(forgotten(over));
        let set = self.link.call(&command).await.map_err(|_| Unavailable)?;
        Ok(matches!(set, Value::Okay))
    }
}

impl Vault for Redis {
    fn put<'a>(&'a self, key: ContextKey<'a>, sealed: Bytes, expires_at: Timestamp) -> Answer<'a, ()> {
        Box::pin(async move {
            let value = encode(&Record { sealed, expires_at });
            let put = self.set_new(self.keys.context(key), &value, expires_at).await?;
            if put { Ok(()) } else { Err(Unavailable) }
        })
    }

    fn get<'a>(&'a self, key: ContextKey<'a>, now: Timestamp) -> Answer<'a, Option<Record>> {
        Box::pin(async move {
            let value: Option<Bytes> =
                self.link.call(cmd("GET").arg(self.keys.context(key))).await.map_err(|_| Unavailable)?;
            Ok(value.and_then(decode).filter(|record| record.expires_at > now))
        })
    }

    fn page(&self, from: Option<Cursor>) -> Answer<'_, Page> {
        Box::pin(async move {
            let read = |name: &str, value| {
                let (app, token) = self.keys.of_context(name)?;
                Some((app, token, decode(value)?))
            };
            self.page_of(self.keys.any_context(), from, read).await
        })
    }

    fn replace<'a>(&'a self, key: ContextKey<'a>, old: &'a Bytes, new: Bytes) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut script = self.scripts.replace.key(self.keys.context(key));
            script.arg(&old[..]).arg(&new[..]).arg(TIME);
            self.link.run(&script).await.map_err(|_| Unavailable)
        })
    }
}

impl Replay for Redis {
    fn first_use<'a>(&'a self, key: ContextKey<'a>, until: Timestamp) -> Answer<'a, bool> {
        Box::pin(async move {
            let value = until.millis().to_string();
            self.set_new(self.keys.first_use(key), value.as_bytes(), until).await
        })
    }

    fn uses_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, TokenId, Timestamp)>> {
        Box::pin(async move {
            let read = |name: &str, value: Bytes| {
                let (app, token) = self.keys.of_first_use(name)?;
                let until = std::str::from_utf8(&value).ok()?.parse().ok()?;
                Some((app, token, Timestamp::from_millis(until)))
            };
            self.page_of(self.keys.any_first_use(), from, read).await
        })
    }
}

/// A revocation as it is kept, with the time until which it matters.
type Kept = (Timestamp, Revocation);

impl Revocations for Redis {
    fn revoke<'a>(&'a self, revocation: &'a Revocation, until: Timestamp) -> Answer<'a, ()> {
        Box::pin(async move {
            let kept = serde_json::to_string(&(until, revocation)).map_err(|_| Unavailable)?;
            let mut script = self.scripts.revoke.key(self.keys.last_mark());
            script.key(self.keys.revocations()).key(self.keys.revocations_by_time());
            script.arg(kept).arg(until.millis().min(LAST));
            let _mark: u64 = self.link.run(&script).await.map_err(|_| Unavailable)?;
            Ok(())
        })
    }

    fn revoked_since(&self, mark: Mark) -> Answer<'_, Revoked> {
        Box::pin(async move {
            let mut script = self.scripts.marked_since.key(self.keys.last_mark());
            script.key(self.keys.revocations()).arg(mark.0);
            let (mark, kept): (u64, Vec<String>) = self.link.run(&script).await.map_err(|_| Unavailable)?;
            let read = |text: &String| serde_json::from_str::<Kept>(text).map(|(until, kept)| (kept, until));
            // One that cannot be read is of a later version: to go on without it would let its tokens in.
            let revocations = kept.iter().map(read).collect::<Result<_, _>>().map_err(|_| Unavailable)?;
            Ok(Revoked { revocations, mark: Mark(mark) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_what_it_writes() {
        let expires_at = Timestamp::from_millis(u64::MAX);
        for sealed in [Bytes::new(), Bytes::from_static(b"\0\xff")] {
            let record = Record { sealed, expires_at };
            assert_eq!(decode(encode(&record).into()), Some(record));
        }
        assert_eq!(decode(Bytes::from_static(b"short")), None);
    }
}
