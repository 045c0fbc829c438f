//! `[[upstreams]]`: the chat services.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Uri};
use secrecy::SecretString;
use sidegate_core::context::place::HeaderTemplate;
use sidegate_core::context::template::Scope;
use sidegate_core::secret::SecretDigest;

use super::layered::parsers::{duration, integer, list, non_empty, one_of, string};
use super::layered::{Faults, Node, Reader};
use super::listen::duration_or_never;
use super::settings::{Resolve, secret};
use crate::breaker::BreakerRule;

/// A chat service.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    /// Its name among the upstreams.
    pub name: String,
    /// Its base URLs, one or more: scheme, authority and a path without a trailing slash. Scheme and path are the
    /// same in all.
    pub urls: Vec<Uri>,
    /// Which HTTP it speaks.
    pub protocol: Protocol,
    /// Its certificate authorities, PEM, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Fields set on each request, service secrets filled in.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// For `{{service.X}}` in the templates of its apps.
    pub service: Service,
    /// For name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// From the request's last byte to the answer's first.
    pub first_byte_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// Silence after which a stream of events gets a comment of the gate's; `None` for never.
    pub keep_alive: Option<Duration>,
    /// For how long an answer is read on when its browser has left; `None` if it is not.
    pub read_on: Option<Duration>,
    /// How long a connection may idle in the pool.
    pub pool_idle: Duration,
    /// Requests under way at once.
    pub max_requests: usize,
    /// When one of its addresses is left alone.
    pub circuit: BreakerRule,
    /// How its addresses are checked, if they are.
    pub health: Option<HealthRule>,
}

/// How addresses are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRule {
    /// What is asked for, below the base path; an answer of 2xx or 3xx is a good one.
    pub path: String,
    /// Between two checks.
    pub interval: Duration,
    /// For one check, connecting included.
    pub timeout: Duration,
    /// Failed checks in a row after which an address is unhealthy.
    pub unhealthy: u32,
    /// Good ones in a row after which it is healthy again.
    pub healthy: u32,
}

impl UpstreamSettings {
    /// One with these addresses that says nothing else.
    #[must_use]
    pub fn new(name: &str, urls: Vec<Uri>) -> Self {
        let seconds = Duration::from_secs;
        Self {
            name: name.to_owned(),
            urls,
            protocol: Protocol::Auto,
            ca: None,
            headers: Vec::new(),
            service: Service::default(),
            connect_timeout: seconds(5),
            first_byte_timeout: seconds(60),
            idle_timeout: seconds(120),
            keep_alive: Some(seconds(15)),
            read_on: None,
            pool_idle: seconds(4),
            max_requests: 4096,
            circuit: BreakerRule::default(),
            health: None,
        }
    }

    /// The first of its base URLs.
    #[must_use]
    pub fn url(&self) -> &Uri {
        &self.urls[0]
    }
}

/// The secrets of an upstream, by their names.
#[derive(Clone, Debug, Default)]
pub struct Service(pub BTreeMap<String, SecretString>);

impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        let digests = |service: &Self| -> Vec<_> {
            service.0.iter().map(|(name, secret)| (name.clone(), SecretDigest::of(secret))).collect()
        };
        digests(self) == digests(other)
    }
}

impl UpstreamSettings {
    /// Whether TLS is spoken with it: with all of its addresses.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.url().scheme() == Some(&Scheme::HTTPS)
    }
}

/// Which HTTP an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1; with TLS, what ALPN agrees on.
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only; without TLS by prior knowledge (RFC 9113 section 3.3).
    Http2,
}

/// The most addresses of one upstream.
pub const MAX_URLS: usize = 64;

const PROTOCOLS: &[(&str, Protocol)] =
    &[("auto", Protocol::Auto), ("http1", Protocol::Http1), ("http2", Protocol::Http2)];

pub(super) fn read_upstream(table: Reader<'_>, resolve: &Resolve<'_>) -> Option<UpstreamSettings> {
    let name = table.required("name", non_empty);
    let urls = read_urls(&table);
    let default = UpstreamSettings::new(name.as_deref().unwrap_or_default(), urls.clone().unwrap_or_default());
    let protocol = table.or("protocol", one_of(PROTOCOLS), default.protocol);
    let ca = table.optional("ca", non_empty).map(PathBuf::from);
    let service: BTreeMap<_, _> = table.map_of("service", secret(resolve)).into_iter().collect();
    let headers = read_headers(&table, &service);
    let settings = UpstreamSettings {
        protocol,
        ca,
        headers,
        service: Service(service),
        connect_timeout: table.or("connect_timeout", duration, default.connect_timeout),
        first_byte_timeout: table.or("first_byte_timeout", duration, default.first_byte_timeout),
        idle_timeout: table.or("idle_timeout", duration, default.idle_timeout),
        keep_alive: table.or("keep_alive", duration_or_never, default.keep_alive),
        read_on: read_disconnect(&table),
        pool_idle: table.or("pool_idle", duration, default.pool_idle),
        max_requests: table.or("max_requests", integer(1..=1_000_000), default.max_requests),
        circuit: read_circuit(&table),
        health: table.table("health").and_then(read_health),
        ..default
    };
    table.finish();
    name.and(urls).map(|_| settings)
}

/// `url`, or several in its place.
fn read_urls(table: &Reader<'_>) -> Option<Vec<Uri>> {
    if table.node("urls").is_none() {
        return table.required("url", base_url).map(|url| vec![url]);
    }
    if table.optional("url", base_url).is_some() {
        table.problem("url", "and `urls` cannot both be given");
    }
    table.optional("urls", |node| -> Result<_, Faults> {
        let urls = list(base_url)(node)?;
        check_urls(&urls).map(|()| urls).map_err(Into::into)
    })
}

fn check_urls(urls: &[Uri]) -> Result<(), &'static str> {
    let Some(first) = urls.first() else { return Err("must not be empty") };
    if urls.len() > MAX_URLS {
        return Err("must not be more than 64");
    }
    if urls.iter().any(|url| url.scheme() != first.scheme() || url.path() != first.path()) {
        return Err("must all have the same scheme and path");
    }
    let authorities: BTreeSet<_> = urls.iter().filter_map(Uri::authority).map(|found| found.as_str()).collect();
    if authorities.len() < urls.len() { Err("must not have an address twice") } else { Ok(()) }
}

/// `[upstreams.circuit]`: when an address is left alone, and for how long.
fn read_circuit(table: &Reader<'_>) -> BreakerRule {
    let (section, default) = (table.section("circuit"), BreakerRule::default());
    let rule = BreakerRule {
        failures: section.or("failures", integer(0..=1_000_000), default.failures),
        wait: section.or("wait", duration, default.wait),
        longest: section.or("longest", duration, default.longest),
    };
    if rule.longest < rule.wait {
        section.problem("longest", "must not be shorter than `wait`");
    }
    section.finish();
    rule
}

fn read_headers(table: &Reader<'_>, service: &BTreeMap<String, SecretString>) -> Vec<(HeaderName, HeaderValue)> {
    let scope = Scope { app: None, service, visitor: &[] };
    let values = table.map_of("headers", |node| -> Result<_, Faults> {
        match HeaderTemplate::parse(&string(node)?, scope)? {
            HeaderTemplate::Fixed(value) => Ok(value),
            HeaderTemplate::Filled(_) => Err("may hold `{{service.X}}` only".into()),
        }
    });
    let mut headers = Vec::with_capacity(values.len());
    for (name, value) in values {
        match HeaderName::try_from(&name) {
            Ok(name) => headers.push((name, value)),
            Err(_) => table.problem("headers", "has a name that is no header field name"),
        }
    }
    headers
}

/// What becomes of an answer whose browser has left.
fn read_disconnect(table: &Reader<'_>) -> Option<Duration> {
    #[derive(Clone, Copy)]
    enum Then {
        Cancel,
        Drain,
        Grace,
    }
    let choices = [("cancel", Then::Cancel), ("drain", Then::Drain), ("grace", Then::Grace)];
    let then = table.or("on_disconnect", one_of(&choices), Then::Cancel);
    let (grace, drain) = (
        table.or("grace", duration, Duration::from_secs(10)),
        table.or("drain_at_most", duration, Duration::from_secs(600)),
    );
    match then {
        Then::Cancel => None,
        Then::Drain => Some(drain),
        Then::Grace => Some(grace),
    }
}

/// `[upstreams.health]`: how its addresses are checked.
fn read_health(section: Reader<'_>) -> Option<HealthRule> {
    let seconds = Duration::from_secs;
    let path = section.required("path", |node| -> Result<_, Faults> {
        let path = string(node)?;
        let is_path = path.starts_with('/') && path.parse::<Uri>().is_ok_and(|uri| uri.query().is_none());
        if is_path && !path.contains('#') { Ok(path) } else { Err("must be a path such as \"/healthz\"".into()) }
    });
    let rule = HealthRule {
        path: path.clone().unwrap_or_default(),
        interval: section.or("interval", duration, seconds(5)),
        timeout: section.or("timeout", duration, seconds(2)),
        unhealthy: section.or("unhealthy", integer(1..=1_000), 3),
        healthy: section.or("healthy", integer(1..=1_000), 2),
    };
    section.finish();
    path.map(|_| rule)
}

/// `http(s)://host[:port][/path]`, nothing behind.
pub(super) fn base_url(node: &Node) -> Result<Uri, Faults> {
    Ok(parse_base_url(&string(node)?)?)
}

/// As [`base_url`].
pub(super) fn parse_base_url(text: &str) -> Result<Uri, &'static str> {
    const SHAPE: &str = "must be http:// or https://, a host, and a port and a path if need be; no query";
    let url: Uri = text.trim_end_matches('/').parse().map_err(|_| SHAPE)?;
    let authority = url.authority().ok_or(SHAPE)?;
    let known = matches!(url.scheme_str(), Some("http" | "https"));
    if !known || authority.as_str().contains('@') || authority.host().is_empty() || text.contains(['?', '#']) {
        return Err(SHAPE);
    }
    Ok(url)
}
