//! Limits: how often an app may be used. Counted in this process, or by a store that all replicas
//! share.
//!
//! A limit has one rate or several, which count by different keys. A request is counted by all of
//! them or, if one is full, by none.

mod local;
mod network_rate;
mod shared;
mod told;

pub use network_rate::NetworkRate;
pub use told::{Sender, Told};

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use sidegate_core::app::App;
use sidegate_core::denial::{Code, Denial, UsedUp};
use sidegate_core::dialect::Operation;
use sidegate_core::dialect::orcheo::WorkflowId;
use sidegate_core::id::{AppId, EndUserId};
use sidegate_core::rate::{Rate, RateKey, Rates};

use self::local::Local;
use self::told::Standing;
use crate::config::LimitsOnError;
use crate::store::{Counters, Whose};

/// An app's limits; `None` is unlimited.
#[derive(Debug)]
pub struct Limits {
    /// Of exchanges.
    pub exchange: Option<Limit>,
    /// Of admitted chat requests with a token.
    pub chat: Option<Limit>,
    /// Of admitted chat requests without one, to what is published.
    pub publish: Option<Limit>,
    /// Of questions who a visitor is, before anything is known of that one.
    pub authorize: Option<Limit>,
    /// Of transcripts that are asked for.
    pub history: Option<Limit>,
    /// Of calls for a human.
    pub escalate: Option<Limit>,
    /// Of settings of a widget that are asked for.
    pub config: Option<Limit>,
    /// Of sessions of those whom nobody vouches for.
    pub guest: Option<Limit>,
}

/// One limit.
#[derive(Debug)]
pub struct Limit {
    app: AppId,
    name: &'static str,
    /// What `RateLimit-Policy` says of it.
    policy: Option<HeaderValue>,
    /// One or more, in the order in which they are asked.
    counting: Box<[Counting]>,
}

/// A rate, and where it is counted in this process.
#[derive(Clone, Debug)]
struct Counting {
    rate: Rate,
    /// What it is called in the policy.
    name: Arc<str>,
    local: Arc<Local>,
}

/// Who is counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// Who sends the request.
    pub sender: Sender<'a>,
    /// The end user.
    pub end_user: &'a EndUserId,
    /// The workflow, where the dialect has such.
    pub workflow: Option<&'a WorkflowId>,
    /// The id of the session or token, if it has one. Some are secrets.
    pub session: Option<&'a str>,
    /// Method and template of a chat route.
    pub route: Option<(&'static str, &'static str)>,
}

impl<'a> Counted<'a> {
    /// A request that is for no workflow, no session and no chat route.
    #[must_use]
    pub const fn of(sender: Sender<'a>, end_user: &'a EndUserId) -> Self {
        Self { sender, end_user, workflow: None, session: None, route: None }
    }

    /// The same, for a workflow.
    #[must_use]
    pub const fn for_workflow(self, workflow: Option<&'a WorkflowId>) -> Self {
        Self { workflow, ..self }
    }

    /// The same, of a chat route.
    #[must_use]
    pub const fn by(self, operation: Operation) -> Self {
        Self { route: Some((operation.method(), operation.template())), ..self }
    }

    /// The same, in a session.
    #[must_use]
    pub const fn in_session(self, session: Option<&'a str>) -> Self {
        Self { session, ..self }
    }
}

impl Limits {
    /// An app's limits. A rate that is as in `before` goes on counting where that one is; others have
    /// fresh counters in this process.
    #[must_use]
    pub fn new(app: &App, before: Option<&Self>) -> Self {
        let limit =
            |name, rates: &Rates, of: fn(&Self) -> Option<&Limit>| Limit::new(app, name, rates, before.and_then(of));
        let limits = &app.limits;
        Self {
            exchange: limit("exchange", &limits.exchange, |before| before.exchange.as_ref()),
            chat: limit("chat", &limits.chat, |before| before.chat.as_ref()),
            publish: limit("publish", &limits.publish, |before| before.publish.as_ref()),
            authorize: limit("authorize", &limits.authorize, |before| before.authorize.as_ref()),
            history: limit("history", &limits.history, |before| before.history.as_ref()),
            escalate: limit("escalate", &limits.escalate, |before| before.escalate.as_ref()),
            config: limit("config", &limits.config, |before| before.config.as_ref()),
            guest: limit("guest", &limits.guest, |before| before.guest.as_ref()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Limit> {
        let Self { exchange, chat, publish, authorize, history, escalate, config, guest } = self;
        [exchange, chat, publish, authorize, history, escalate, config, guest].into_iter().flatten()
    }

    /// Forgets keys that are at rest.
    pub fn sweep(&self) {
        self.all().flat_map(|limit| &limit.counting).for_each(|counting| counting.local.sweep());
    }
}

impl Limit {
    fn new(app: &App, name: &'static str, rates: &Rates, before: Option<&Self>) -> Option<Self> {
        let before = before.map_or(&[][..], |before| &before.counting);
        let counting = |(rate, name): (&Rate, String)| {
            let same = before.iter().find(|before| before.rate == *rate);
            let local = same.map_or_else(|| Arc::new(Local::new(*rate)), |same| Arc::clone(&same.local));
            Counting { rate: *rate, name: name.into(), local }
        };
        let counting: Box<[_]> = rates.all().iter().zip(told::names(name, rates)).map(counting).collect();
        let policy = told::policy(name, rates);
        (!counting.is_empty()).then(|| Self { app: app.id.clone(), name, policy, counting })
    }

    /// Counts a request: by `counters` if there are any, else in this process, without waiting. What is left is
    /// noted for the answer's fields.
    ///
    /// # Errors
    /// [`Code::RateLimited`], with whose share is used up and
    /// the time until the next one; the request is counted nowhere then. If `counters` do not answer,
    /// what `on_error` says.
    pub async fn check(
        &self,
        counters: Option<&dyn Counters>,
        on_error: LimitsOnError,
        counted: Counted<'_>,
    ) -> Result<(), Denial> {
        match counters {
            None => self.check_here(counted),
            Some(counters) => self.check_shared(counters, on_error, counted).await,
        }
    }

    /// Whether one of its rates is counted by end user or session.
    #[must_use]
    pub fn is_of_users(&self) -> bool {
        self.counting.iter().any(|counting| matches!(counting.rate.key, RateKey::EndUser | RateKey::Session))
    }

    /// Looks at every rate before it counts by any. Requests that come together may all find the last
    /// place free: one gets it, the others have then been counted by the rates before it.
    fn check_here(&self, counted: Counted<'_>) -> Result<(), Denial> {
        if let Some(full) = self.first_full(counted) {
            return Err(self.refusal(full.0, counted, full.1));
        }
        let mut nearest: Option<Standing> = None;
        for counting in &self.counting {
            let standing = counting.count(counted).map_err(|wait| self.refusal(counting, counted, wait))?;
            if nearest.as_ref().is_none_or(|nearest| standing.is_before(nearest)) {
                nearest = Some(standing);
            }
        }
        self.tell(counted, nearest);
        Ok(())
    }

    /// The first of several rates that takes no request. A single one says so when it counts.
    fn first_full(&self, counted: Counted<'_>) -> Option<(&Counting, Duration)> {
        let several = self.counting.iter().filter(|_| self.counting.len() > 1);
        several.into_iter().find_map(|counting| Some((counting, counting.look(counted).err()?)))
    }

    fn refusal(&self, full: &Counting, counted: Counted<'_>, wait: Duration) -> Denial {
        self.tell(counted, Some(full.standing(0, wait)));
        full.denial(counted, wait)
    }

    fn tell(&self, counted: Counted<'_>, standing: Option<Standing>) {
        if let Some(standing) = standing {
            counted.sender.told.note(self.policy.as_ref(), standing);
        }
    }
}

impl Counting {
    fn look(&self, counted: Counted<'_>) -> Result<(), Duration> {
        self.local.look(self.whose(counted))
    }

    fn count(&self, counted: Counted<'_>) -> Result<Standing, Duration> {
        let whose = self.whose(counted);
        let left = self.local.count(whose)?;
        // Only then the time until the next one matters.
        let wait = if left == 0 { self.local.look(whose).err().unwrap_or_default() } else { Duration::ZERO };
        Ok(self.standing(left, wait))
    }

    fn standing(&self, left: u32, wait: Duration) -> Standing {
        let window = if left == 0 { wait } else { self.rate.interval() * left };
        Standing { name: Arc::clone(&self.name), left, window }
    }

    fn whose<'a>(&self, counted: Counted<'a>) -> Whose<'a> {
        match self.rate.key {
            RateKey::App => Whose::App,
            // The settings refuse these keys where there are no workflows or routes.
            RateKey::Workflow => counted.workflow.map_or(Whose::App, Whose::Workflow),
            RateKey::Route => counted.route.map_or(Whose::App, Whose::Route),
            RateKey::Session => counted.session.map_or(Whose::EndUser(counted.end_user), Whose::Session),
            RateKey::EndUser => Whose::EndUser(counted.end_user),
            RateKey::Address => Whose::Network(network(counted.sender.address)),
            RateKey::Network => Whose::Network(neighbourhood(counted.sender.address)),
        }
    }

    fn denial(&self, counted: Counted<'_>, wait: Duration) -> Denial {
        let used_up = match self.rate.key {
            RateKey::App => UsedUp::App,
            RateKey::Workflow => UsedUp::Workflow,
            RateKey::Route => UsedUp::Route,
            RateKey::Session => UsedUp::Session,
            RateKey::EndUser => UsedUp::EndUser,
            RateKey::Address => UsedUp::Address(counted.sender.address.to_canonical()),
            RateKey::Network => UsedUp::Network,
        };
        Denial::rate_limited(used_up, self.rate, wait)
    }
}

/// Whoever comes from an address and is not known otherwise, as one to be counted.
///
/// # Errors
/// [`Code::Internal`], which no address causes.
pub fn stranger(address: IpAddr) -> Result<EndUserId, Denial> {
    let network = network(address);
    format!("sidegate-stranger@{network}").parse().map_err(|_| Code::Internal.into())
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, within which a
/// client picks addresses as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => (address.to_bits() & !u128::from(u64::MAX)).to_be_bytes().into(),
    }
}

/// The network of 24 bits around an IPv4 address; an IPv6 one is that of its 64 bits.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match network(address) {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xff).into(),
        IpAddr::V6(address) => address.into(),
    }
}

#[cfg(test)]
mod tests;
