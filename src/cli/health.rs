//! `sidegate health`: what a container's HEALTHCHECK runs, where there is no shell and no curl.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;

use super::{ConfigArgs, Exit};

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The ops listener; the configuration's own if not given
    #[arg(long, value_name = "ADDRESS")]
    ops: Option<SocketAddr>,
    #[command(flatten)]
    config: ConfigArgs,
}

const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn health(args: HealthArgs) -> Result<(), Exit> {
    let address = match args.ops {
        Some(address) => address,
        None => args.config.load()?.settings.listen.ops,
    };
    let status = ask(reachable(address))
        .map_err(|fault| Exit::Failure(format!("no answer from {address}: {}", described(&fault))))?;
    if status == "200" {
        println!("ready");
        Ok(())
    } else {
        Err(Exit::Failure(format!("not ready: status {status}")))
    }
}

/// A listener on all addresses is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// A socket says `WouldBlock` when its time to read is over.
fn described(fault: &std::io::Error) -> String {
    match fault.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "timed out".to_owned(),
        _ => fault.to_string(),
    }
}

/// The status code of `GET /readyz`.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line)?;
    line.split(' ').nth(1).map(str::to_owned).ok_or_else(|| std::io::Error::other("no HTTP"))
}
