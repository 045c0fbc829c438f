//! A Redis server of a test's own: a child process on a free port, in a folder that is removed.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, FromRedisValue};
use secrecy::SecretString;
use sidegate::config::{RedisAddress, RedisSettings};

use super::clock::FakeClock;
use super::gate::PATIENCE;

/// What the server is started with.
#[derive(Default)]
pub struct Builder {
    arguments: Vec<String>,
    tls: bool,
    /// Seconds by which its clock is ahead of the machine's.
    ahead: Option<i64>,
}

/// The running server.
pub struct RedisServer {
    port: u16,
    options: Builder,
    folder: tempfile::TempDir,
    clock: Option<FakeClock>,
    child: Child,
}

impl Builder {
    /// An option of the server, without its dashes, and its values.
    pub fn option(mut self, name: &str, values: &[&str]) -> Self {
        self.arguments.push(format!("--{name}"));
        self.arguments.extend(values.iter().map(|value| (*value).to_owned()));
        self
    }

    /// What was acknowledged survives a crash of the server: it is with the system before it is acknowledged. That the
    /// disk has it, too, would make tests as slow as whatever else is written to that disk.
    pub fn durable(self) -> Self {
        self.option("appendonly", &["yes"]).option("appendfsync", &["no"])
    }

    /// TLS alone, with this certificate and key, PEM.
    pub fn tls(mut self, (certificate, key): &(String, String), files: &std::path::Path) -> Self {
        let write = |name: &str, text: &str| {
            let path = files.join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let (certificate, key) = (write("redis.crt", certificate), write("redis.key", key));
        self.tls = true;
        self.option("tls-cert-file", &[&certificate])
            .option("tls-key-file", &[&key])
            .option("tls-ca-cert-file", &[&certificate])
            .option("tls-auth-clients", &["no"])
    }

    /// A clock that is ahead of the machine's by so many seconds, and can be set.
    pub fn clock_ahead(mut self, seconds: i64) -> Self {
        self.ahead = Some(seconds);
        self
    }

    /// Starts the server and waits until it takes connections.
    pub fn start(self) -> RedisServer {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = self.ahead.map(|seconds| FakeClock::new(folder.path(), seconds));
        for _ in 0..20 {
            let port = free_port();
            if let Some(child) = spawn(port, &self, folder.path(), clock.as_ref()) {
                return RedisServer { port, options: self, folder, clock, child };
            }
        }
        panic!("redis-server found no free port");
    }
}

/// A port below those that the system gives to outgoing connections: it is still free when a server
/// that was killed is started anew.
pub fn free_port() -> u16 {
    loop {
        let random = RandomState::new().hash_one(());
        let port = 20_000 + u16::try_from(random % 12_000).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// `None` if the port is taken after all.
fn spawn(port: u16, options: &Builder, folder: &Path, clock: Option<&FakeClock>) -> Option<Child> {
    let port = port.to_string();
    let ports = if options.tls { ["--tls-port", &port, "--port", "0"] } else { ["--port", &port, "--tls-port", "0"] };
    let mut command = Command::new("redis-server");
    command.args(ports).args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]).args(&options.arguments);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(clock) = clock {
        clock.rule(&mut command);
    }
    let mut child = command.spawn().unwrap_or_else(|fault| {
        panic!("redis-server cannot be started ({fault}): install Debian's package redis-server, or run `make test`")
    });
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let ready = lines.any(|line| line.contains("eady to accept connections"));
    // Nobody would read on, and a full pipe stops the server.
    std::thread::spawn(move || lines.for_each(drop));
    if !ready {
        child.wait().expect("it ends");
    }
    ready.then_some(child)
}

impl RedisServer {
    /// A server with no option but its port.
    pub fn start() -> Self {
        Self::builder().start()
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// As `store.redis.url` has it.
    pub fn url(&self) -> String {
        format!("redis{}://127.0.0.1:{}", if self.options.tls { "s" } else { "" }, self.port)
    }

    /// The gate's state is here.
    pub fn share(&self, gate: super::gate::Builder) -> super::gate::Builder {
        gate.set("store.state=redis").set(&format!("store.redis.url={}", self.url()))
    }

    /// For a store in this process; patient, as many tests run at once.
    pub fn settings(&self) -> RedisSettings {
        RedisSettings {
            address: RedisAddress { host: "127.0.0.1".to_owned(), port: self.port, database: 0, tls: self.options.tls },
            username: None,
            password: None,
            ca: None,
            prefix: "sidegate:".to_owned(),
            connect_timeout: PATIENCE,
            timeout: PATIENCE,
        }
    }

    /// As [`Self::settings`], for a user.
    pub fn settings_of(&self, user: &str, password: &str) -> RedisSettings {
        RedisSettings {
            username: Some(user.to_owned()),
            password: Some(SecretString::from(password)),
            ..self.settings()
        }
    }

    /// Sends a command as an administrator.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let client = Client::open(self.url()).expect("a client");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        let (name, arguments) = words.split_first().expect("a command");
        redis::cmd(name).arg(arguments).query_async(&mut connection).await.expect("an answer")
    }

    /// Sets the clock of a server that was started with another than the machine's.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.clock.as_ref().expect("one that can be set").set(seconds);
    }

    /// Stops it in the middle of whatever it does; its port still takes connections.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("it ends");
    }

    /// Starts it anew, with what it had on disk.
    pub fn revive(&mut self) {
        let again = spawn(self.port, &self.options, self.folder.path(), self.clock.as_ref());
        self.child = again.expect("its port is still free");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `done` says so; for what takes a moment and tells nobody.
pub async fn until(what: &str, done: impl AsyncFn() -> bool) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}
