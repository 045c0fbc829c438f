//! From settings to a server that can be relied on, or a clear reason why not.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use redis::io::tcp::TcpSettings;
use redis::{
    Client, ConnectionAddr, ErrorKind, InfoDict, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo,
    RedisError, ServerErrorKind, TlsCertificates, Value, cmd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;

use super::Redis;
use super::fault::Fault;
use super::keys::Keys;
use super::link::Link;
use super::scripts::Scripts;
use super::time::{Time, difference};
use crate::config::{RedisAddress, RedisSettings};

/// The oldest version that has all that is needed.
const OLDEST: (u32, u32) = (6, 2);

impl Redis {
    /// Connects and checks the server. The connection lives on the runtime of the caller.
    ///
    /// # Errors
    /// Why it cannot be used; names the setting, never the password.
    pub async fn open(settings: &RedisSettings) -> Result<Self, String> {
        let keys = Keys::new(&settings.prefix);
        let link = Link::open(client(settings)?, settings, &keys.probe()).await;
        let link = Arc::new(link.map_err(|error| unconnected(settings, &error))?);
        let keeper = tokio::spawn(Arc::clone(&link).keep());
        let redis = Self { link, keys, scripts: Scripts::new(), keeper };
        redis.check_server().await?;
        redis.check_clock().await?;
        redis.check_permissions().await?;
        warn_of_plain_text(settings);
        Ok(redis)
    }

    async fn check_server(&self) -> Result<(), String> {
        // A user who may not ask learns of an old server from the check of permissions.
        let info = self.link.ask::<InfoDict>(&cmd("INFO")).await.ok();
        let said = |name: &str| info.as_ref().and_then(|info| info.get::<String>(name));
        if let Some(version) = said("redis_version").filter(|version| is_older(version, OLDEST)) {
            return Err(too_old(&version));
        }
        if said("redis_mode").is_some_and(|mode| mode == "cluster") {
            return Err("store.redis.url: a Redis Cluster cannot be used; a single primary can".to_owned());
        }
        check_policy(self.policy().await.or_else(|| said("maxmemory_policy")).as_deref())?;
        if said("aof_enabled").is_some_and(|enabled| enabled == "0") {
            tracing::warn!(
                "Redis runs without appendonly: if it restarts, contexts, owners and used tokens may be lost"
            );
        }
        Ok(())
    }

    /// What the server drops when its memory is full; `None` if this user may not ask.
    async fn policy(&self) -> Option<String> {
        const NAME: &str = "maxmemory-policy";
        let answer = self.link.ask::<HashMap<String, String>>(cmd("CONFIG").arg("GET").arg(NAME)).await;
        answer.ok()?.remove(NAME)
    }

    async fn check_clock(&self) -> Result<(), String> {
        let time: Time = self.link.ask(&cmd("TIME")).await.map_err(|error| unusable(&error))?;
        match difference(time) {
            None => Ok(()),
            Some(off) => Err(format!("store.redis.url: the clocks of Redis and of this machine differ by {off} s")),
        }
    }

    /// Tries what will be asked, so that a missing permission is found now. What is written is gone in
    /// a second.
    async fn check_permissions(&self) -> Result<(), String> {
        let failed = |error: RedisError| unusable(&error);
        let probe = self.keys.probe();
        self.link.try_writing().await.map_err(failed)?;
        for (name, arguments) in PERMISSIONS {
            match self.link.ask::<Value>(cmd(name).arg(&probe).arg(*arguments)).await {
                // The key is not of the type: said to a user who may ask.
                Err(error) if error.code() == Some("WRONGTYPE") => {}
                tried => drop(tried.map_err(failed)?),
            }
        }
        self.scan(&self.keys.any_context(), 0)
            .await
            .map_err(|_| "store.redis.username: the user may not SCAN".to_owned())?;
        let mut script = self.scripts.sweep.key(self.keys.revocations());
        script.key(self.keys.revocations_by_time()).arg(0).arg(1);
        self.link.run(&script).await.map_err(failed)
    }
}

/// The commands that are sent or stand in scripts, with what follows the key.
const PERMISSIONS: &[(&str, &[&str])] = &[
    ("GET", &[]),
    ("MGET", &[]),
    ("SET", &["", "NX", "PXAT", "9007199254740991"]),
    ("DEL", &[]),
    ("EXISTS", &[]),
    ("HGET", &[""]),
    ("HGETALL", &[]),
    ("HSET", &["", ""]),
    ("SMEMBERS", &[]),
    ("SADD", &[""]),
    ("ZADD", &["0", ""]),
    ("ZMSCORE", &[""]),
    ("ZRANGE", &["0", "0"]),
    ("ZRANGEBYSCORE", &["0", "0"]),
    ("ZREM", &[""]),
];

fn client(settings: &RedisSettings) -> Result<Client, String> {
    let at = &settings.address;
    let address = if at.tls {
        ConnectionAddr::TcpTls { host: at.host.clone(), port: at.port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(at.host.clone(), at.port)
    };
    let mut login = RedisConnectionInfo::default().set_db(at.database).set_protocol(ProtocolVersion::RESP3);
    login = login.set_skip_set_lib_name();
    if let Some(username) = &settings.username {
        login = login.set_username(username);
    }
    if let Some(password) = &settings.password {
        login = login.set_password(password.expose_secret());
    }
    let info = address.into_connection_info().map_err(|error| unusable(&error))?;
    let info = info.set_redis_settings(login).set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let Some(path) = settings.ca.as_ref().filter(|_| at.tls) else {
        return Client::open(info).map_err(|error| unusable(&error));
    };
    let fault = |reason: &str| format!("store.redis.ca: {}: {reason}", path.display());
    let pem = std::fs::read(path).map_err(|error| fault(&error.to_string()))?;
    // The library takes a file without any certificate for one that trusts nobody.
    if !CertificateDer::pem_slice_iter(&pem).any(|certificate| certificate.is_ok()) {
        return Err(fault("holds no certificate"));
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    Client::build_with_tls(info, certificates).map_err(|error| fault(&Fault(&error).to_string()))
}

/// Why there is no connection.
fn unconnected(settings: &RedisSettings, error: &RedisError) -> String {
    let fault = Fault(error);
    let RedisAddress { host, port, .. } = &settings.address;
    if fault.is_login() {
        return match settings.password {
            Some(_) => "store.redis.password: Redis refuses this user or password".to_owned(),
            None => "store.redis.password: Redis wants one".to_owned(),
        };
    }
    if fault.is_too_old() {
        return too_old("this server");
    }
    if let Some(tls) = fault.of_tls() {
        let key = if settings.ca.is_some() { "ca" } else { "url" };
        return format!("store.redis.{key}: TLS with {host}:{port} failed: {tls}");
    }
    format!("store.redis.url: cannot use {host}:{port}: {fault}")
}

/// Why a connection is of no use.
fn unusable(error: &RedisError) -> String {
    let fault = Fault(error);
    let key = if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) { "username" } else { "url" };
    format!("store.redis.{key}: {fault}")
}

fn too_old(version: &str) -> String {
    let (major, minor) = OLDEST;
    format!("store.redis.url: {version} is too old: Redis {major}.{minor} or newer is needed, or Valkey")
}

fn is_older(version: &str, than: (u32, u32)) -> bool {
    let mut parts = version.split('.').map(str::parse);
    matches!((parts.next(), parts.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < than)
}

/// Anything but `noeviction` drops what was promised to be kept: a used token could be used again.
fn check_policy(policy: Option<&str>) -> Result<(), String> {
    match policy {
        Some("noeviction") => Ok(()),
        Some(policy) => Err(format!(
            "store.redis.url: maxmemory-policy is {policy}, so Redis drops used tokens and contexts: set noeviction"
        )),
        None => {
            Err("store.redis.username: this user may neither INFO nor CONFIG GET, so that maxmemory-policy cannot \
                     be seen: allow one of them"
                .to_owned())
        }
    }
}

fn warn_of_plain_text(settings: &RedisSettings) {
    let RedisAddress { host, tls, .. } = &settings.address;
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !tls && !loopback {
        tracing::warn!("store.redis.url is without TLS: password, end users and conversation ids pass in the clear");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (version, older) in
            [("6.0.16", true), ("5.0.7", true), ("6.2.0", false), ("7.0.15", false), ("10.0.1", false)]
        {
            assert_eq!(is_older(version, OLDEST), older, "{version}");
        }
    }

    #[test]
    fn only_noeviction_will_do() {
        assert_eq!(check_policy(Some("noeviction")), Ok(()));
        assert!(check_policy(Some("volatile-lru")).is_err_and(|reason| reason.contains("volatile-lru")));
        assert!(check_policy(None).is_err());
    }
}
