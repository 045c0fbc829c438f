//! A visitor of Mitigate's comes in: with an identity token, which is good once, with the guest form, or with nothing.
//! What comes of it is a session, and a token of the gate's own for the chat.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use secrecy::{ExposeSecret as _, SecretString};
use sidegate_core::context::{ContextKey, SessionContext};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::mitigate::{self, Challenge, Guest, Shown, Verified, Wire};
use sidegate_core::id::{EndUserId, SessionId, TokenId};
use sidegate_core::policy::{self, Provenance};
use sidegate_core::secret::SecretDigest;
use sidegate_core::session::{ChatSession, Mode};

use super::Live;
use super::open::{begin, sent_origin};
use super::vouched::{REVOKED, Vouched};
use crate::forward::{Call, Client, Failure, Refused};
use crate::gate::Gate;
use crate::limits::{Counted, Sender, stranger};
use crate::metrics::{Metrics, SessionOutcome};
use crate::registry::Registered;

/// Bytes of an answer to the question whether a visitor is a program.
const MAX_VERDICT: usize = 16 * 1024;

/// Who takes visitors in.
pub struct Door<'a> {
    /// What all workers share.
    pub gate: &'a Gate,
    /// This worker's counters.
    pub metrics: &'a Metrics,
    /// This worker's upstream connections.
    pub client: &'a Rc<Client>,
}

impl Door<'_> {
    /// Takes a visitor in.
    ///
    /// # Errors
    /// [`Code::OriginNotAllowed`]; [`Code::ModeDisabled`]; [`Code::RateLimited`]; [`Code::IdentityInvalid`], whatever is
    /// wrong with a token; [`Code::ChallengeFailed`]; [`Code::Overloaded`]; [`Code::StoreUnavailable`].
    pub async fn enter(
        &self,
        registered: &Arc<Registered>,
        wire: Wire,
        (from, sender): (Provenance<'_>, Sender<'_>),
    ) -> Result<Live, Refused> {
        let (gate, app) = (self.gate, &registered.app);
        policy::check_origin(app, from, gate.own_origin())?;
        let mode = wire.shown.mode();
        app.widget.takes(mode)?;
        let nobody_known = stranger(sender.address)?;
        let counted = Counted::of(sender, &nobody_known);
        gate.count(registered.limits.exchange.as_ref(), counted).await?;
        if mode != Mode::Identified {
            gate.count(registered.limits.guest.as_ref(), counted).await?;
            self.challenge(registered, wire.proof.as_deref(), sender.address).await?;
        }
        let (end_user, context) = match wire.shown {
            Shown::Token(token) => self.identified(registered, token).await?,
            Shown::Guest(guest) => (nobody(gate)?, of_guest(&guest)),
            Shown::Nothing => (nobody(gate)?, SessionContext::default()),
        };
        let context = match wire.locale {
            Some(locale) => context.and_unverified("locale", locale.name().to_owned()),
            None => context,
        };
        let origin = sent_origin(from);
        let id = SessionId::new(&*gate.entropy).map_err(|_| Code::Internal)?;
        let session = ChatSession { id, end_user, mode, origin, opened_at: gate.now(), context };
        let live = begin(gate, app, session).await?;
        self.metrics.session(SessionOutcome::of(mode));
        Ok(live)
    }

    /// Who an identity token says that a visitor is. It is used up by that.
    async fn identified(
        &self,
        registered: &Arc<Registered>,
        token: SecretString,
    ) -> Result<(EndUserId, SessionContext), Denial> {
        let refused = |reason: &'static str| {
            self.metrics.identity(reason);
            tracing::info!(app = registered.app.id.as_str(), reason, "an identity token is refused");
            Denial::from(Code::IdentityInvalid)
        };
        // Only this worker's own memory is asked before the token is opened: it says no more than the store would.
        let digest = SecretDigest::of(&token);
        if self.gate.spent.get(&digest).is_some() {
            return Err(refused(REPLAYED));
        }
        let (verified, text) = self.open(registered, token).await?;
        let verified = verified.map_err(|reason| refused(reason.name()))?;
        let Verified { user_id, jti, issued_at, .. } = &verified;
        let vouched = Vouched { end_user: user_id, issued_at: *issued_at, jti: Some(jti), text: text.expose_secret() };
        if vouched.is_revoked(self.gate, &registered.app)? {
            return Err(refused(REVOKED));
        }
        let first = self.use_up(registered, &verified).await?;
        self.gate.spent.insert(digest, ());
        if !first {
            return Err(refused(REPLAYED));
        }
        self.metrics.identity("verified");
        let user_id = ("user_id".to_owned(), verified.user_id.as_str().to_owned());
        let context = SessionContext::of_user([user_id]);
        let context = match verified.access_token {
            Some(access_token) => context.and_secret("access_token", access_token),
            None => context,
        };
        Ok((verified.user_id, context))
    }

    async fn open(
        &self,
        registered: &Arc<Registered>,
        token: SecretString,
    ) -> Result<(Result<Verified, mitigate::Reason>, SecretString), Denial> {
        let (registered, now) = (Arc::clone(registered), self.gate.now());
        let opened = self.gate.rsa.run(move || {
            let keys = registered.app.widget.keys.as_ref()?;
            Some((mitigate::verify(token.expose_secret(), keys, now), token))
        });
        opened.await?.ok_or_else(|| Code::ModeDisabled.into())
    }

    /// Whether the token is used for the first time, on all replicas.
    async fn use_up(&self, registered: &Registered, verified: &Verified) -> Result<bool, Denial> {
        let token = used_as(&verified.jti)?;
        let key = ContextKey { app: &registered.app.id, token: &token };
        Ok(self.gate.store.first_use(key, verified.refused_from).await?)
    }

    /// Asks whether the visitor is a program, where the app wants to know.
    async fn challenge(&self, registered: &Registered, proof: Option<&str>, address: IpAddr) -> Result<(), Refused> {
        let (Some(challenge), Some(upstream)) = (&registered.app.widget.challenge, &registered.challenger) else {
            return Ok(());
        };
        let proof = proof.filter(|proof| !proof.is_empty()).ok_or(Code::ChallengeFailed)?;
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json.clone()), (ACCEPT, json)]);
        let body = Some(challenge.question(proof, address).into());
        let call = Call { method: Method::POST, path: &challenge.path, query: None, headers, body, limit: MAX_VERDICT };
        let answer = self.client.call(upstream, call).await.map_err(unasked)?;
        let verdict = Some(answer).filter(|answer| answer.status().is_success());
        let verdict = verdict.and_then(|answer| Challenge::verdict(answer.body()));
        let verdict = verdict.ok_or(Failure::Unreadable).map_err(unasked)?;
        if verdict { Ok(()) } else { Err(Code::ChallengeFailed.into()) }
    }
}

const REPLAYED: &str = "replayed";

/// Nobody could say; so nobody is let in.
fn unasked(failure: Failure) -> Refused {
    Refused { denial: Code::ChallengeUnavailable.into(), failure: Some(failure) }
}

fn nobody(gate: &Gate) -> Result<EndUserId, Denial> {
    EndUserId::anonymous(&*gate.entropy).map_err(|_| Code::Internal.into())
}

fn of_guest(guest: &Guest) -> SessionContext {
    let context = SessionContext::default().and_unverified("name", guest.name().to_owned());
    context.and_unverified("email", guest.email().to_owned())
}

/// The id under which an identity token is used up: apart from the ids of the gate's own tokens.
fn used_as(jti: &TokenId) -> Result<TokenId, Denial> {
    let digest = SecretDigest::of(&jti.as_str().into()).to_string();
    let digits = digest.trim_start_matches("sha256:").get(..48).unwrap_or_default();
    format!("identity-{digits}").parse().map_err(|_| Code::Internal.into())
}
