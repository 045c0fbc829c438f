//! Checks of upstreams' addresses: made once for all workers, on the control runtime, each on a connection of its
//! own, so that it also finds out whether one can be made.

use std::pin::pin;
use std::sync::{Arc, Weak};

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::connect::{Connected, connect};
use super::http1::MAX_ANSWER_HEAD;
use super::{Endpoint, Failure, Upstream};
use crate::config::HealthRule;

/// Checks the addresses of upstreams from now on, if their settings say so and nobody does yet; each until its
/// upstream is retired, or gone.
pub fn watch(upstreams: &[Arc<Upstream>]) {
    for upstream in upstreams {
        let Some(rule) = &upstream.settings.health else { continue };
        for endpoint in upstream.endpoints().iter().filter(|endpoint| endpoint.begin_watch()) {
            let (weak, target) = (Arc::downgrade(endpoint), upstream.target(&rule.path, None));
            let Some(target) = target else { continue };
            tokio::spawn(watch_one(weak, rule.clone(), target.to_string()));
        }
    }
}

async fn watch_one(endpoint: Weak<Endpoint>, rule: HealthRule, target: String) {
    let mut seen = Seen::default();
    while let Some(endpoint) = endpoint.upgrade().filter(|endpoint| !endpoint.is_retired()) {
        let checked = tokio::time::timeout(rule.timeout, check(&endpoint, &target)).await;
        let found = checked.unwrap_or(Err(Failure::ResponseTimeout));
        note(&endpoint, &mut seen, &rule, found);
        drop(endpoint);
        tokio::time::sleep(rule.interval).await;
    }
}

/// Checks in a row that found the same.
#[derive(Default)]
struct Seen {
    good: u32,
    bad: u32,
}

fn note(endpoint: &Endpoint, seen: &mut Seen, rule: &HealthRule, found: Result<StatusCode, Failure>) {
    let good = found.is_ok_and(|status| status.is_success() || status.is_redirection());
    *seen = match good {
        true => Seen { good: seen.good.saturating_add(1), bad: 0 },
        false => Seen { good: 0, bad: seen.bad.saturating_add(1) },
    };
    let (upstream, address) = (&*endpoint.settings.name, endpoint.authority.as_str());
    if seen.bad >= rule.unhealthy && endpoint.set_healthy(false) {
        let (status, error) = (found.ok().map(|status| status.as_u16()), found.err().map(Failure::error_type));
        tracing::warn!(upstream, address, status, error, "checks find the upstream unhealthy");
    } else if seen.good >= rule.healthy && endpoint.set_healthy(true) {
        tracing::info!(upstream, address, "checks find the upstream healthy again");
    }
}

async fn check(endpoint: &Endpoint, target: &str) -> Result<StatusCode, Failure> {
    let Connected { io, http2 } = connect(endpoint, false).await?;
    let io = TokioIo::new(io);
    if http2 {
        let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://{}{target}", endpoint.authority);
        let (mut sender, driver) =
            http2::handshake(TokioExecutor::new(), io).await.map_err(|fault| Failure::from(&fault))?;
        return answered(driver, sender.send_request(request(endpoint, &uri, false)?)).await;
    }
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_ANSWER_HEAD);
    let (mut sender, driver) = builder.handshake(io).await.map_err(|fault| Failure::from(&fault))?;
    answered(driver, sender.send_request(request(endpoint, target, true)?)).await
}

fn request(endpoint: &Endpoint, uri: &str, with_host: bool) -> Result<Request<Empty<bytes::Bytes>>, Failure> {
    let mut request = Request::get(uri).body(Empty::new()).map_err(|_| Failure::Protocol)?;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static("sidegate-health"));
    if with_host {
        headers.insert(HOST, endpoint.host.clone());
    }
    for (name, value) in &endpoint.settings.headers {
        headers.insert(name, value.clone());
    }
    Ok(request)
}

/// The answer's status. Its body is nobody's affair: with the driver the connection is closed.
async fn answered<B>(
    driver: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = hyper::Result<http::Response<B>>>,
) -> Result<StatusCode, Failure> {
    let mut answer = pin!(answer);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It may have ended with the answer.
        _ = driver => answer.await,
    };
    answer.map(|answer| answer.status()).map_err(|fault| Failure::from(&fault))
}
