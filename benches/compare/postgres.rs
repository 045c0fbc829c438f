//! The PostgreSQL server of a row, with the settings that it comes with.

use crate::Result;
use crate::lab::{LOAD_CORE, Lab, free_address, wait_for};
use crate::process::{Cpu, Process};
use crate::programs::find;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A program and its Debian package, for `Section::needs`.
pub(crate) const NEEDS_POSTGRES: (&str, &str) = ("initdb", "postgresql");

const USER: &str = "bench";
const PASSWORD: &str = "correct horse of the bench";
const START_PATIENCE: Duration = Duration::from_secs(10);

/// A running server.
pub(crate) struct Postgres {
    pub(crate) row: String,
    address: SocketAddr,
    process: Process,
}

impl Postgres {
    /// Starts a server on the core of load and upstream: the gate's core is its own.
    pub(crate) async fn start(row: &str, lab: &Lab) -> Result<Self> {
        let (address, folder) = (free_address()?, lab.path(&format!("{row}-postgres")));
        make_files(&folder)?;
        let data = folder.join("data").display().to_string();
        let mut args = program("postgres")?;
        args.extend(["-D".to_owned(), data]);
        for setting in [&format!("port={}", address.port()), "listen_addresses=127.0.0.1", "unix_socket_directories="] {
            args.extend(["-c".to_owned(), setting.to_owned()]);
        }
        let log = lab.path(&format!("{row}-postgres.log"));
        let mut process = Process::start("postgres", LOAD_CORE, &args.remove(0), &args, log)?;
        wait_for(address, &mut process)?;
        let server = Self { row: row.to_owned(), address, process };
        server.wait().await?;
        Ok(server)
    }

    /// The registry is here, the rest in the gate's memory.
    pub(crate) fn lines(&self) -> String {
        format!(
            "state = \"memory\"\nregistry = \"postgres\"\n\
             postgres = {{ url = \"postgres://{}/postgres\", username = \"{USER}\", \
             password = {{ value = \"{PASSWORD}\" }}, timeout = \"5s\" }}",
            self.address
        )
    }

    /// CPU time of all its processes so far.
    pub(crate) fn cpu(&self) -> Cpu {
        self.process.cpu()
    }

    pub(crate) async fn connect(&self) -> sqlx::Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.address.port());
        let options = options.database("postgres").username(USER).password(PASSWORD).ssl_mode(PgSslMode::Disable);
        options.disable_statement_logging().connect().await
    }

    /// It takes connections before it can use them.
    async fn wait(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            match self.connect().await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(error) if started.elapsed() > START_PATIENCE => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// The files of a new server, in a folder that its user may write to.
fn make_files(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    fs::write(folder.join("password"), PASSWORD)?;
    if is_root()? {
        run(Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder))?;
    }
    let mut args = program("initdb")?;
    let mut initdb = Command::new(args.remove(0));
    initdb.args(args).args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
    run(initdb.args(["--pwfile", "password", "-D", "data"]).current_dir(folder))
}

/// How to call one of its programs, which refuse to run as root: then as the user that Debian's package makes.
fn program(name: &str) -> Result<Vec<String>> {
    let path = find(name).ok_or_else(|| format!("{name} not found"))?.display().to_string();
    let mut words = Vec::new();
    if is_root()? {
        // Another user's process would outlive this program unless it is told anew.
        let as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig", "INT", "--"];
        words.extend(as_user.map(str::to_owned));
    }
    words.push(path);
    Ok(words)
}

fn is_root() -> Result<bool> {
    Ok(Command::new("id").arg("-u").output()?.stdout == b"0\n")
}

fn run(command: &mut Command) -> Result<()> {
    let ended = command.output()?;
    let fault = || format!("{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    if ended.status.success() { Ok(()) } else { Err(fault().into()) }
}
