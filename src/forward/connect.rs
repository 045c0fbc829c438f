//! New connections to an upstream: name lookup, TCP, TLS, all under one deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Endpoint, Failure};
use crate::config::{Protocol, UpstreamSettings};
use crate::wire::Io;

/// How TLS is spoken with an upstream.
#[derive(Clone)]
pub struct TlsConfigs {
    pooled: Arc<ClientConfig>,
    /// WebSockets need HTTP/1.1, whatever ALPN would agree on.
    http1: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl std::fmt::Debug for TlsConfigs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TlsConfigs({:?})", self.name)
    }
}

impl TlsConfigs {
    /// For the first address. Certificates are verified with these authorities; without any, with the system's, which
    /// are read now.
    pub(super) fn new(settings: &UpstreamSettings, authorities: Option<&Authorities>) -> Result<Self, String> {
        let fault = |what: &str| format!("upstream {}: {what}", settings.name);
        let name = server_name(settings, settings.url())?;
        let roots = roots(authorities).map_err(|message| fault(&message))?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let with_alpn = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        let pooled = match settings.protocol {
            Protocol::Auto => with_alpn(&[b"h2", b"http/1.1"]),
            Protocol::Http1 => with_alpn(&[b"http/1.1"]),
            Protocol::Http2 => with_alpn(&[b"h2"]),
        };
        Ok(Self { pooled, http1: with_alpn(&[b"http/1.1"]), name })
    }

    /// The same for another address.
    pub(super) fn at(&self, settings: &UpstreamSettings, url: &Uri) -> Result<Self, String> {
        Ok(Self { name: server_name(settings, url)?, ..self.clone() })
    }
}

/// The name that a certificate must be for.
fn server_name(settings: &UpstreamSettings, url: &Uri) -> Result<ServerName<'static>, String> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let fault = |_| format!("upstream {}: its host name cannot be verified by TLS", settings.name);
    ServerName::try_from(host).map_err(fault)
}

/// Certificate authorities, as their file has them.
pub(super) type Authorities = Vec<CertificateDer<'static>>;

/// Reads the certificate authorities that the settings name, if they do and TLS is spoken.
pub(super) fn authorities(settings: &UpstreamSettings) -> Result<Option<Authorities>, String> {
    let Some(path) = settings.ca.as_ref().filter(|_| settings.is_secure()) else { return Ok(None) };
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    certificates.map(Some).map_err(|fault| format!("upstream {}: {}: {fault}", settings.name, path.display()))
}

fn roots(authorities: Option<&Authorities>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(authorities) => roots.add_parsable_certificates(authorities.iter().cloned()),
        None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    };
    if roots.is_empty() { Err("no certificate authority was found to verify it with".into()) } else { Ok(roots) }
}

/// A connected socket, and whether HTTP/2 was agreed on.
pub(super) struct Connected {
    pub(super) io: Io,
    pub(super) http2: bool,
}

/// Connects within the upstream's `connect_timeout`; `websocket` asks for HTTP/1.1.
pub(super) async fn connect(endpoint: &Endpoint, websocket: bool) -> Result<Connected, Failure> {
    let connecting = async {
        let tcp = connect_tcp(endpoint).await?;
        let Some(tls) = &endpoint.tls else {
            return Ok(Connected { io: Io::Plain(tcp), http2: endpoint.is_plain_http2() && !websocket });
        };
        let config = if websocket { &tls.http1 } else { &tls.pooled };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(tls.name.clone(), tcp).await.map_err(|fault| tls_failure(&fault))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connected { io: Io::Tls(Box::new(stream.into())), http2 })
    };
    let deadline = endpoint.settings.connect_timeout;
    tokio::time::timeout(deadline, connecting).await.unwrap_or(Err(Failure::ConnectionTimeout))
}

async fn connect_tcp(endpoint: &Endpoint) -> Result<TcpStream, Failure> {
    let host = endpoint.authority.host().trim_matches(['[', ']']);
    let default_port = if endpoint.tls.is_some() { 443 } else { 80 };
    let port = endpoint.authority.port_u16().unwrap_or(default_port);
    let addresses = tokio::net::lookup_host((host, port)).await;
    let addresses = addresses.map_err(|fault| if is_our_own(&fault) { Failure::Exhausted } else { Failure::Dns })?;
    let tcp = first_of(addresses).await?;
    crate::socket::prepare(&tcp);
    Ok(tcp)
}

/// How long one address of a name has for itself before the next is tried beside it (RFC 8305 section 5). Nobody
/// waits for one that does not answer until all of `connect_timeout` is over.
const HEAD_START: Duration = Duration::from_millis(250);

/// The first address that takes a connection, in their order.
async fn first_of(mut addresses: impl Iterator<Item = SocketAddr>) -> Result<TcpStream, Failure> {
    let (mut attempts, mut failure) = (FuturesUnordered::new(), Failure::Dns);
    loop {
        let next = addresses.next();
        let others = next.is_some();
        attempts.extend(next.map(TcpStream::connect));
        tokio::select! {
            biased;
            tried = attempts.next() => match tried {
                Some(Ok(tcp)) => return Ok(tcp),
                // Another address would need as much.
                Some(Err(fault)) if is_our_own(&fault) => return Err(Failure::Exhausted),
                Some(Err(_)) => failure = Failure::ConnectionRefused,
                None => return Err(failure),
            },
            () = tokio::time::sleep(HEAD_START), if others => {}
        }
    }
}

/// Whether a connection could not be opened for want of something on this side. Neither of the first two has a name in the
/// standard library: `ENFILE` and `EMFILE`, the same numbers on every Unix.
fn is_our_own(fault: &io::Error) -> bool {
    matches!(fault.raw_os_error(), Some(23 | 24))
        || matches!(fault.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory)
}

fn tls_failure(fault: &io::Error) -> Failure {
    match fault.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => Failure::TlsCertificate,
        Some(_) => Failure::TlsProtocol,
        None => Failure::Terminated,
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    /// An address that answers nothing: its queue is full, and nobody takes anything out of it.
    async fn silent() -> (Socket, Vec<TcpStream>, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
        socket.listen(0).expect("listening");
        let address = socket.local_addr().expect("an address").as_socket().expect("an address");
        let mut queued = Vec::new();
        while let Ok(tcp) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            queued.push(tcp.expect("queued"));
        }
        (socket, queued, address)
    }

    async fn reached(addresses: &[SocketAddr]) -> Result<SocketAddr, Failure> {
        first_of(addresses.iter().copied()).await.map(|tcp| tcp.peer_addr().expect("an address"))
    }

    #[tokio::test]
    async fn the_next_address_of_a_name_is_tried_when_one_refuses_or_says_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let good = listener.local_addr().expect("an address");
        let gone = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
            listener.local_addr().expect("an address")
        };
        let silent = silent().await;
        assert_eq!(reached(&[gone, good]).await, Ok(good));
        assert_eq!(reached(&[silent.2, gone, silent.2, good]).await, Ok(good));
        assert_eq!(reached(&[gone, gone]).await, Err(Failure::ConnectionRefused));
        assert_eq!(reached(&[]).await, Err(Failure::Dns));
        let addresses = [silent.2, gone];
        let nobody = tokio::time::timeout(Duration::from_millis(600), reached(&addresses)).await;
        assert!(nobody.is_err(), "one may still answer");
    }
}
