//! Which protocols the upstream speaks.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{Upstream, serve};

/// What an upstream is started with.
#[derive(Default)]
pub struct Builder {
    tls: Option<(String, String)>,
    http2: Option<u32>,
    at: Option<SocketAddr>,
}

impl Builder {
    /// TLS with this certificate chain and key, in PEM.
    pub fn tls(mut self, cert_pem: impl Into<String>, key_pem: impl Into<String>) -> Self {
        self.tls = Some((cert_pem.into(), key_pem.into()));
        self
    }

    /// HTTP/2: with prior knowledge on plain TCP, offered beside HTTP/1.1 over TLS.
    pub fn http2(self) -> Self {
        self.http2_of(200)
    }

    /// The same, where so many requests may be under way on a connection.
    pub fn http2_of(mut self, streams: u32) -> Self {
        self.http2 = Some(streams);
        self
    }

    /// Where another one was, which is gone; else on a free port.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.at = Some(address);
        self
    }

    pub async fn start(self) -> Upstream {
        let listener = TcpListener::bind(self.at.unwrap_or(([127, 0, 0, 1], 0).into())).await.unwrap();
        let tls = self.tls.map(|(cert, key)| serve::acceptor(&cert, &key, self.http2.is_some()));
        Upstream::run(listener, tls, self.http2)
    }
}
