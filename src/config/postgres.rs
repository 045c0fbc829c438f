//! `[store.postgres]`: the PostgreSQL that keeps the registry.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::layered::parsers::{boolean, duration, non_empty, string};
use super::layered::{Faults, Node, Reader, SecretSource};
use super::settings::{Resolve, is_same_secret, secret};

/// A PostgreSQL server, and how to speak with it.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// Where it is.
    pub address: PostgresAddress,
    /// The role.
    pub username: String,
    /// Its password.
    pub password: Option<SecretString>,
    /// Whether TLS is spoken; if so, the server's certificate and name are verified.
    pub tls: bool,
    /// The server's certificate authorities, PEM, instead of the system's; beside them, those that Mozilla
    /// lists are taken.
    pub ca: Option<PathBuf>,
    /// The schema that holds all tables: a plain identifier.
    pub schema: String,
    /// For name lookup, TCP, TLS and login together.
    pub connect_timeout: Duration,
    /// For an answer.
    pub timeout: Duration,
}

impl PartialEq for PostgresSettings {
    fn eq(&self, other: &Self) -> bool {
        let Self { address, username, password, tls, ca, schema, connect_timeout, timeout } = self;
        *address == other.address
            && *username == other.username
            && is_same_secret(password.as_ref(), other.password.as_ref())
            && *tls == other.tls
            && *ca == other.ca
            && *schema == other.schema
            && *connect_timeout == other.connect_timeout
            && *timeout == other.timeout
    }
}

/// What a `postgres://` URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresAddress {
    /// A name, an address without brackets, or the directory of a Unix socket.
    pub host: String,
    /// The port; of a Unix socket, a part of its name.
    pub port: u16,
    /// The name of the database.
    pub database: String,
}

impl PostgresAddress {
    /// Whether it is the directory of a Unix socket.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether what is sent leaves this machine.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        let loopback =
            self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        !loopback && !self.is_socket()
    }

    /// Stands where the URL was refused; such settings are not handed on.
    const fn nowhere() -> Self {
        Self { host: String::new(), port: PORT, database: String::new() }
    }
}

/// The port when the URL has none.
const PORT: u16 = 5432;

pub(super) fn read_postgres(table: Reader<'_>, resolve: &Resolve<'_>) -> Option<PostgresSettings> {
    let found = table.required("url", address);
    let password = table.optional("password", secret(resolve));
    let address = found.clone().unwrap_or_else(PostgresAddress::nowhere);
    let tls = table.or("tls", boolean, address.is_remote());
    let ca = table.optional("ca", non_empty).map(PathBuf::from);
    if found.is_some() {
        check_tls(&table, &address, tls, ca.is_some());
    }
    let settings = PostgresSettings {
        address,
        username: table.or("username", non_empty, "sidegate".to_owned()),
        password,
        tls,
        ca,
        schema: table.or("schema", schema, "sidegate".to_owned()),
        connect_timeout: table.or("connect_timeout", duration, Duration::from_secs(2)),
        timeout: table.or("timeout", duration, Duration::from_secs(2)),
    };
    table.finish();
    found.map(|_| settings)
}

/// Nothing switches verification off for a server elsewhere.
fn check_tls(table: &Reader<'_>, address: &PostgresAddress, tls: bool, ca: bool) {
    if !tls && address.is_remote() {
        table.problem("tls", "may be false only for a server on loopback or a Unix socket");
    }
    if tls && address.is_socket() {
        table.problem("tls", "is not spoken over a Unix socket");
    }
    if ca && !tls && !address.is_remote() {
        table.problem("ca", "needs `tls = true`");
    }
}

/// Reports the variables that change how the driver connects and that it has no way to overrule. It
/// reads others, too, but each of those is set by us.
pub(super) fn refuse_environment(table: &Reader<'_>, resolve: &Resolve<'_>) {
    for name in ["PGOPTIONS", "PGSSLCERT", "PGSSLKEY"] {
        if resolve(&SecretSource::Env(name.to_owned())).is_ok() {
            table.problem("registry", &format!("\"postgres\" would obey the environment variable {name}: unset it"));
        }
    }
}

/// `postgres://host[:port]/database`, nothing else: options in a URL could switch off checks.
fn address(node: &Node) -> Result<PostgresAddress, Faults> {
    const SHAPE: &str = "must be postgres://, a host (or the directory of a Unix socket, with %2F for each slash), a \
                         port if need be, a slash and the name of a database";
    let url = Url::parse(&string(node)?).map_err(|_| SHAPE)?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(SHAPE.into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password: they have keys of their own, `username` and `password`".into());
    }
    let host = url.host_str().and_then(host).ok_or(SHAPE)?;
    let database = url.path().strip_prefix('/').filter(|name| is_plain(name)).ok_or(SHAPE)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(SHAPE.into());
    }
    Ok(PostgresAddress { host, port: url.port().unwrap_or(PORT), database: database.to_owned() })
}

/// A name, an address without its brackets, or an absolute path.
fn host(written: &str) -> Option<String> {
    let host = written.replace("%2F", "/").replace("%2f", "/");
    let host = host.trim_matches(['[', ']']);
    let is_path = host.starts_with('/');
    let usable = !host.is_empty() && !host.contains('%') && (is_path || !host.contains('/'));
    usable.then(|| host.to_owned())
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=63).contains(&name.len()) && name.bytes().all(plain)
}

/// An identifier that means the same with and without quotes. Everybody's schema and the server's own
/// are no place for tables of ours.
fn schema(node: &Node) -> Result<String, Faults> {
    let text = string(node)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    if !begins || text.len() > 63 || !text.bytes().all(plain) {
        return Err("must be 1 to 63 small letters, digits or '_', and not begin with a digit".into());
    }
    if text == "public" || text == "information_schema" || text.starts_with("pg_") {
        return Err("must be a schema of the gate's own".into());
    }
    Ok(text)
}
