//! Tokens that an upstream makes: fetched with the credential that the gate keeps, for one end user each. Who
//! asks for the same one at the same time, on any worker, gets the same one, and it is handed out again
//! while more than half of its life is left. Nobody shares one with somebody whom nobody knows.

mod attempt;
mod held;

use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};
use sidegate_core::app::Authority;
use sidegate_core::denial::Code;
use sidegate_core::dialect::orcheo::{Trade, Traded, Wanted, Workflow};
use sidegate_core::id::EndUserId;

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
    /// The workflow that it is to be bound to.
    workflow: Workflow,
    /// Whom it is for.
    end_user: EndUserId,
    /// Whether that is somebody whom nobody knows.
    anonymous: bool,
    /// What it is to say beside, for the upstream.
    details: Map<String, Value>,
}

impl Order {
    /// An order. `details` that say of the end user no more than the id say nothing beside.
    #[must_use]
    pub fn new(
        registered: Arc<Registered>,
        workflow: Workflow,
        end_user: EndUserId,
        anonymous: bool,
        mut details: Map<String, Value>,
    ) -> Self {
        let says_more = |user: &Value| user.as_object().is_some_and(|user| user.keys().any(|name| name != "id"));
        if details.get("user").is_some_and(|user| !says_more(user)) {
            details.remove("user");
        }
        Self { registered, workflow, end_user, anonymous, details }
    }

    fn trade(&self) -> Result<&Trade, Refused> {
        match &self.registered.app.authority {
            Authority::Upstream(trade) => Ok(trade),
            Authority::Local => Err(Code::Internal.into()),
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { workflow: &self.workflow, end_user: &self.end_user, details: &self.details }
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
        if let Some(held) = self.gate.trades.fresh(&key, self.gate.now()) {
            return self.reused(&held);
        }
        // In a task of its own: a page that leaves does not take away what others wait for.
        let broker = self.clone();
        let joined = tokio::task::spawn_local(async move { broker.join(key, order).await });
        joined.await.unwrap_or_else(|_| Err(Code::Internal.into()))
    }

    /// The first one fetches it, the others wait for what that one gets.
    async fn join(&self, key: Key, order: Order) -> Result<Traded, Refused> {
        match self.gate.trades.hold(&key, || self.gate.now()).await {
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
        attempt::fetch(self, order).await.inspect(|_| self.metrics.trade(TradeOutcome::Fetched))
    }
}
