//! The gate under a service manager: what it tells it, and the sockets that it gets.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::gate::{Builder, Gate, PATIENCE, sidegate};
use crate::support::program::program;
use crate::support::upstream::Upstream;
use crate::support::wire::within;

/// The service manager's socket.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Self { socket, path, _folder: folder }
    }

    /// The program as this manager starts it.
    fn command(&self) -> Command {
        let mut command = sidegate();
        command.env("NOTIFY_SOCKET", &self.path);
        command
    }

    /// The next message.
    fn hears(&self) -> String {
        let mut bytes = [0; 1_000];
        // A process that was held up is told so.
        let read = loop {
            match self.socket.recv(&mut bytes) {
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                read => break read.expect("a message"),
            }
        };
        String::from_utf8(bytes[..read].to_vec()).expect("text")
    }

    /// The next message that is not about the watchdog.
    fn hears_news(&self) -> String {
        loop {
            let message = self.hears();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_hears_of_the_start_and_of_the_end() {
    let manager = Manager::new();
    let gate = Gate::builder(&Upstream::start().await).command(manager.command()).start().await;
    assert_eq!(manager.hears(), "READY=1\nSTATUS=Listening");
    gate.signal("TERM");
    assert_eq!(manager.hears(), "STOPPING=1\nSTATUS=Draining");
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abstract_socket_will_do() {
    let name = format!("sidegate-test-{}", std::process::id());
    let address = {
        use std::os::linux::net::SocketAddrExt as _;
        std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name")
    };
    let manager = UnixDatagram::bind_addr(&address).expect("bound");
    manager.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut command = sidegate();
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let _gate = Gate::builder(&Upstream::start().await).command(command).start().await;
    let mut bytes = [0; 100];
    let read = manager.recv(&mut bytes).expect("a message");
    assert_eq!(&bytes[..read], b"READY=1\nSTATUS=Listening");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_is_gone_is_no_reason_to_stop() {
    let mut command = sidegate();
    command.env("NOTIFY_SOCKET", "/nowhere/notify.sock");
    let gate = Gate::builder(&Upstream::start().await).command(command).start().await;
    gate.wait_for_line("the service manager could not be told").await;
    assert_eq!(gate.ops("/readyz").send().await.expect("an answer").status(), 200);
}

/// The thread of this process that runs a worker.
fn worker_of(process: u32) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("its threads").flatten();
    let is_worker = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "worker-0")
    };
    let task = tasks.into_iter().find(is_worker).expect("a worker");
    task.file_name().into_string().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_is_fed_until_a_worker_hangs() {
    let manager = Manager::new();
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "1000000");
    let gate = Gate::builder(&Upstream::start().await).set("listen.workers=2").command(command).start().await;
    assert_eq!(manager.hears_news(), "READY=1\nSTATUS=Listening");
    for _ in 0..5 {
        assert_eq!(manager.hears(), "WATCHDOG=1");
    }
    // Each wait for events of this thread lasts an hour from now on: it hangs, and nothing else does.
    let worker = worker_of(gate.pid());
    let mut strace = Command::new("strace")
        .args(["-q", "-o", "/dev/null", "-p", worker.as_str()])
        .args(["-e", "trace=epoll_wait", "-e", "inject=epoll_wait:delay_enter=3600000000"])
        .spawn()
        .expect("strace runs: scripts/setup.sh test installs it");
    gate.wait_for_line("a worker does not answer").await;
    while manager.socket.set_nonblocking(true).is_ok() && manager.socket.recv(&mut [0; 100]).is_ok() {}
    manager.socket.set_nonblocking(false).expect("set");
    // Control goes on, and says nothing.
    assert_eq!(gate.ops("/livez").send().await.expect("an answer").status(), 200);
    gate.signal("TERM");
    assert_eq!(manager.hears(), "STOPPING=1\nSTATUS=Draining");
    strace.kill().expect("killed");
    strace.wait().expect("gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_processs_watchdog_is_not_ours() {
    let manager = Manager::new();
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "20000").env("WATCHDOG_PID", "1");
    let gate = Gate::builder(&Upstream::start().await).command(command).start().await;
    assert_eq!(manager.hears(), "READY=1\nSTATUS=Listening");
    gate.signal("TERM");
    assert_eq!(manager.hears(), "STOPPING=1\nSTATUS=Draining");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_upgrade_the_new_gate_is_the_service() {
    let manager = Manager::new();
    let control = manager.path.with_file_name("control.sock");
    let builder = Gate::builder(&Upstream::start().await).set(&format!("listen.control={}", control.display()));
    let gate = builder.command(manager.command()).start().await;
    assert_eq!(manager.hears(), "READY=1\nSTATUS=Listening");
    let mut command = gate.succeeding(&[]);
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "1000000");
    command.env("WATCHDOG_PID", gate.pid().to_string());
    let next = crate::support::gate::started(command).await;
    assert_eq!(manager.hears(), format!("MAINPID={}", next.pid()));
    assert_eq!(manager.hears(), "READY=1\nSTATUS=Listening");
    assert_eq!(manager.hears(), "WATCHDOG=1");
    let _directory = gate.directory();
    assert_eq!(within(gate.wait()).await.code(), Some(0));
    next.signal("TERM");
    // The former gate's end is no news.
    assert_eq!(manager.hears_news(), "STOPPING=1\nSTATUS=Draining");
}

/// Binds sockets as systemd would, on free ports, and becomes the program.
const ACTIVATE: &str = r#"
import os, socket, sys
names = sys.argv[1].split(':')
for at, name in enumerate(names):
    held = socket.create_server(('127.0.0.1', 0))
    os.dup2(held.fileno(), 40 + at)
for at in range(len(names)):
    os.dup2(40 + at, 3 + at)
    os.close(40 + at)
    os.set_inheritable(3 + at, True)
os.environ.update(LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=sys.argv[1], LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// The program with sockets of these names.
fn activated(names: &str) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.env_clear().args(["-c", ACTIVATE, names]).arg(sidegate().get_program());
    command
}

/// The file descriptors of a process that are sockets, by number.
fn sockets_of(process: u32) -> HashSet<String> {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("its descriptors").flatten();
    let link = |entry: std::fs::DirEntry| std::fs::read_link(entry.path()).ok();
    open.filter_map(link).map(|link| link.display().to_string()).filter(|link| link.starts_with("socket:")).collect()
}

fn with_ports(builder: Builder) -> Builder {
    // What the configuration says must not matter: nobody may listen there.
    builder.set("listen.public=192.0.2.1:80").set("listen.private=127.0.0.1:0").set("listen.ops=127.0.0.1:0")
}

#[tokio::test]
async fn sockets_that_are_handed_over_are_listened_on_and_the_rest_is_bound() {
    let upstream = Upstream::start().await;
    let gate = with_ports(Gate::builder(&upstream)).command(activated("ops:public")).start().await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    assert_eq!(gate.ops("/readyz").send().await.expect("an answer").status(), 200);
    assert!(gate.public.ip().is_loopback(), "not where the configuration has it");
    assert!(!sockets_of(gate.pid()).is_empty());
    gate.signal("TERM");
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn sockets_of_unknown_names_are_refused() {
    for (names, says) in [
        ("web", "a socket \"web\" is handed over, but only public, private and ops are known"),
        ("ops:ops", "two sockets \"ops\" are handed over"),
        ("control", "a socket \"control\" is handed over"),
    ] {
        let output = activated(names).args(["serve", "--set", "store.state=memory"]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(says), "{names}: {said}");
    }
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let mut run = program(&["serve"]).env("LISTEN_FDS", "1").env("LISTEN_PID", "1").env("LISTEN_FDNAMES", "web");
    run = run.set("listen.public=192.0.2.1:80").set("store.state=memory");
    let run = run.run();
    assert!(run.err.contains("cannot listen on 192.0.2.1:80"), "{}", run.err);
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

#[test]
fn the_units_pass_systemds_own_check() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let program = sidegate().get_program().to_str().expect("text").to_owned();
    let mut units = Vec::new();
    for name in ["sidegate.service", "sidegate.socket"] {
        let unit = folder.path().join(name);
        let text = read(&format!("deploy/{name}")).replace("/usr/local/bin/sidegate", &program);
        std::fs::write(&unit, text).expect("written");
        units.push(unit);
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]).args(&units);
    let output = verify.output().expect("systemd-analyze runs: scripts/setup.sh test installs it");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("sidegate."), "{said}");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=yes", "--threshold=15"]).arg(&units[0]);
    let output = security.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
