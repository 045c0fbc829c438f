//! Requests that are sent again with the same `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) get the
//! first answer, for a while, on every replica: who asks twice for a session gets one.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use sidegate_core::clock::Timestamp;
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

/// After so long whoever answers has died: longer than an answer takes.
const CLAIMED: Duration = Duration::from_secs(45);

/// How often, and after what time each, it is looked whether the first answer is there.
const LOOKS: (usize, Duration) = (12, Duration::from_millis(250));

/// What a request is known by that may come again.
#[derive(Debug)]
pub struct Replay {
    app: AppId,
    /// Under which its answer is kept.
    token: TokenId,
    /// A digest of what must be the same.
    scope: String,
}

/// Whether a request has come before.
#[derive(Debug)]
pub enum First {
    /// It has not; the answer is the caller's to give, and to be settled.
    Yes(Claim),
    /// It has; this is what it was answered.
    No(Reply),
}

/// The right to answer.
#[derive(Debug)]
pub struct Claim(Bytes);

/// What is kept of a request, sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    scope: String,
    state: State,
}

#[derive(Serialize, Deserialize)]
enum State {
    /// Somebody answers it, since then.
    Claimed(Timestamp),
    /// Somebody could not.
    Free,
    /// It was answered.
    Answered { status: u16, body: String },
}

impl Replay {
    /// What this request is known by; `None` if it says nothing.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] for a key that is too short to be nobody else's, or two.
    pub fn of(
        headers: &HeaderMap,
        (app, widget): (&AppId, &ObjectId),
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
        Ok(Some(Self { app: app.clone(), token: token.parse().map_err(|_| Code::Internal)?, scope }))
    }

    const fn key(&self) -> ContextKey<'_> {
        ContextKey { app: &self.app, token: &self.token }
    }

    /// Whether this is the first request with its key. If another one is being answered, that is awaited.
    ///
    /// # Errors
    /// [`Code::IdempotencyConflict`] if the key was used for something else; [`Code::Overloaded`] if the first answer takes
    /// too long; [`Code::StoreUnavailable`].
    pub async fn first(&self, gate: &Gate) -> Result<First, Denial> {
        let (times, pause) = LOOKS;
        for _ in 0..times {
            if let Some(first) = self.look(gate).await? {
                return Ok(first);
            }
            tokio::time::sleep(pause).await;
        }
        let wait = Denial::retry(Code::Overloaded, Duration::from_secs(2));
        Err(Denial { message: "The first request with this Idempotency-Key is not answered yet".into(), ..wait })
    }

    /// `None` while somebody else answers.
    async fn look(&self, gate: &Gate) -> Result<Option<First>, Denial> {
        let claim = self.sealed(gate, State::Claimed(gate.now()))?;
        let Some(record) = gate.vault.get(self.key(), gate.now()).await? else {
            let put = gate.vault.put(self.key(), claim.clone(), gate.now().plus(KEPT)).await;
            // Somebody else may have come first, which the next look tells.
            return match put {
                Ok(()) => Ok(Some(First::Yes(Claim(claim)))),
                Err(fault) => match gate.vault.get(self.key(), gate.now()).await? {
                    Some(_) => Ok(None),
                    None => Err(fault.into()),
                },
            };
        };
        let free = match self.opened(gate, &record.sealed)? {
            State::Answered { status, body } => return Ok(Some(First::No(replayed(status, body)?))),
            State::Free => true,
            State::Claimed(since) => gate.now().since(since) > CLAIMED,
        };
        let mine = free && gate.vault.replace(self.key(), &record.sealed, claim.clone()).await?;
        Ok(mine.then(|| First::Yes(Claim(claim))))
    }

    /// Keeps the answer, or says that there is none: the next one may try.
    pub async fn settle(&self, gate: &Gate, Claim(claim): Claim, answer: Option<&Reply>) {
        let state = answer.map_or(State::Free, |reply| State::Answered {
            status: reply.status.as_u16(),
            body: String::from_utf8_lossy(&reply.body).into_owned(),
        });
        let settled = match self.sealed(gate, state) {
            Ok(state) => gate.vault.replace(self.key(), &claim, state).await.unwrap_or(false),
            Err(_) => false,
        };
        if !settled {
            tracing::warn!("an answer could not be kept for those who ask again");
        }
    }

    fn opened(&self, gate: &Gate, sealed: &[u8]) -> Result<State, Denial> {
        let sealer = gate.sealer.as_ref().ok_or(Code::ContextNotConfigured)?;
        let opened = sealer.open(self.key(), sealed).ok_or(Code::IdempotencyConflict)?;
        let kept: Kept = serde_json::from_slice(&opened).map_err(|_| Code::IdempotencyConflict)?;
        if kept.scope == self.scope { Ok(kept.state) } else { Err(Code::IdempotencyConflict.into()) }
    }

    fn sealed(&self, gate: &Gate, state: State) -> Result<Bytes, Denial> {
        let kept = Kept { scope: self.scope.clone(), state };
        let plaintext = zeroize::Zeroizing::new(serde_json::to_vec(&kept).map_err(|_| Code::Internal)?);
        let sealer = gate.sealer.as_ref().ok_or(Code::ContextNotConfigured)?;
        Ok(sealer.seal(self.key(), &plaintext, &*gate.entropy).map_err(|_| Code::Internal)?.into())
    }
}

fn replayed(status: u16, body: String) -> Result<Reply, Denial> {
    let status = StatusCode::from_u16(status).map_err(|_| Code::Internal)?;
    let mut reply = Reply::json(status, body.into_bytes());
    reply.headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(reply)
}

/// A digest of parts that no other parts have: SHA-256, in 64 hexadecimal digits.
pub fn digested(parts: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    hex(context.finish().as_ref())
}
