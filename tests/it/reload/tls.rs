//! Certificates, renewed while connections are open.

use std::path::{Path, PathBuf};

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{APPLIED, REFUSED, TASKS, hang_up, unwatched};
use crate::support::gate::Gate;
use crate::support::tls::{Certificates, certificates};
use crate::support::upstream::Upstream;
use crate::support::wire::{Tls, Wire, head};

struct Renewed {
    folder: tempfile::TempDir,
    old: Certificates,
    new: Certificates,
}

impl Renewed {
    fn new() -> Self {
        let renewed = Self { folder: tempfile::tempdir().expect("a folder"), old: certificates(), new: certificates() };
        renewed.write("cert", &renewed.old.server.0);
        renewed.write("key", &renewed.old.server.1);
        renewed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, pem: &str) {
        std::fs::write(self.path(name), pem).expect("written");
    }

    async fn gate(&self, upstream: &Upstream) -> Gate {
        let set = |key: &str, path: &Path| format!("listen.tls.{key}={}", path.display());
        let builder = unwatched(Gate::builder(upstream)).set(&set("cert", &self.path("cert")));
        builder.set(&set("key", &self.path("key"))).start().await
    }
}

async fn connect(gate: &Gate, trusts: &Certificates) -> std::io::Result<TlsStream<TcpStream>> {
    let tls = Tls { authority: &trusts.authority, identity: None, alpn: &["http/1.1"], name: "127.0.0.1" };
    tls.connect(gate.public).await
}

async fn ask(wire: &mut Wire<TlsStream<TcpStream>>, token: &str) -> u16 {
    wire.send(format!("{}\r\n", head("GET", TASKS, token))).await;
    wire.status().await
}

#[tokio::test]
async fn new_handshakes_see_the_new_certificate_and_old_connections_live() {
    let (files, upstream) = (Renewed::new(), Upstream::start().await);
    let gate = files.gate(&upstream).await;
    let token = gate.token("ada").mint().await;
    let mut before = Wire::over(connect(&gate, &files.old).await.expect("TLS"));
    assert_eq!(ask(&mut before, &token).await, 200);
    files.write("cert", &files.new.server.0);
    files.write("key", &files.new.server.1);
    hang_up(&gate, APPLIED).await;
    assert_eq!(ask(&mut before, &token).await, 200);
    let mut after = Wire::over(connect(&gate, &files.new).await.expect("TLS with the new certificate"));
    assert_eq!(ask(&mut after, &token).await, 200);
    assert!(connect(&gate, &files.old).await.is_err(), "the old one is shown no more");
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused_until_the_key_has_come() {
    let (files, upstream) = (Renewed::new(), Upstream::start().await);
    let gate = files.gate(&upstream).await;
    files.write("cert", &files.new.server.0);
    hang_up(&gate, REFUSED).await;
    gate.wait_for_line(&files.path("cert").display().to_string()).await;
    assert!(connect(&gate, &files.old).await.is_ok());
    files.write("key", &files.new.server.1);
    hang_up(&gate, APPLIED).await;
    assert!(connect(&gate, &files.new).await.is_ok());
}
