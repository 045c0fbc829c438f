//! Requests that are sent again with the same `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) get the
//! first answer, for a while, on every replica: who asks twice for a session gets one.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use sidegate_core::context::ContextKey;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::entropy::hex;
use sidegate_core::id::{AppId, ObjectId, TokenId};
use sidegate_core::message::Reply;

use crate::gate::Gate;
use crate::limits::neighbourhood;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says that an answer was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Characters of a key: 128 bits in base64url at the least.
const LENGTHS: std::ops::RangeInclusive<usize> = 22..=255;

/// For how long an answer is given again.
const KEPT: Duration = Duration::from_secs(300);

/// For how long nobody else may begin to answer: longer than an answer takes.
const CLAIMED: Duration = Duration::from_secs(45);

/// How often, and after what time each, it is looked whether the first answer is there.
const LOOKS: (usize, Duration) = (60, Duration::from_millis(50));

/// What a request is known by that may come again.
#[derive(Debug)]
pub struct Replay<'a> {
    app: &'a AppId,
    /// Under which its answer is kept.
    token: TokenId,
    /// A digest of what must be the same.
    scope: String,
}

/// Whether a request has come before.
#[derive(Debug)]
pub enum First {
    /// It has not.
    Yes,
    /// It has; this is what it was answered.
    No(Reply),
}

/// An answer as it is kept, sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    scope: String,
    status: u16,
    body: String,
}

impl<'a> Replay<'a> {
    /// What this request is known by; `None` if it says nothing.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] for a key that is too short to be nobody else's, or two.
    pub fn of(
        headers: &HeaderMap,
        (app, widget): (&'a AppId, &ObjectId),
        (origin, address): (Option<&str>, IpAddr),
        body: &[u8],
    ) -> Result<Option<Self>, Denial> {
        let mut fields = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(field) = fields.next() else { return Ok(None) };
        let key = field.as_bytes();
        let is_plain = LENGTHS.contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        if fields.next().is_some() || !is_plain {
            const RULE: &str = "Idempotency-Key must be 22 to 255 visible characters: 128 random bits or more";
            return Err(Denial::because(Code::InvalidRequest, RULE));
        }
        let network = neighbourhood(address).to_string();
        let origin = origin.unwrap_or_default();
        let scope = digested(&[widget.as_str().as_bytes(), origin.as_bytes(), network.as_bytes(), body]);
        let named = digested(&[b"idempotency", app.as_str().as_bytes(), key]);
        let token = format!("idem-{}", named.get(..40).unwrap_or_default());
        Ok(Some(Self { app, token: token.parse().map_err(|_| Code::Internal)?, scope }))
    }

    const fn key(&self) -> ContextKey<'_> {
        ContextKey { app: self.app, token: &self.token }
    }

    /// Whether this is the first request with its key. If another one is being answered, that is awaited.
    ///
    /// # Errors
    /// [`Code::IdempotencyConflict`] if the key was used for something else, or the first answer takes too long;
    /// [`Code::StoreUnavailable`].
    pub async fn first(&self, gate: &Gate) -> Result<First, Denial> {
        if let Some(answer) = self.answer(gate).await? {
            return Ok(First::No(answer));
        }
        if gate.store.first_use(self.key(), gate.now().plus(CLAIMED)).await? {
            return Ok(First::Yes);
        }
        let (times, pause) = LOOKS;
        for _ in 0..times {
            tokio::time::sleep(pause).await;
            if let Some(answer) = self.answer(gate).await? {
                return Ok(First::No(answer));
            }
        }
        let wait = Denial::retry(Code::IdempotencyConflict, Duration::from_secs(5));
        Err(Denial { message: "The first request with this Idempotency-Key is not answered yet".into(), ..wait })
    }

    async fn answer(&self, gate: &Gate) -> Result<Option<Reply>, Denial> {
        let Some(record) = gate.vault.get(self.key(), gate.now()).await? else { return Ok(None) };
        let sealer = gate.sealer.as_ref().ok_or(Code::ContextNotConfigured)?;
        let opened = sealer.open(self.key(), &record.sealed).ok_or(Code::IdempotencyConflict)?;
        let kept: Kept = serde_json::from_slice(&opened).map_err(|_| Code::IdempotencyConflict)?;
        if kept.scope != self.scope {
            return Err(Code::IdempotencyConflict.into());
        }
        let status = StatusCode::from_u16(kept.status).map_err(|_| Code::Internal)?;
        let mut reply = Reply::json(status, kept.body.into_bytes());
        reply.headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(Some(reply))
    }

    /// Keeps the first answer. Whoever it is for has it in any case.
    pub async fn keep(&self, gate: &Gate, reply: &Reply) {
        if self.try_keep(gate, reply).await.is_err() {
            tracing::warn!("an answer could not be kept for those who ask again");
        }
    }

    async fn try_keep(&self, gate: &Gate, reply: &Reply) -> Result<(), Denial> {
        let body = String::from_utf8(reply.body.clone()).map_err(|_| Code::Internal)?;
        let kept = Kept { scope: self.scope.clone(), status: reply.status.as_u16(), body };
        let plaintext = zeroize::Zeroizing::new(serde_json::to_vec(&kept).map_err(|_| Code::Internal)?);
        let sealer = gate.sealer.as_ref().ok_or(Code::ContextNotConfigured)?;
        let sealed = sealer.seal(self.key(), &plaintext, &*gate.entropy).map_err(|_| Code::Internal)?;
        Ok(gate.vault.put(self.key(), Bytes::from(sealed), gate.now().plus(KEPT)).await?)
    }
}

/// A digest of parts that no other parts have.
fn digested(parts: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    hex(context.finish().as_ref())
}
