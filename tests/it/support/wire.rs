//! What a comfortable client hides: requests by hand, TLS, HTTP/2, and waiting for a metric.

use std::{future::Future, io, net::SocketAddr, panic::Location, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, request};
use http_body_util::{BodyExt as _, Empty, combinators::BoxBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls};

use super::gate::{Gate, PATIENCE, SHOP};

/// Ends a test that hangs; none waits for time to pass.
#[track_caller]
pub fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let in_time = tokio::time::timeout(PATIENCE, future).await;
        in_time.unwrap_or_else(|_| panic!("what {caller} waits for has not come in {PATIENCE:?}"))
    }
}

/// A connection on which requests are written by hand.
pub struct Wire<I = TcpStream> {
    pub io: I,
    read: Vec<u8>,
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("connected"))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Wire<I> {
    pub fn over(io: I) -> Self {
        Self { io, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.io.write_all(bytes.as_ref())).await.expect("sent");
        within(self.io.flush()).await.expect("sent");
    }

    /// What comes up to and including `end`.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.read.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let rest = self.read.split_off(at + end.len());
                return text(std::mem::replace(&mut self.read, rest));
            }
            let got = within(self.io.read_buf(&mut self.read)).await.expect("readable");
            assert!(got > 0, "no {end:?} in {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// An answer's status, with its body of a known length read.
    pub async fn status(&mut self) -> u16 {
        let head = self.head().await.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
        let length: usize = length.expect("a length");
        while self.read.len() < length {
            let got = within(self.io.read_buf(&mut self.read)).await.expect("readable");
            assert!(got > 0, "the body breaks off behind {head}");
        }
        self.read.drain(..length);
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// A head.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Whether a head comes before the connection's end.
    pub async fn try_head(&mut self) -> bool {
        while !self.read.windows(4).any(|window| window == b"\r\n\r\n") {
            if !self.io.read_buf(&mut self.read).await.is_ok_and(|got| got > 0) {
                return false;
            }
        }
        true
    }

    /// The next bytes, of which there must be so many.
    pub async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            let got = within(self.io.read_buf(&mut self.read)).await.expect("readable");
            assert!(got > 0, "no more than {:?}", self.read);
        }
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }

    /// Waits until the other side has closed the connection or reset it; what came before that.
    pub async fn closed(&mut self) -> String {
        text(self.closed_bytes().await)
    }

    /// The same as bytes.
    pub async fn closed_bytes(&mut self) -> Vec<u8> {
        let closed = async { while self.io.read_buf(&mut self.read).await.is_ok_and(|got| got > 0) {} };
        within(closed).await;
        std::mem::take(&mut self.read)
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

/// The line and fields of a page's request, but for the empty line at the end.
pub fn head(method: &str, path: &str, token: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: gate\r\nOrigin: {SHOP}\r\nAuthorization: Bearer {token}\r\n")
}

pub type Body = BoxBody<Bytes, io::Error>;

pub fn no_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A page's request for HTTP/2.
pub fn request(method: Method, scheme: &str, path: &str, token: &str) -> request::Builder {
    let builder = Request::builder().method(method).uri(format!("{scheme}://gate{path}"));
    builder.header("origin", SHOP).header("authorization", format!("Bearer {token}"))
}

/// HTTP/2 on a connection.
pub async fn http2<I>(io: I) -> http2::SendRequest<Body>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http2_by(&http2::Builder::new(TokioExecutor::new()), io).await
}

/// The same with other settings.
pub async fn http2_by<I>(settings: &http2::Builder<TokioExecutor>, io: I) -> http2::SendRequest<Body>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = within(settings.handshake(TokioIo::new(io))).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

/// How a client speaks TLS.
pub struct Tls<'a> {
    pub authority: &'a str,
    pub identity: Option<&'a (String, String)>,
    pub alpn: &'a [&'a str],
    pub name: &'a str,
}

impl Tls<'_> {
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(self.authority)).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
        let mut config = match self.identity {
            None => config.with_no_client_auth(),
            Some((cert, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                config.with_client_auth_cert(vec![certificate(cert)], key).expect("an identity")
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(self.name.to_owned()).expect("a name");
        let socket = TcpStream::connect(address).await?;
        within(TlsConnector::from(Arc::new(config)).connect(name, socket)).await
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// A metric's value; `series` is its name and labels as they stand in the text.
pub async fn metric(gate: &Gate, series: &str) -> f64 {
    let text = gate.ops("/metrics").send().await.expect("an answer").text().await.expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {series} in:\n{text}"))
}

/// Asks until a metric has this value.
pub async fn metric_becomes(gate: &Gate, series: &str, value: f64) {
    let asked = async {
        while (metric(gate, series).await - value).abs() > f64::EPSILON {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(asked).await;
}

/// A new task, as the path of its stream.
pub async fn stream_path(gate: &Gate, token: &str) -> String {
    format!("/api/v1/tasks/{}/stream", gate.create_task(token).await)
}
