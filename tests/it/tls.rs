//! TLS on the public and private listeners, and towards the upstream.

use std::path::PathBuf;

use http::Method;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::gate::{APP, Builder, Gate, SECRET};
use crate::support::tls::{Certificates, certificates};
use crate::support::upstream::Upstream;
use crate::support::wire::{Tls, Wire, head, within};

/// Certificates, also as files.
struct Files {
    made: Certificates,
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let made = certificates();
        let folder = tempfile::tempdir().expect("a folder");
        let files = [("ca", &made.authority), ("cert", &made.server.0), ("key", &made.server.1)];
        for (name, pem) in files {
            std::fs::write(folder.path().join(name), pem).expect("written");
        }
        Self { made, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// TLS on a listener; with `mutual`, for clients with a certificate only.
    fn on(&self, listener: &str, mutual: bool, builder: Builder) -> Builder {
        let set = |key: &str, file: &str| format!("listen.{listener}.{key}={}", self.path(file).display());
        let builder = builder.set(&set("cert", "cert")).set(&set("key", "key"));
        if mutual { builder.set(&set("client_ca", "ca")) } else { builder }
    }

    fn client(&self) -> Tls<'_> {
        Tls { authority: &self.made.authority, identity: None, alpn: &["http/1.1"], name: "127.0.0.1" }
    }
}

/// TLS 1.3 clients learn of a refused certificate when they read.
async fn is_refused(connected: std::io::Result<TlsStream<TcpStream>>) -> bool {
    match connected {
        Err(_) => true,
        Ok(mut stream) => within(stream.read_u8()).await.is_err(),
    }
}

const EXCHANGE: &str = "/api/v1/auth/token";

fn exchange() -> String {
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "ada" }).to_string();
    let fields = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
    format!("POST {EXCHANGE} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n\r\n{body}")
}

#[tokio::test]
async fn the_public_listener_speaks_tls() {
    let (files, upstream) = (Files::new(), Upstream::start().await);
    let gate = files.on("tls", false, Gate::builder(&upstream)).start().await;
    let token = gate.token("ada").mint().await;
    let mut wire = Wire::over(files.client().connect(gate.public).await.expect("TLS"));
    wire.send(format!("{}\r\n", head("GET", "/api/v1/tasks", &token))).await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    let seen = upstream.requests().remove(0);
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")), ("https", "gate"));
}

#[tokio::test]
async fn a_client_that_asks_for_another_name_is_shown_the_same_certificate() {
    let (files, upstream) = (Files::new(), Upstream::start().await);
    let gate = files.on("tls", false, Gate::builder(&upstream)).start().await;
    // It is the client that refuses, having seen the certificate.
    let elsewhere = Tls { name: "elsewhere.example", ..files.client() };
    let fault = elsewhere.connect(gate.public).await.expect_err("the certificate is for 127.0.0.1");
    assert!(fault.to_string().contains("not valid for name"), "{fault}");
}

#[tokio::test]
async fn plain_http_on_a_tls_listener_gets_no_answer() {
    let (files, upstream) = (Files::new(), Upstream::start().await);
    let gate = files.on("tls", false, Gate::builder(&upstream)).start().await;
    let mut wire = Wire::connect(gate.public).await;
    wire.send("GET /api/v1/tasks HTTP/1.1\r\nHost: gate\r\n\r\n").await;
    let mut answer = Vec::new();
    // A TLS alert, if anything.
    let _ = within(wire.io.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn with_a_client_ca_only_clients_with_a_certificate_are_served() {
    let (files, upstream) = (Files::new(), Upstream::start().await);
    let gate = files.on("tls", true, Gate::builder(&upstream)).start().await;
    let token = gate.token("ada").mint().await;
    assert!(is_refused(files.client().connect(gate.public).await).await, "without one");
    let stranger = certificates().client;
    let with_a_strangers = Tls { identity: Some(&stranger), ..files.client() };
    assert!(is_refused(with_a_strangers.connect(gate.public).await).await, "of another authority");
    let with_ours = Tls { identity: Some(&files.made.client), ..files.client() };
    let mut wire = Wire::over(with_ours.connect(gate.public).await.expect("TLS"));
    wire.send(format!("{}\r\n", head("GET", "/api/v1/tasks", &token))).await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_private_listener_may_ask_for_a_certificate_too() {
    let (files, upstream) = (Files::new(), Upstream::start().await);
    let gate = files.on("private_tls", true, Gate::builder(&upstream)).start().await;
    assert!(is_refused(files.client().connect(gate.private).await).await);
    let with_ours = Tls { identity: Some(&files.made.client), ..files.client() };
    let mut wire = Wire::over(with_ours.connect(gate.private).await.expect("TLS"));
    wire.send(exchange()).await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    wire.until("\"token\":").await;
    assert_eq!(gate.public(Method::GET, "/").send().await.expect("plain HTTP").status(), 404);
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_after_head_timeout() {
    let (files, upstream) = (Files::new(), Upstream::start().await);
    let builder = Gate::builder(&upstream).set("listen.head_timeout=300ms");
    let gate = files.on("private_tls", false, files.on("tls", false, builder)).start().await;
    for address in [gate.public, gate.private] {
        let mut silent = Wire::connect(address).await;
        let mut half = Wire::connect(address).await;
        half.send([22, 3, 1, 0, 200, 1]).await;
        assert_eq!((silent.closed().await, half.closed().await), (String::new(), String::new()));
    }
}

#[tokio::test]
async fn the_upstream_is_verified_with_its_own_authority() {
    let files = Files::new();
    let (cert, key) = files.made.server.clone();
    let upstream = Upstream::builder().tls(cert, key).start().await;
    let gate = Gate::builder(&upstream).upstream(&format!("ca = {:?}", files.path("ca"))).start().await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    gate.create_task(&token).await;
    let connections: Vec<_> = upstream.requests().iter().map(|seen| seen.connection).collect();
    assert!(connections.len() == 2 && upstream.progress().connections <= 2, "{connections:?}");
    assert!(!upstream.raw(1).windows(8).any(|window| window == b"HTTP/1.1"), "the wire is not plain");
}

#[tokio::test]
async fn without_an_authority_of_its_own_the_systems_decide() {
    let files = Files::new();
    let (cert, key) = files.made.server.clone();
    let upstream = Upstream::builder().tls(cert, key).start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let answer = gate.chat(Method::GET, "/api/v1/tasks", &token).send().await.expect("an answer");
    assert_eq!(answer.headers()["proxy-status"], "sidegate; error=tls_certificate_error");
}
