//! `[store.redis]`: the Redis or Valkey that replicas share.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::layered::parsers::{duration, non_empty, string};
use super::layered::{Faults, Node, Reader};
use super::settings::{Resolve, is_same_secret, secret};

/// A Redis server, and how to speak with it.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Where it is.
    pub address: RedisAddress,
    /// The user; without one, Redis' default user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// The server's certificate authorities, PEM, instead of the system's.
    pub ca: Option<PathBuf>,
    /// What all keys begin with.
    pub prefix: String,
    /// For name lookup, TCP, TLS and login together.
    pub connect_timeout: Duration,
    /// For an answer.
    pub timeout: Duration,
}

impl PartialEq for RedisSettings {
    fn eq(&self, other: &Self) -> bool {
        let Self { address, username, password, ca, prefix, connect_timeout, timeout } = self;
        *address == other.address
            && *username == other.username
            && is_same_secret(password.as_ref(), other.password.as_ref())
            && *ca == other.ca
            && *prefix == other.prefix
            && *connect_timeout == other.connect_timeout
            && *timeout == other.timeout
    }
}

/// What a `redis://` or `rediss://` URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAddress {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The number of the database.
    pub database: i64,
    /// Whether TLS is spoken.
    pub tls: bool,
}

/// The port when the URL has none.
const PORT: u16 = 6379;

pub(super) fn read_redis(table: Reader<'_>, resolve: &Resolve<'_>) -> Option<RedisSettings> {
    let address = table.required("url", address);
    let username = table.optional("username", non_empty);
    let password = table.optional("password", secret(resolve));
    let ca = table.optional("ca", non_empty).map(PathBuf::from);
    if username.is_some() && table.node("password").is_none() {
        table.problem("username", "needs a `password`");
    }
    if ca.is_some() && address.as_ref().is_some_and(|address| !address.tls) {
        table.problem("ca", "needs a `url` that begins with rediss://");
    }
    let settings = RedisSettings {
        address: address.clone().unwrap_or_else(RedisAddress::nowhere),
        username,
        password,
        ca,
        prefix: table.or("prefix", prefix, "sidegate:".to_owned()),
        connect_timeout: table.or("connect_timeout", duration, Duration::from_secs(2)),
        timeout: table.or("timeout", duration, Duration::from_millis(500)),
    };
    table.finish();
    address.map(|_| settings)
}

impl RedisAddress {
    /// Stands where the URL was refused; such settings are not handed on.
    const fn nowhere() -> Self {
        Self { host: String::new(), port: PORT, database: 0, tls: false }
    }
}

/// `redis(s)://host[:port][/database]`, nothing else: options in a URL could switch off checks.
fn address(node: &Node) -> Result<RedisAddress, Faults> {
    const SHAPE: &str = "must be redis:// or rediss:// (TLS), a host, and a port and a database number if need be";
    let url = Url::parse(&string(node)?).map_err(|_| SHAPE)?;
    let tls = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        _ => return Err(SHAPE.into()),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password: they have keys of their own, `username` and `password`".into());
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let database = match url.path().trim_start_matches('/') {
        "" => Some(0),
        digits => digits.parse().ok().filter(|number| (0..=65_535).contains(number)),
    };
    match database {
        Some(database) if !host.is_empty() && url.query().is_none() && url.fragment().is_none() => {
            Ok(RedisAddress { host: host.to_owned(), port: url.port().unwrap_or(PORT), database, tls })
        }
        _ => Err(SHAPE.into()),
    }
}

/// Plain characters only: none that means something in a pattern of keys.
fn prefix(node: &Node) -> Result<String, Faults> {
    let text = string(node)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text)
    } else {
        Err("must be 1 to 64 letters, digits, '_', '-', '.', ':' or '/'".into())
    }
}
