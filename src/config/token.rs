//! `[apps.token]`: how an app's tokens are made.

use std::time::Duration;

use secrecy::SecretString;
use sidegate_core::app::TokenPolicy;
use sidegate_core::dialect::Dialect;
use sidegate_core::duration::parse_lifetime;
use sidegate_core::id::AppId;
use sidegate_core::token::{Algorithm, KeyRing};

use super::layered::parsers::{boolean, list, non_empty, one_of, string};
use super::layered::{Faults, Node, Reader};
use super::orcheo;
use super::settings::{KeyUses, Resolve, secret};

const HOUR: Duration = Duration::from_secs(3_600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Whose tokens they are.
#[derive(Clone, Copy)]
pub struct TokenOf<'a> {
    /// The app's dialect.
    pub dialect: Option<Dialect>,
    /// Its id.
    pub app: Option<&'a AppId>,
    /// The name of its upstream.
    pub upstream: Option<&'a str>,
}

impl TokenOf<'_> {
    /// As [`Dialect::shares_key`].
    pub(super) fn shares_key(self) -> bool {
        self.dialect.is_some_and(Dialect::shares_key)
    }
}

/// `None` where there is no such table and nothing stands in for it, or it has a problem.
pub(super) fn read_token(
    table: &Reader<'_>,
    of: TokenOf<'_>,
    resolve: &Resolve<'_>,
    keys: &mut KeyUses,
) -> Option<TokenPolicy> {
    // The environment of the upstream may say all there is to say.
    let key = of.shares_key().then(|| orcheo::environment(resolve, "TOKEN_SIGNING_KEY")).flatten();
    let token = if key.is_some() { table.section("token") } else { table.table("token")? };
    let ring = read_ring(&token, key, resolve);
    let (ttl, max_ttl) = read_lifetimes(&token, of, resolve);
    let named = |key, name| {
        let plain = of.shares_key().then(|| orcheo::plain(resolve, name)).flatten();
        if of.shares_key() { token.optional(key, non_empty).or(plain) } else { None }
    };
    let (issuer, audience) = (named("issuer", "TOKEN_ISSUER"), named("audience", "TOKEN_AUDIENCE"));
    let single_use = token.or("single_use", boolean, false);
    if single_use && of.dialect.is_some_and(Dialect::has_sessions) {
        token.problem("single_use", "is for dialects without sessions");
    }
    if of.shares_key() && ring.as_ref().is_some_and(|ring| ring.algorithm() != Algorithm::Hs256) {
        token.problem("algorithm", "must be HS256: the upstream verifies with the key that signs");
    }
    if of.dialect == Some(Dialect::ChatBotKit) && ring.as_ref().is_some_and(|ring| ring.algorithm() != Algorithm::Hs256)
    {
        token.problem("algorithm", "must be HS256: the vendor's tokens have no other");
    }
    for fingerprint in ring.iter().flat_map(KeyRing::fingerprints) {
        if let Err(clash) = keys.claim_signing_key(fingerprint, of) {
            token.problem("key", &clash);
        }
    }
    token.finish();
    Some(TokenPolicy { keys: ring?, ttl, max_ttl, single_use, issuer, audience })
}

/// The lifetime when none is asked for, and the longest.
fn read_lifetimes(token: &Reader<'_>, of: TokenOf<'_>, resolve: &Resolve<'_>) -> (Duration, Duration) {
    let (mut default, mut shortest) = (HOUR, Duration::ZERO);
    if of.dialect.is_some_and(Dialect::has_sessions) {
        // As long as a page asks for another one while its visitor is there.
        default = HOUR / 4;
    }
    if of.shares_key() {
        let named = orcheo::ttl(resolve).map_err(|rule| token.problem("ttl", rule)).ok().flatten();
        (default, shortest) = (named.unwrap_or(orcheo::TTL), orcheo::MIN_TTL);
    }
    let ttl = token.or("ttl", lifetime, default);
    let max_ttl = token.or("max_ttl", lifetime, WEEK);
    if ttl > max_ttl {
        token.problem("ttl", "must not be longer than max_ttl");
    }
    if ttl < shortest {
        token.problem("ttl", "must be 60s or more");
    }
    (ttl, max_ttl)
}

/// Lifetimes are written as in `expiresIn`: whole seconds, minutes, hours, days.
fn lifetime(node: &Node) -> Result<Duration, Faults> {
    parse_lifetime(&string(node)?).map_err(|rule| rule.to_string().into())
}

/// `key` stands in for the one of the table.
fn read_ring(token: &Reader<'_>, key: Option<SecretString>, resolve: &Resolve<'_>) -> Option<KeyRing> {
    let algorithms = Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
    // A refused one is a problem of its own; the keys are not then held against the default.
    let default = token.node("algorithm").is_none().then_some(Algorithm::Hs256);
    let algorithm = token.optional("algorithm", one_of(&algorithms)).or(default);
    let active = match key {
        Some(key) => token.optional("key", secret(resolve)).or(Some(key)),
        None => token.required("key", secret(resolve)),
    };
    let retired = token.or("retired_keys", list(secret(resolve)), Vec::new());
    let ring = KeyRing::new(algorithm?, &active?);
    let mut ring = ring.map_err(|fault| token.problem("key", &fault.to_string())).ok()?;
    for (index, key) in retired.iter().enumerate() {
        if let Err(fault) = ring.retire(key) {
            token.problem("retired_keys", &format!("entry {}: {fault}", index + 1));
        }
    }
    Some(ring)
}
