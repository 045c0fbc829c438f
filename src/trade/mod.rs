//! Tokens that an upstream makes: fetched with the credential that the gate keeps, for one end user each. Who
//! asks for the same one at the same time, on any worker, gets the same one, and it is handed out again
//! while more than half of its life is left, but not to a page that says it has that one and needs another.
//! Nobody shares one with somebody whom nobody knows.

mod attempt;
mod held;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use secrecy::SecretString;
use serde_json::{Map, Value};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo::{Ask, Purpose, Trade, Traded, Wanted};
use sidegate_core::id::EndUserId;
use sidegate_core::message::Reply;

use self::attempt::{ATTEMPTS, Errand};
pub use self::held::Trades;
use self::held::{Held, Key};
use crate::forward::{Client, Refused};
use crate::gate::Gate;
use crate::metrics::{Metrics, TradeOutcome};
use crate::registry::Registered;

/// What a worker trades with.
#[derive(Clone)]
pub struct Broker {
    /// What all workers share.
    pub gate: Arc<Gate>,
    /// Its own connections.
    pub client: Rc<Client>,
    /// Its own counters.
    pub metrics: Arc<Metrics>,
}

/// A token that is asked for.
#[derive(Clone, Debug)]
pub struct Order {
    /// The app, whose upstream makes it.
    registered: Arc<Registered>,
    /// What it is for.
    purpose: Purpose,
    /// Whom it is for.
    end_user: EndUserId,
    /// Whether that is somebody whom nobody knows.
    anonymous: bool,
    /// What it is to say beside, for the upstream.
    details: Map<String, Value>,
    /// The one that it is to replace.
    current: Option<SecretString>,
}

impl Order {
    /// An order. `details` that say of the end user no more than the id say nothing beside, nor do any to a
    /// vendor that does not take them.
    #[must_use]
    pub fn new(
        registered: Arc<Registered>,
        purpose: Purpose,
        end_user: EndUserId,
        anonymous: bool,
        mut details: Map<String, Value>,
    ) -> Self {
        let says_more = |user: &Value| user.as_object().is_some_and(|user| user.keys().any(|name| name != "id"));
        if details.get("user").is_some_and(|user| !says_more(user)) {
            details.remove("user");
        }
        if !registered.app.trade().is_some_and(|trade| trade.vendor.takes_details()) {
            details.clear();
        }
        Self { registered, purpose, end_user, anonymous, details, current: None }
    }

    /// The same, for who has `current` and needs another one.
    #[must_use]
    pub fn instead_of(mut self, current: Option<SecretString>) -> Self {
        self.current = current;
        self
    }

    /// What it is for.
    #[must_use]
    pub const fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    fn trade(&self) -> Result<&Trade, Refused> {
        Ok(self.registered.app.trade().ok_or(Code::Internal)?)
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { purpose: &self.purpose, end_user: &self.end_user, details: &self.details }
    }

    /// Whether another one like it may have its token.
    fn is_shared(&self) -> bool {
        !self.anonymous && self.details.is_empty()
    }
}

impl Broker {
    /// A token as it was ordered.
    ///
    /// # Errors
    /// [`Refused`]: what the upstream's refusal or failure means.
    pub async fn token(&self, order: Order) -> Result<Traded, Refused> {
        let traded = if order.is_shared() { self.shared(order).await } else { self.fetch(&order).await };
        traded.inspect_err(|_| self.metrics.trade(TradeOutcome::Failed))
    }

    async fn shared(&self, order: Order) -> Result<Traded, Refused> {
        let key = Key::of(&order);
        if let Some(held) = self.gate.trades.fresh(&key, order.current.as_ref(), self.gate.now()) {
            return self.reused(&held);
        }
        // In a task of its own: a page that leaves does not take away what others wait for.
        let broker = self.clone();
        let joined = tokio::task::spawn_local(async move { broker.join(key, order).await });
        joined.await.unwrap_or_else(|_| Err(Code::Internal.into()))
    }

    /// The first one fetches it, the others wait for what that one gets.
    async fn join(&self, key: Key, order: Order) -> Result<Traded, Refused> {
        match self.gate.trades.hold(&key, order.current.as_ref(), || self.gate.now()).await {
            Ok(held) => self.reused(&held),
            Err(place) => {
                let outcome = self.fetch(&order).await;
                place.fill(Held::new(outcome.clone(), self.gate.now()));
                outcome
            }
        }
    }

    fn reused(&self, held: &Held) -> Result<Traded, Refused> {
        held.outcome.clone().inspect(|_| self.metrics.trade(TradeOutcome::Reused))
    }

    async fn fetch(&self, order: &Order) -> Result<Traded, Refused> {
        let trade = order.trade()?;
        let errand = Errand {
            registered: &order.registered,
            trade,
            ask: trade.ask(order.wanted()).ok_or(Code::Internal)?,
            attempts: ATTEMPTS,
            read: &|body| trade.traded(&order.purpose, body, self.gate.now()),
            refused: &|status, retry_after| trade.vendor.refused(status, retry_after),
        };
        attempt::fetch(self, &errand).await.inspect(|_| self.metrics.trade(TradeOutcome::Fetched))
    }

    /// Asks an app's vendor once, and hands over what it answers. Nothing of it is kept.
    ///
    /// # Errors
    /// [`Refused`]: what its refusal or failure means.
    pub async fn relay(
        &self,
        registered: &Registered,
        ask: Ask,
        read: &dyn Fn(&[u8]) -> Option<Reply>,
        refused: &dyn Fn(StatusCode, Option<Duration>) -> Denial,
    ) -> Result<Reply, Refused> {
        let trade = registered.app.trade().ok_or(Code::Internal)?;
        let errand = Errand { registered, trade, ask, attempts: 1, read, refused };
        attempt::fetch(self, &errand).await
    }
}
