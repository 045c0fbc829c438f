//! One token, in as many attempts as its time allows.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Response};
use sidegate_core::dialect::orcheo::{Trade, Traded};
use sidegate_core::entropy;
use tokio::time::Instant;

use super::{Broker, Order};
use crate::breaker::{Pass, Turn};
use crate::forward::{Call, Failure, Refused};
use sidegate_core::denial::{Code, Denial};

/// Attempts at most.
const ATTEMPTS: u32 = 3;

/// Before the second attempt, on average; twice as long before the third.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of an answer.
const MAX_ANSWER: usize = 64 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Why an attempt gave no token.
struct Fault {
    refused: Refused,
    /// Whether another attempt may do better.
    again: bool,
}

/// Fetches a token.
///
/// # Errors
/// [`Refused`]: what the last attempt came to.
pub(super) async fn fetch(broker: &Broker, order: &Order) -> Result<Traded, Refused> {
    let trade = order.trade()?;
    let deadline = Instant::now() + trade.timeout;
    let mut attempts = 1;
    loop {
        let fault = match attempt(broker, order, trade, deadline).await {
            Ok(traded) => return Ok(traded),
            Err(fault) => fault,
        };
        let pause = fault.refused.denial.retry_after.unwrap_or_else(|| pause(broker, attempts));
        if !fault.again || attempts == ATTEMPTS || Instant::now() + pause >= deadline {
            return Err(fault.refused);
        }
        tokio::time::sleep(pause).await;
        attempts += 1;
    }
}

/// Half to one and a half of the average: those who failed together do not come back together.
fn pause(broker: &Broker, attempts: u32) -> Duration {
    let average = FIRST_PAUSE * 2_u32.pow(attempts - 1);
    let chance = entropy::bytes::<1>(&*broker.gate.entropy).map_or(128, |[byte]| byte);
    average / 2 + average * u32::from(chance) / 255
}

async fn attempt(broker: &Broker, order: &Order, trade: &Trade, deadline: Instant) -> Result<Traded, Fault> {
    let breaker = &order.registered.upstream.trades;
    let pass = breaker.enter(Instant::now()).map_err(|wait| {
        let refused = Denial::retry(Code::UpstreamSuspended, wait).into();
        Fault { refused, again: false }
    })?;
    let answered = tokio::time::timeout_at(deadline, send(broker, order, trade)).await;
    let outcome = answered.unwrap_or(Err(Failure::ResponseTimeout));
    note(order, pass, &outcome);
    let response = outcome.map_err(|failure| {
        broker.metrics.failure(failure);
        // What was sent may have made a token, which is then nobody's and ends by itself.
        let hopeless = matches!(failure, Failure::Busy | Failure::TooLarge | Failure::TlsCertificate);
        Fault { refused: failure.into(), again: !hopeless }
    })?;
    read(broker, order, trade, &response)
}

async fn send(broker: &Broker, order: &Order, trade: &Trade) -> Result<Response<Bytes>, Failure> {
    let ask = trade.vendor.ask(order.wanted());
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(AUTHORIZATION, trade.authorization.clone());
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ACCEPT, JSON);
    let body = Some(Bytes::from(ask.body));
    let call = Call { method: Method::POST, path: ask.path, query: None, headers, body, limit: MAX_ANSWER };
    broker.client.call(&order.registered.upstream, call).await
}

/// Tells the breaker whether the upstream works: a refusal is an answer, too.
fn note(order: &Order, pass: Pass<'_>, outcome: &Result<Response<Bytes>, Failure>) {
    let works = match outcome {
        Ok(response) => !response.status().is_server_error(),
        // Not the upstream's doing.
        Err(Failure::Busy) => return,
        Err(_) => false,
    };
    let upstream = &order.registered.upstream.settings.name;
    match if works { pass.succeeded() } else { pass.failed(Instant::now()) } {
        Turn::None => {}
        Turn::Opened => {
            tracing::warn!(upstream, "the upstream fails again and again; no tokens are asked of it for now")
        }
        Turn::Closed => tracing::info!(upstream, "the upstream makes tokens again"),
    }
}

fn read(broker: &Broker, order: &Order, trade: &Trade, response: &Response<Bytes>) -> Result<Traded, Fault> {
    let status = response.status();
    if status.is_success() {
        let traded = trade.vendor.traded(response.body(), broker.gate.now());
        return traded.ok_or_else(|| {
            broker.metrics.failure(Failure::Unreadable);
            Fault { refused: Failure::Unreadable.into(), again: false }
        });
    }
    let denial = trade.vendor.refused(status, retry_after(response.headers(), broker));
    if denial.code == Code::UpstreamRefused {
        // Nothing that it says: its words may repeat the credential.
        let app = order.registered.app.id.as_str();
        tracing::warn!(app, status = status.as_u16(), "the upstream refuses to make a token");
    }
    Err(Fault {
        again: matches!(denial.code, Code::UpstreamRateLimited | Code::UpstreamUnavailable),
        refused: denial.into(),
    })
}

/// `Retry-After` (RFC 9110 section 10.2.3), at most an hour.
fn retry_after(headers: &HeaderMap, broker: &Broker) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(3_600);
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let seconds = text.parse().ok().or_else(|| {
        let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(at.as_secs().saturating_sub(broker.gate.now().seconds()))
    })?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}
