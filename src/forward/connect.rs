//! New connections to an upstream: name lookup, TCP, TLS, all under one deadline.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Failure, Upstream};
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
    /// Certificates are verified with these authorities; without any, with the system's, which are read now.
    pub(super) fn new(settings: &UpstreamSettings, authorities: Option<&Authorities>) -> Result<Self, String> {
        let fault = |what: &str| format!("upstream {}: {what}", settings.name);
        let host = settings.url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| fault("its host name cannot be verified by TLS"))?;
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
pub(super) async fn connect(upstream: &Upstream, websocket: bool) -> Result<Connected, Failure> {
    let connecting = async {
        let tcp = connect_tcp(upstream).await?;
        let Some(tls) = &upstream.tls else {
            return Ok(Connected { io: Io::Plain(tcp), http2: upstream.is_plain_http2() && !websocket });
        };
        let config = if websocket { &tls.http1 } else { &tls.pooled };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(tls.name.clone(), tcp).await.map_err(|fault| tls_failure(&fault))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connected { io: Io::Tls(Box::new(stream.into())), http2 })
    };
    let deadline = upstream.settings.connect_timeout;
    tokio::time::timeout(deadline, connecting).await.unwrap_or(Err(Failure::ConnectionTimeout))
}

async fn connect_tcp(upstream: &Upstream) -> Result<TcpStream, Failure> {
    let host = upstream.authority.host().trim_matches(['[', ']']);
    let default_port = if upstream.tls.is_some() { 443 } else { 80 };
    let port = upstream.authority.port_u16().unwrap_or(default_port);
    let addresses = tokio::net::lookup_host((host, port)).await;
    let addresses = addresses.map_err(|fault| if is_our_own(&fault) { Failure::Exhausted } else { Failure::Dns })?;
    let mut failure = Failure::Dns;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                crate::socket::prepare(&tcp);
                return Ok(tcp);
            }
            // Another address would need as much.
            Err(fault) if is_our_own(&fault) => return Err(Failure::Exhausted),
            Err(_) => failure = Failure::ConnectionRefused,
        }
    }
    Err(failure)
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
