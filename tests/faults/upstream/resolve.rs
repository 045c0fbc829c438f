//! A name that comes to mean another address while the gate runs: each new connection looks it up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use http::Method;

use super::scripted::Scripted;
use crate::support::gate::{Gate, assert_refused, sidegate};
use crate::support::wire::within;

const NAME: &str = "chat.test";

/// The system's table of hosts, as the gate sees it: a file of the test's own, by way of nss_wrapper.
struct Hosts {
    file: PathBuf,
    changes: u32,
}

impl Hosts {
    fn new(folder: &Path, address: &str) -> Self {
        let mut hosts = Self { file: folder.join("hosts"), changes: 0 };
        hosts.set(address);
        hosts
    }

    fn set(&mut self, address: &str) {
        let text = format!("127.0.0.1 localhost\n{address} {NAME}\n");
        let new = self.file.with_extension("new");
        std::fs::write(&new, text).expect("written");
        // It looks at the time of the last change, in seconds.
        self.changes += 1;
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + u64::from(self.changes));
        std::fs::File::options().write(true).open(&new).expect("a file").set_modified(at).expect("a time");
        std::fs::rename(new, &self.file).expect("renamed");
    }

    fn command(&self) -> Command {
        let libraries = std::fs::read_dir("/usr/lib").expect("a folder").flatten().map(|folder| folder.path());
        let found = libraries.map(|folder| folder.join("libnss_wrapper.so")).find(|library| library.exists());
        let library = found.expect("this test needs libnss-wrapper: scripts/setup.sh test installs it");
        let mut command = sidegate();
        command.env("LD_PRELOAD", library).env("NSS_WRAPPER_HOSTS", &self.file);
        command
    }
}

/// One of the chat services at an address of its own, on a port that is free on both.
async fn pair() -> (Scripted, Scripted, u16) {
    loop {
        let one = Scripted::start([]).await;
        let other = SocketAddr::from(([127, 0, 0, 2], one.address.port()));
        if let Some(other) = Scripted::at(other, []).await {
            let port = one.address.port();
            return (one, other, port);
        }
    }
}

#[tokio::test]
async fn new_connections_go_where_the_name_leads_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts = Hosts::new(folder.path(), "127.0.0.1");
    let (one, other, port) = pair().await;
    let gate = Gate::builder_for(&format!("http://{NAME}:{port}")).command(hosts.command()).set("listen.workers=1");
    let gate = gate.app("scoping = \"upstream\"\ninject.headers = { X-End-User = \"{{claims.sub}}\" }").start().await;
    let token = gate.token("ada").mint().await;
    let ask = async || within(gate.chat(Method::GET, "/api/v1/tasks/task_1", &token).send()).await.expect("an answer");
    assert_eq!(ask().await.status(), 200);
    assert_eq!((one.heads().len(), other.heads().len()), (1, 0));
    hosts.set("127.0.0.2");
    assert_eq!(ask().await.status(), 200);
    assert_eq!((one.heads().len(), other.heads().len()), (2, 0), "a connection that is open stays");
    drop(one);
    for n in 1..=3 {
        assert_eq!(ask().await.status(), 200);
        assert_eq!(other.heads().len(), n);
    }
    drop(other);
    let answer = ask().await;
    assert_eq!(answer.headers()["proxy-status"], "sidegate; error=connection_refused");
    assert_refused(answer, 502, "UPSTREAM_UNAVAILABLE").await;
}
