//! A PostgreSQL server of a test's own: a child process on a free port, in a folder that is removed.

mod programs;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use secrecy::SecretString;
use sidegate::config::{PostgresAddress, PostgresSettings};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, raw_sql};

use self::programs::{give, run, spawn, template, write_privately};
use super::gate::{Builder as GateBuilder, PATIENCE};
use super::redis::free_port;

/// The administrator, who may do everything.
pub const ADMIN: &str = "admin";
/// The administrator's password.
pub const PASSWORD: &str = "correct horse";

/// What the server is started with.
#[derive(Default)]
pub struct Builder {
    certificate: Option<(String, String)>,
}

/// The running server.
pub struct PostgresServer {
    port: u16,
    tls: bool,
    folder: tempfile::TempDir,
    child: Child,
}

impl Builder {
    /// TLS as well, with this certificate and key, PEM.
    pub fn tls(mut self, certificate: &(String, String)) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// Starts the server and waits until it takes connections.
    pub fn start(self) -> PostgresServer {
        let folder = tempfile::tempdir().expect("a folder");
        run(Command::new("cp").arg("-a").arg(template()).arg(folder.path().join("data")));
        if let Some((certificate, key)) = &self.certificate {
            write_privately(&folder.path().join("server.crt"), certificate);
            write_privately(&folder.path().join("server.key"), key);
        }
        give(folder.path());
        for _ in 0..20 {
            let port = free_port();
            if let Some(child) = spawn(port, self.certificate.is_some(), folder.path()) {
                return PostgresServer { port, tls: self.certificate.is_some(), folder, child };
            }
        }
        panic!("PostgreSQL found no free port");
    }
}

impl PostgresServer {
    /// A server without TLS.
    pub fn start() -> Self {
        Self::builder().start()
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// As `store.postgres.url` has it.
    pub fn url(&self) -> String {
        format!("postgres://127.0.0.1:{}/postgres", self.port)
    }

    /// The same by its Unix socket.
    pub fn socket_url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://{folder}:{}/postgres", self.port)
    }

    /// The gate's registry is here.
    pub fn share(&self, gate: GateBuilder) -> GateBuilder {
        self.settings_of_a_gate().iter().fold(gate, |gate, setting| gate.set(setting))
    }

    /// The same as settings for the command line.
    pub fn settings_of_a_gate(&self) -> [String; 4] {
        [
            "store.registry=postgres".to_owned(),
            format!("store.postgres.url={}", self.url()),
            format!("store.postgres.username={ADMIN}"),
            format!("store.postgres.password={{ value = \"{PASSWORD}\" }}"),
        ]
    }

    /// For a store in this process; patient, as many tests run at once.
    pub fn settings(&self) -> PostgresSettings {
        PostgresSettings {
            address: PostgresAddress { host: "127.0.0.1".to_owned(), port: self.port, database: "postgres".to_owned() },
            username: ADMIN.to_owned(),
            password: Some(SecretString::from(PASSWORD)),
            tls: self.tls,
            ca: None,
            schema: "sidegate".to_owned(),
            connect_timeout: PATIENCE,
            timeout: PATIENCE,
        }
    }

    /// As [`Self::settings`], for a role.
    pub fn settings_of(&self, role: &str, password: &str) -> PostgresSettings {
        PostgresSettings { username: role.to_owned(), password: Some(SecretString::from(password)), ..self.settings() }
    }

    /// The folder of its Unix socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection of the administrator's own.
    pub async fn connect(&self) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.port).database("postgres");
        let options = options.username(ADMIN).password(PASSWORD).ssl_mode(PgSslMode::Disable);
        options.connect().await.expect("a connection")
    }

    /// Runs statements as the administrator; their rows.
    pub async fn sql(&self, statements: &str) -> Vec<PgRow> {
        run_sql(&mut self.connect().await, statements).await
    }

    /// Stops it in the middle of whatever it does; its port still takes connections.
    pub fn freeze(&self) {
        // First the one that would start others.
        signal("STOP", self.child.id());
        self.children().into_iter().for_each(|child| signal("STOP", child));
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.children().into_iter().for_each(|child| signal("CONT", child));
        signal("CONT", self.child.id());
    }

    /// Its processes but for the first: each connection has its own.
    fn children(&self) -> Vec<u32> {
        let parent = self.child.id().to_string();
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let of_ours = processes.filter_map(|process| {
            let status = std::fs::read_to_string(process.path().join("status")).ok()?;
            let of = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
            (of.trim() == parent).then(|| process.file_name().to_str()?.parse().ok()).flatten()
        });
        of_ours.collect()
    }

    /// Kills all of it, as a crash would.
    pub fn kill(&mut self) {
        // It starts no other while they are listed.
        signal("STOP", self.child.id());
        let children = self.children();
        self.child.kill().expect("killed");
        self.child.wait().expect("it ends");
        // They notice by themselves, but a new server waits for them.
        let still = |child: &u32| Path::new("/proc").join(child.to_string()).exists();
        children.into_iter().filter(still).for_each(|child| signal_if_there("KILL", child));
    }

    /// Starts it anew, with what it had on disk.
    pub fn revive(&mut self) {
        let again = (0..100).find_map(|_| {
            let child = spawn(self.port, self.tls, self.folder.path());
            // What the crash left is given back within a moment.
            child.or_else(|| {
                std::thread::sleep(Duration::from_millis(50));
                None
            })
        });
        self.child = again.expect("its port is still free");
    }
}

/// Runs statements on a connection; their rows.
pub async fn run_sql(connection: &mut PgConnection, statements: &str) -> Vec<PgRow> {
    raw_sql(AssertSqlSafe(statements)).fetch_all(connection).await.unwrap_or_else(|fault| panic!("{fault}"))
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args([format!("-{name}"), process.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

fn signal_if_there(name: &str, process: u32) {
    let sent = Command::new("kill").args([format!("-{name}"), process.to_string()]).stderr(Stdio::null()).status();
    sent.expect("kill runs");
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // One that was killed is gone already.
        if matches!(self.child.try_wait(), Ok(None)) {
            // At once, and its children with it; frozen ones as well.
            signal_if_there("QUIT", self.child.id());
            self.children().into_iter().for_each(|child| signal_if_there("CONT", child));
            signal_if_there("CONT", self.child.id());
            let _ = self.child.wait();
        }
    }
}
