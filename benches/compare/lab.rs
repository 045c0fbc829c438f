//! The test bed: a temporary folder, the upstream, the load script, and free ports for whoever starts.

use crate::process::Process;
use crate::rows::Row;
use crate::{Result, token};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Load and upstream share this core, the proxy has `PROXY_CORE` for itself.
pub(crate) const LOAD_CORE: u8 = 1;
const PROXY_CORE: u8 = 0;
const START_PATIENCE: Duration = Duration::from_secs(10);
const BODY_BYTES: usize = 1024;

/// A started proxy and where it listens.
pub(crate) struct Proxy {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// What all rows share. Fields drop in order: the upstream ends before its folder goes.
pub(crate) struct Lab {
    pub(crate) token: String,
    pub(crate) request_body: String,
    pub(crate) reply_body: String,
    upstream_address: SocketAddr,
    _upstream: Process,
    folder: Folder,
}

impl Lab {
    /// Starts the upstream and writes the load script.
    pub(crate) fn open() -> Result<Self> {
        let folder = Folder::create()?;
        let address = free_address()?;
        let reply_body = padded(r#"{"success":true,"data":{"status":"running","text":""#, r#""}}"#);
        let config = fill(
            include_str!("upstream.conf"),
            &[("upstream", &address.to_string()), ("reply", &reply_body), ("dir", &folder.text())],
        );
        let args = nginx_args(&folder.write("upstream.conf", &config)?);
        let mut upstream = Process::start("upstream", LOAD_CORE, "nginx", &args, folder.path("upstream.log"))?;
        wait_for(address, &mut upstream)?;
        let token = token::valid()?;
        let request_body = padded(r#"{"message":""#, r#""}"#);
        let values = [("body", request_body.as_str()), ("token", &token), ("origin", token::ORIGIN)];
        folder.write("load.lua", &fill(include_str!("load.lua"), &values))?;
        Ok(Self { token, request_body, reply_body, upstream_address: address, _upstream: upstream, folder })
    }

    /// Starts a row's program on the proxy core and waits until it accepts connections.
    pub(crate) fn start(&self, row: &Row) -> Result<Proxy> {
        let address = free_address()?;
        let config = self.folder.path(&format!("{}.conf", row.name));
        let values = self.values(address, &config)?;
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fs::write(&config, fill(row.config, &values))?;
        let args: Vec<String> = row.args.iter().map(|arg| fill(arg, &values)).collect();
        let log = self.folder.path(&format!("{}.log", row.name));
        let mut process = Process::start(&row.name, PROXY_CORE, &row.program, &args, log)?;
        wait_for(address, &mut process)?;
        Ok(Proxy { process, address })
    }

    /// What a row's arguments and config may ask for; the spare addresses are for a program with more listeners.
    fn values(&self, listen: SocketAddr, config: &Path) -> Result<[(&'static str, String); 8]> {
        Ok([
            ("listen", listen.to_string()),
            ("spare1", free_address()?.to_string()),
            ("spare2", free_address()?.to_string()),
            ("upstream", self.upstream_address.to_string()),
            ("dir", self.folder.text()),
            ("config", config.display().to_string()),
            ("origin", token::ORIGIN.to_owned()),
            ("key", token::KEY.to_owned()),
        ])
    }

    /// The script that wrk loads.
    pub(crate) fn load_script(&self) -> PathBuf {
        self.folder.path("load.lua")
    }
}

/// nginx in the foreground, without touching the machine's own configuration or logs.
fn nginx_args(config: &Path) -> Vec<String> {
    ["-e", "stderr", "-c"].map(str::to_owned).into_iter().chain([config.display().to_string()]).collect()
}

/// `@name@` becomes the value; other text, `{{templates}}` included, stays.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

fn padded(head: &str, tail: &str) -> String {
    format!("{head}{}{tail}", "x".repeat(BODY_BYTES - head.len() - tail.len()))
}

/// A loopback port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn wait_for(address: SocketAddr, process: &mut Process) -> Result<()> {
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        process.alive()?;
        if started.elapsed() > START_PATIENCE {
            return Err(format!("nobody listens on {address} after {START_PATIENCE:?}").into());
        }
        sleep(Duration::from_millis(10));
    }
    // Somebody answered; make sure that it was ours.
    process.alive()
}

/// A temporary folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("sidegate-compare-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self) -> String {
        self.0.display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind lies in the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
