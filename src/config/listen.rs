//! `[listen]`: where the gate listens, and what it bears from clients.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use sidegate_core::origin::Origin;

use super::layered::parsers::{boolean, bytes, duration, integer, list, non_empty, parsed, string, string_list};
use super::layered::{Faults, Node, Reader};

/// Where the gate listens.
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// For browsers.
    pub public: SocketAddr,
    /// For the customer's servers.
    pub private: SocketAddr,
    /// For the platform.
    pub ops: SocketAddr,
    /// For operators: a Unix socket that takes commands.
    pub control: Option<PathBuf>,
    /// Whether exchanges with a server's secret are also taken on `public`.
    pub public_exchange: bool,
    /// The gate's own origin as browsers see it.
    pub public_origin: Option<Origin>,
    /// Host names of the private and ops listeners.
    pub hosts: Vec<String>,
    /// Networks whose forwarding fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Worker threads; 0 is one for each core.
    pub workers: usize,
    /// Open connections at once, on each of the two listeners.
    pub max_connections: usize,
    /// Requests under way at once, streams included, on both listeners and all workers together.
    pub max_requests: usize,
    /// How late a worker may be before it refuses new requests; `None` is never.
    pub max_lag: Option<Duration>,
    /// Bytes of a request's head.
    pub max_head: usize,
    /// For a request's head, and for an idle connection.
    pub head_timeout: Duration,
    /// Between two pieces of a request's body; for all of one that is read before it goes on.
    pub body_timeout: Duration,
    /// For a client to take what is sent.
    pub write_timeout: Duration,
    /// For requests under way at the end.
    pub drain_timeout: Duration,
    /// TLS on `public`.
    pub tls: Option<TlsFiles>,
    /// TLS on `private`.
    pub private_tls: Option<TlsFiles>,
}

/// Files of a TLS server.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// The authority whose clients may connect, PEM.
    pub client_ca: Option<PathBuf>,
}

/// hyper reads no head into a smaller buffer.
const MIN_HEAD: usize = 8 * 1024;

/// The least that a worker may be late: an idle one is by a millisecond or two.
const MIN_LAG: Duration = Duration::from_millis(10);

/// Bytes of a Unix socket's path.
const MAX_SOCKET_PATH: usize = 90;

pub(super) fn read_listen(root: &Reader<'_>) -> Option<ListenSettings> {
    let table = root.section("listen");
    let public = table.required("public", parsed());
    let private = table.required("private", parsed::<SocketAddr>());
    let ops = table.required("ops", parsed());
    let control = table.optional("control", socket_path);
    let public_exchange = table.required("public_exchange", boolean);
    let public_origin = table.optional("public_url", parsed::<Origin>());
    let hosts = table.required("hosts", string_list);
    let trusted_proxies = table.required("trusted_proxies", list(network));
    let workers = table.required("workers", integer(0..=1024));
    let max_connections = table.required("max_connections", integer(1..=1_000_000));
    let max_requests = table.required("max_requests", integer(1..=10_000_000));
    let max_lag = table.required("max_lag", duration_or_never);
    if max_lag.flatten().is_some_and(|lag| lag < MIN_LAG) {
        table
            .problem("max_lag", "must be 0s, which is never, or 10ms or more: timers are late by a millisecond or two");
    }
    let max_head = table.required("max_head", bytes);
    if max_head.is_some_and(|size| !(MIN_HEAD..=1024 * 1024).contains(&size)) {
        table.problem("max_head", "must be from 8KiB to 1MiB");
    }
    let head_timeout = table.required("head_timeout", duration);
    let body_timeout = table.required("body_timeout", duration);
    let write_timeout = table.required("write_timeout", duration);
    let drain_timeout = table.required("drain_timeout", duration);
    let tls = table.table("tls").map(read_tls);
    let private_tls = table.table("private_tls").map(read_tls);
    let mutual = private_tls.as_ref().is_some_and(|tls| tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()));
    if private.is_some_and(|address| !address.ip().is_loopback()) && !mutual {
        table.problem("private", "beyond loopback needs `listen.private_tls` with `client_ca`");
    }
    table.finish();
    Some(ListenSettings {
        public: public?,
        private: private?,
        ops: ops?,
        control,
        public_exchange: public_exchange?,
        public_origin,
        hosts: hosts?,
        trusted_proxies: trusted_proxies?,
        workers: workers?,
        max_connections: max_connections?,
        max_requests: max_requests?,
        max_lag: max_lag?,
        max_head: max_head?,
        head_timeout: head_timeout?,
        body_timeout: body_timeout?,
        write_timeout: write_timeout?,
        drain_timeout: drain_timeout?,
        tls: all_or_none(tls)?,
        private_tls: all_or_none(private_tls)?,
    })
}

/// The path of a Unix socket. The system takes 107 bytes, and the gate needs some beside it for a moment.
fn socket_path(node: &Node) -> Result<PathBuf, Faults> {
    match non_empty(node)? {
        path if path.len() > MAX_SOCKET_PATH => {
            Err(format!("must be a path of at most {MAX_SOCKET_PATH} bytes").into())
        }
        path if path.ends_with('/') => Err("must name a file".into()),
        path => Ok(path.into()),
    }
}

/// How long, or `"0s"` for never.
pub(super) fn duration_or_never(node: &Node) -> Result<Option<Duration>, Faults> {
    if node.as_text() == Some("0s") { Ok(None) } else { duration(node).map(Some) }
}

/// A network such as `10.0.0.0/8`, or one address.
fn network(node: &Node) -> Result<IpNet, Faults> {
    let text = string(node)?;
    let one = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| one()).map_err(|_| "must be a network such as 10.0.0.0/8, or an IP address".into())
}

/// `Some(None)` where there is no table, `None` where it has a problem.
#[expect(clippy::option_option, reason = "absent and refused are different things here")]
fn all_or_none<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

fn read_tls(table: Reader<'_>) -> Option<TlsFiles> {
    let cert = table.required("cert", non_empty);
    let key = table.required("key", non_empty);
    let client_ca = table.optional("client_ca", non_empty).map(PathBuf::from);
    table.finish();
    Some(TlsFiles { cert: cert?.into(), key: key?.into(), client_ca })
}
