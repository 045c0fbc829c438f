//! The test bed: a temporary folder, the upstream, the load script, and free ports for whoever starts.

use crate::process::Process;
use crate::rows::Row;
use crate::{Result, token};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Load and upstream share this core; the proxies get the other one, see `Row::cores`.
pub(crate) const LOAD_CORE: &str = "1";
pub(crate) const PROXY_CORE: &str = "0";
const START_PATIENCE: Duration = Duration::from_secs(10);
const BODY_BYTES: usize = 1024;

/// A started proxy and where it listens.
pub(crate) struct Proxy {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// For a program with more listeners: `@spare1@` and `@spare2@` of its config.
    pub(crate) spare: [SocketAddr; 2],
}

/// What all rows share. Fields drop in order: the upstream ends before its folder goes.
pub(crate) struct Lab {
    pub(crate) token: String,
    pub(crate) request_body: String,
    pub(crate) reply_body: String,
    /// Makes wrk send the usual chat request.
    pub(crate) chat_script: PathBuf,
    pub(crate) upstream_address: SocketAddr,
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
        let chat_script = folder.script("load.lua", &fill(include_str!("load.lua"), &values))?;
        let _upstream = upstream;
        Ok(Self { token, request_body, reply_body, chat_script, upstream_address: address, _upstream, folder })
    }

    /// Starts a row's program on its cores and waits until it accepts connections.
    pub(crate) fn start(&self, row: &Row) -> Result<Proxy> {
        let [address, spare @ ..] = [free_address()?, free_address()?, free_address()?];
        let config = self.folder.path(&format!("{}.conf", row.name));
        let values = self.values(address, spare, &config);
        let values: Vec<(&str, &str)> =
            row.values.iter().chain(&values).map(|(name, value)| (*name, value.as_str())).collect();
        fs::write(&config, fill(row.config, &values))?;
        let args: Vec<String> = row.args.iter().map(|arg| fill(arg, &values)).collect();
        let log = self.folder.path(&format!("{}.log", row.name));
        let mut process = Process::start(&row.name, row.cores, &row.program, &args, log)?;
        wait_for(address, &mut process)?;
        Ok(Proxy { process, address, spare })
    }

    /// A file in the folder of this run, where every row's configuration and output are.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// A script for wrk, filled in with a row's own values.
    pub(crate) fn script(&self, row: &Row, template: &str) -> Result<PathBuf> {
        let values: Vec<(&str, &str)> = row.values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.folder.script(&format!("{}.lua", row.name), &fill(template, &values))
    }

    /// What a row's arguments and config may ask for.
    fn values(&self, listen: SocketAddr, spare: [SocketAddr; 2], config: &Path) -> [(&'static str, String); 8] {
        let [spare1, spare2] = spare;
        [
            ("listen", listen.to_string()),
            ("spare1", spare1.to_string()),
            ("spare2", spare2.to_string()),
            ("upstream", self.upstream_address.to_string()),
            ("dir", self.folder.text()),
            ("config", config.display().to_string()),
            ("origin", token::ORIGIN.to_owned()),
            ("key", token::KEY.to_owned()),
        ]
    }
}

/// nginx in the foreground, without touching the machine's own configuration or logs.
fn nginx_args(config: &Path) -> Vec<String> {
    ["-e", "stderr", "-c"].map(str::to_owned).into_iter().chain([config.display().to_string()]).collect()
}

/// `@name@` becomes the value, which may hold names that follow in the list; other text, `{{templates}}` included, stays.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

fn padded(head: &str, tail: &str) -> String {
    format!("{head}{}{tail}", "x".repeat(BODY_BYTES - head.len() - tail.len()))
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

pub(crate) fn wait_for(address: SocketAddr, process: &mut Process) -> Result<()> {
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

    /// A script for wrk that ends with the summary that `load` reads.
    fn script(&self, name: &str, text: &str) -> Result<PathBuf> {
        self.write(name, &format!("{text}{}", include_str!("summary.lua")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind lies in the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
