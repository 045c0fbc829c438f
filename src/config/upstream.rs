//! `[[upstreams]]`: the chat services.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Uri};
use secrecy::SecretString;
use sidegate_core::context::place::HeaderTemplate;
use sidegate_core::context::template::Scope;
use sidegate_core::secret::SecretDigest;

use super::layered::parsers::{duration, integer, non_empty, one_of, string};
use super::layered::{Faults, Node, Reader};
use super::settings::{Resolve, secret};

/// A chat service.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    /// Its name among the upstreams.
    pub name: String,
    /// Its base URL: scheme, authority and a path without a trailing slash.
    pub url: Uri,
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
    /// Whether TLS is spoken with it.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.url.scheme() == Some(&Scheme::HTTPS)
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

const PROTOCOLS: &[(&str, Protocol)] =
    &[("auto", Protocol::Auto), ("http1", Protocol::Http1), ("http2", Protocol::Http2)];

pub(super) fn read_upstream(table: Reader<'_>, resolve: &Resolve<'_>) -> Option<UpstreamSettings> {
    let seconds = Duration::from_secs;
    let name = table.required("name", non_empty);
    let url = table.required("url", base_url);
    let protocol = table.or("protocol", one_of(PROTOCOLS), Protocol::Auto);
    let ca = table.optional("ca", non_empty).map(PathBuf::from);
    let service: BTreeMap<_, _> = table.map_of("service", secret(resolve)).into_iter().collect();
    let headers = read_headers(&table, &service);
    let settings = UpstreamSettings {
        name: name.clone().unwrap_or_default(),
        url: url.clone().unwrap_or_default(),
        protocol,
        ca,
        headers,
        service: Service(service),
        connect_timeout: table.or("connect_timeout", duration, seconds(5)),
        first_byte_timeout: table.or("first_byte_timeout", duration, seconds(60)),
        idle_timeout: table.or("idle_timeout", duration, seconds(120)),
        keep_alive: table.or("keep_alive", duration_or_off, Some(seconds(15))),
        read_on: read_disconnect(&table),
        pool_idle: table.or("pool_idle", duration, seconds(4)),
        max_requests: table.or("max_requests", integer(1..=1_000_000), 4096),
    };
    table.finish();
    name.and(url).map(|_| settings)
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

/// A span, or `"0s"` for never.
fn duration_or_off(node: &Node) -> Result<Option<Duration>, Faults> {
    if node.as_text() == Some("0s") { Ok(None) } else { duration(node).map(Some) }
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
