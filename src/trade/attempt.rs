//! One request to a vendor, in as many attempts as its time allows.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo::{Ask, Trade};
use sidegate_core::entropy;
use tokio::time::Instant;

use super::Broker;
use crate::breaker::{Pass, Turn};
use crate::forward::{Call, Failure, Refused};
use crate::registry::Registered;

/// Attempts at most, where a second one does no harm.
pub(super) const ATTEMPTS: u32 = 3;

/// Before the second attempt, on average; twice as long before the third.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of an answer.
const MAX_ANSWER: usize = 64 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");
const CHATKIT_BETA: HeaderValue = HeaderValue::from_static("chatkit_beta=v1");

/// What an upstream is asked for, and what its answer means.
pub(super) struct Errand<'a, T> {
    /// The app, whose upstream it is.
    pub(super) registered: &'a Registered,
    /// How it is asked.
    pub(super) trade: &'a Trade,
    /// What it is asked.
    pub(super) ask: Ask,
    /// How often at most.
    pub(super) attempts: u32,
    /// What an answer with 2xx gives; `None` if it is not what the vendor documents.
    pub(super) read: &'a dyn Fn(&[u8]) -> Option<T>,
    /// What a refusal means.
    pub(super) refused: &'a dyn Fn(StatusCode, Option<Duration>) -> Denial,
}

/// Why an attempt gave no token.
struct Fault {
    refused: Refused,
    /// Whether another attempt may do better.
    again: bool,
}

/// Fetches what an errand is for.
///
/// # Errors
/// [`Refused`]: what the last attempt came to.
pub(super) async fn fetch<T>(broker: &Broker, errand: &Errand<'_, T>) -> Result<T, Refused> {
    let deadline = Instant::now() + errand.trade.timeout;
    let mut attempts = 1;
    loop {
        let fault = match attempt(broker, errand, deadline).await {
            Ok(fetched) => return Ok(fetched),
            Err(fault) => fault,
        };
        let pause = fault.refused.denial.retry_after.unwrap_or_else(|| pause(broker, attempts));
        if !fault.again || attempts >= errand.attempts || Instant::now() + pause >= deadline {
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

async fn attempt<T>(broker: &Broker, errand: &Errand<'_, T>, deadline: Instant) -> Result<T, Fault> {
    let breaker = &errand.registered.upstream.trades;
    let pass = breaker.enter(Instant::now()).map_err(|wait| {
        let refused = Denial::retry(Code::UpstreamSuspended, wait).into();
        Fault { refused, again: false }
    })?;
    let answered = tokio::time::timeout_at(deadline, send(broker, errand)).await;
    let outcome = answered.unwrap_or(Err(Failure::ResponseTimeout));
    note(errand.registered, pass, &outcome);
    let response = outcome.map_err(|failure| {
        broker.metrics.failure(failure);
        // What was sent may have made a token, which is then nobody's and ends by itself.
        let hopeless = matches!(failure, Failure::Busy | Failure::TooLarge | Failure::TlsCertificate);
        Fault { refused: failure.into(), again: !hopeless }
    })?;
    read(broker, errand, &response)
}

async fn send<T>(broker: &Broker, errand: &Errand<'_, T>) -> Result<Response<Bytes>, Failure> {
    let ask = &errand.ask;
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(AUTHORIZATION, errand.trade.authorization.clone());
    headers.insert(ACCEPT, JSON);
    if ask.body.is_some() {
        headers.insert(CONTENT_TYPE, JSON);
    }
    if ask.is_chatkit_beta {
        headers.insert(OPENAI_BETA, CHATKIT_BETA);
    }
    // An empty body still has a length: a POST without one is refused here and there.
    let body = Some(ask.body.clone().unwrap_or_default().into());
    let call = Call { method: Method::POST, path: &ask.path, query: None, headers, body, limit: MAX_ANSWER };
    broker.client.call(&errand.registered.upstream, call).await
}

/// Tells the breaker whether the upstream works: a refusal is an answer, too.
fn note(registered: &Registered, pass: Pass<'_>, outcome: &Result<Response<Bytes>, Failure>) {
    let works = match outcome {
        Ok(response) => !response.status().is_server_error(),
        // Not the upstream's doing.
        Err(Failure::Busy | Failure::Suspended | Failure::Exhausted) => return,
        Err(_) => false,
    };
    let upstream = &registered.upstream.settings.name;
    match if works { pass.succeeded() } else { pass.failed(Instant::now()) } {
        Turn::None => {}
        Turn::Opened => {
            tracing::warn!(upstream, "the upstream fails again and again; no tokens are asked of it for now")
        }
        Turn::Closed => tracing::info!(upstream, "the upstream makes tokens again"),
    }
}

fn read<T>(broker: &Broker, errand: &Errand<'_, T>, response: &Response<Bytes>) -> Result<T, Fault> {
    let status = response.status();
    if status.is_success() {
        let body = Some(response.body()).filter(|body| !errand.trade.repeats_credential(body));
        return body.and_then(|body| (errand.read)(body)).ok_or_else(|| {
            broker.metrics.failure(Failure::Unreadable);
            Fault { refused: Failure::Unreadable.into(), again: false }
        });
    }
    let denial = (errand.refused)(status, retry_after(response.headers(), broker));
    if denial.code == Code::UpstreamRefused {
        // Nothing that it says: its words may repeat the credential.
        let app = errand.registered.app.id.as_str();
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
