//! What all listeners of a worker do alike: take a request, and give its answer what every answer has.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::DATE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{Dialect, Operation};
use sidegate_core::id::AppId;
use tokio::time::Instant;

use super::access::{Facts, Record};
use super::body::Body;
use super::request_ids::{RequestIds, X_REQUEST_ID};
use super::serving::Services;
use super::{Peer, Seat, convert};
use crate::forward::{AnswerBody, Client, Failure};
use crate::gate::{Gate, Gates};
use crate::leash::Leashes;
use crate::limits::{Sender, Told};
use crate::metrics::{Listener, Metrics};
use crate::overload::{Overload, Reason};
use crate::trade::Broker;
use crate::widgets::{Served, Widgets};
use crate::wire::{ClientBody, HeadFault, Scratch};

/// When somebody may come back who was refused because there was too much to do.
const COME_BACK: Duration = Duration::from_secs(1);

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What answers the requests of one listener.
pub trait Service: 'static {
    /// Which listener.
    const LISTENER: Listener;

    /// The one of its kind.
    fn of(services: &Services) -> &Rc<Self>;

    /// What it shares with the worker's other services.
    fn common(&self) -> &Common;

    /// Answers one request.
    fn respond(&self, arrival: &Arrival, request: Request<ClientBody>) -> impl Future<Output = Outcome>;

    /// What pages may read of the refusal of a head that was not read. Its `Origin` may be wrong.
    fn cors_of_unread(&self, unverified_origin: Option<&HeaderValue>) -> Cors;
}

/// What the services of one worker share.
pub struct Common {
    /// What all workers share.
    pub gate: Arc<Gate>,
    /// This worker's counters.
    pub metrics: Arc<Metrics>,
    /// What this worker's connections are read into.
    pub scratch: Rc<Scratch>,
    /// This worker's upstream connections.
    pub client: Rc<Client>,
    /// This worker's streams.
    pub leashes: Rc<Leashes>,
    /// How loaded this worker is.
    pub overload: Rc<Overload>,
    request_ids: Rc<RequestIds>,
    /// The value of `Date`, as of the last [`Common::tick`].
    date: RefCell<HeaderValue>,
}

/// A request on its way in: whose, and under which id.
pub struct Arrival {
    /// The other end of its connection.
    pub peer: Rc<Peer>,
    /// When its head had been read.
    pub started: Instant,
    /// Its id.
    pub request_id: HeaderValue,
    /// What its limits say.
    pub told: Told,
}

impl Arrival {
    /// A request that has just been read.
    fn new(peer: Rc<Peer>, request_id: HeaderValue) -> Self {
        Self { peer, started: Instant::now(), request_id, told: Told::default() }
    }

    /// Whom limits count, by a head of these fields.
    pub(super) fn sender(&self, gate: &Gate, headers: &HeaderMap) -> Sender<'_> {
        Sender { address: self.peer.client(gate, headers), told: &self.told }
    }
}

/// An answer on its way out, with what its record will say.
pub struct Outcome {
    /// The answer, without the fields that every answer has.
    pub(super) response: Response<AnswerBody>,
    /// Its CORS fields.
    pub(super) cors: Cors,
    /// What was made of the request.
    pub(super) facts: Facts,
}

impl Outcome {
    pub(super) fn of(response: Response<Bytes>, cors: Cors) -> Self {
        Self::with_body(response.map(AnswerBody::Full), cors)
    }

    pub(super) fn with_body(response: Response<AnswerBody>, cors: Cors) -> Self {
        let facts = Facts { code: convert::code(&response), ..Facts::default() };
        Self { response, cors, facts }
    }

    pub(super) fn refused(dialect: Option<Dialect>, denial: &Denial, cors: Cors) -> Self {
        Self::of(convert::refusal(dialect, denial), cors)
    }

    /// What failed, if the upstream did.
    pub(super) fn after(mut self, failure: Option<Failure>) -> Self {
        if let Some(failure) = failure {
            let field = HeaderValue::from_static(failure.proxy_status());
            self.response.headers_mut().insert(PROXY_STATUS, field);
        }
        self.facts.failure = failure;
        self
    }

    /// The chat route and the app that it was for.
    pub(super) fn of_call(mut self, operation: Operation, app: Option<&AppId>) -> Self {
        self.facts.operation = Some(operation);
        self.facts.route = Some(operation.template());
        self.facts.app = app.cloned();
        self
    }

    /// The widget whose use it is.
    pub(super) fn of_widget(mut self, widgets: &Arc<Widgets>, served: &Arc<Served>) -> Self {
        self.facts.app = Some(served.widget.app.clone());
        self.facts.widget = Some((Arc::clone(widgets), Arc::clone(served)));
        self
    }

    /// The local route that it was for.
    pub(super) const fn of_route(mut self, route: &'static str) -> Self {
        self.facts.route = Some(route);
        self
    }
}

/// Answers one request.
pub(super) fn handle<S: Service>(
    seat: &Seat,
    request: Request<ClientBody>,
) -> impl Future<Output = Response<Body>> + use<S> {
    let (service, peer) = seat.take::<S>();
    async move {
        let common = service.common();
        let arrival = Arrival::new(peer, common.request_ids.next());
        // If the client leaves before it has its answer, this is dropped, and so written.
        let record = common.record(S::LISTENER, &arrival, request.method().clone());
        let outcome = service.respond(&arrival, request).await;
        common.finish(outcome, arrival, record)
    }
}

/// Answers a head that was not read. What of it is known may be wrong, so it chooses nothing but
/// whether its page may read the refusal.
pub(super) fn refuse_head<S: Service>(seat: &Seat, fault: HeadFault, origin: Option<&HeaderValue>) -> Response<Body> {
    let code = match fault {
        HeadFault::Malformed => Code::InvalidRequest,
        HeadFault::TooLarge => Code::HeadTooLarge,
        HeadFault::TargetTooLong => Code::TargetTooLong,
    };
    let (service, peer) = seat.take::<S>();
    let outcome = Outcome::refused(None, &code.into(), service.cors_of_unread(origin));
    let common = service.common();
    let arrival = Arrival::new(peer, common.request_ids.next());
    let record = common.record(S::LISTENER, &arrival, Method::default());
    common.finish(outcome, arrival, record)
}

impl Common {
    /// What the services of one of `workers` begin with; its request ids at `seed`.
    #[must_use]
    pub fn new(gates: &Gates, metrics: Arc<Metrics>, seed: u64, workers: usize) -> Self {
        let (gate, date) = (gates.load_full(), RefCell::new(HeaderValue::from_static("")));
        let scratch = Rc::<Scratch>::default();
        let client = Rc::new(Client::new(Rc::clone(&scratch)));
        let leashes = Leashes::new(Arc::clone(gates), Arc::clone(&metrics));
        let overload = Rc::new(Overload::new(&gate.listen, workers));
        let request_ids = Rc::new(RequestIds::new(seed));
        let common = Self { gate, metrics, scratch, client, leashes, overload, request_ids, date };
        common.tick();
        common
    }

    /// The same worker's, with another gate; connections to upstreams that are none of its any more are closed.
    #[must_use]
    pub(super) fn renewed(&self, gate: Arc<Gate>) -> Self {
        self.client.close_retired(self.gate.registry.load().upstreams());
        self.client.close_retired(self.gate.assets.as_ref().and_then(|assets| assets.upstream()).as_ref());
        self.overload.follow(&gate.listen);
        Self {
            gate,
            metrics: Arc::clone(&self.metrics),
            scratch: Rc::clone(&self.scratch),
            client: Rc::clone(&self.client),
            leashes: Rc::clone(&self.leashes),
            overload: Rc::clone(&self.overload),
            request_ids: Rc::clone(&self.request_ids),
            date: self.date.clone(),
        }
    }

    /// Sets the date of answers to the time now. Called every second.
    pub fn tick(&self) {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.gate.now().seconds()));
        self.date.replace(HeaderValue::try_from(date).unwrap_or(HeaderValue::from_static("")));
    }

    /// What this worker trades with.
    #[must_use]
    pub fn broker(&self) -> Broker {
        let (gate, metrics) = (Arc::clone(&self.gate), Arc::clone(&self.metrics));
        Broker { gate, client: Rc::clone(&self.client), metrics }
    }

    /// Refuses a request because there is too much to do; before anything is done for it.
    ///
    /// # Errors
    /// [`Code::Overloaded`].
    pub(super) fn check_load(&self, arrival: &Arrival) -> Result<(), Denial> {
        let crowded = arrival.peer.crowded.then_some(Reason::Connections);
        let Some(reason) = crowded.or_else(|| self.overload.sheds()) else { return Ok(()) };
        self.metrics.shed(reason);
        Err(Denial::retry(Code::Overloaded, COME_BACK))
    }

    fn record(&self, listener: Listener, arrival: &Arrival, method: Method) -> Box<Record> {
        let under_way = self.overload.enter();
        let metrics = Arc::clone(&self.metrics);
        // In a box, as it goes a long way.
        Box::new(Record::new(metrics, self.gate.access_log, listener, arrival, method, under_way))
    }

    /// The answer with what every answer has, and its record.
    fn finish(&self, outcome: Outcome, arrival: Arrival, mut record: Box<Record>) -> Response<Body> {
        let Outcome { mut response, cors, facts } = outcome;
        let headers = response.headers_mut();
        cors.apply(headers);
        arrival.told.put_on(headers);
        headers.insert(X_REQUEST_ID, arrival.request_id);
        headers.entry(DATE).or_insert_with(|| self.date.borrow().clone());
        record.answered(response.status(), facts);
        if is_empty(response.body()) {
            record.complete();
        }
        response.map(|body| Body::new(body, record))
    }
}

/// An answer without a body is never asked for a frame, so it is complete from the start.
fn is_empty(body: &AnswerBody) -> bool {
    match body {
        AnswerBody::Full(bytes) => bytes.is_empty(),
        AnswerBody::Streamed(streamed) => streamed.is_end_stream(),
        AnswerBody::Listed(listed) => listed.is_end_stream(),
        AnswerBody::Tunnel(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Private, Public};
    use super::*;

    /// Each request copies it once and holds it until it is answered, so what few requests need is in boxes.
    #[test]
    fn what_answers_a_request_takes_little_room() {
        const fn size<F>(_: fn(&Seat, Request<ClientBody>) -> F) -> usize {
            size_of::<F>()
        }
        let sizes = [size(handle::<Public>), size(handle::<Private>)];
        assert!(sizes.iter().all(|size| *size <= 4 * 1024), "{sizes:?}");
    }
}
