//! `[apps.authorize]`: who of a page's visitors may have a token; and `hosts`, by which a browser names the app.

use http::HeaderName;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, ORIGIN, TRANSFER_ENCODING};
use sidegate_core::authorize::{Authorize, Carrier, JwtRule, RequestRule, SecretRule};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::orcheo::{Access, Workflows};
use sidegate_core::origin::OriginSet;
use sidegate_core::token::{Algorithm, VerifyingKeys};

use super::app::secret_digests;
use super::layered::parsers::{list, non_empty, one_of, parsed, string};
use super::layered::{Faults, Node, Reader};
use super::settings::{KeyUses, Resolve, secret};
use super::token::TokenOf;
use super::upstream::UpstreamSettings;

#[derive(Clone, Copy)]
enum Kind {
    Anonymous,
    Secret,
    Jwt,
    Request,
}

const KINDS: &[(&str, Kind)] =
    &[("anonymous", Kind::Anonymous), ("secret", Kind::Secret), ("jwt", Kind::Jwt), ("request", Kind::Request)];

/// `None` where there is no such table, or with a problem.
pub(super) fn read_authorize(
    table: &Reader<'_>,
    of: TokenOf<'_>,
    upstreams: &[&UpstreamSettings],
    resolve: &Resolve<'_>,
    keys: &mut KeyUses,
) -> Option<Authorize> {
    let rule = table.table("authorize")?;
    if of.dialect != Some(Dialect::Orcheo) {
        table.problem("authorize", "is for dialect \"orcheo\"");
    }
    let read = match rule.required("kind", one_of(KINDS)) {
        Some(Kind::Anonymous) => Some(Authorize::Anonymous),
        Some(Kind::Secret) => read_secret(&rule).map(Authorize::Secret),
        Some(Kind::Jwt) => read_jwt(&rule, resolve, keys).map(Authorize::Jwt),
        Some(Kind::Request) => read_request(&rule, upstreams).map(Authorize::Request),
        None => return None,
    };
    rule.finish();
    read
}

fn read_secret(rule: &Reader<'_>) -> Option<SecretRule> {
    let carrier = read_carrier(rule, None);
    let digests = rule.required("secret_digests", secret_digests);
    let end_user = rule.optional("end_user_header", header_name);
    Some(SecretRule { carrier: carrier?, digests: digests?, end_user })
}

fn read_jwt(rule: &Reader<'_>, resolve: &Resolve<'_>, uses: &mut KeyUses) -> Option<JwtRule> {
    let carrier = read_carrier(rule, Some(Carrier::Header(AUTHORIZATION)));
    let algorithm = rule.required("algorithm", one_of(&Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm))));
    let keys = rule.required("keys", list(secret(resolve)));
    let (issuer, audience) = (rule.optional("issuer", non_empty), rule.optional("audience", non_empty));
    let claim = rule.or("claim", non_empty, "sub".to_owned());
    let mut verifying = VerifyingKeys::new(algorithm?);
    let keys = keys?;
    if keys.is_empty() || keys.len() > MAX_KEYS {
        rule.problem("keys", "must be 1 to 8 keys");
    }
    for (index, key) in keys.iter().enumerate() {
        if let Err(fault) = verifying.add(key) {
            rule.problem("keys", &format!("entry {}: {fault}", index + 1));
        }
    }
    // Whoever holds it would otherwise sign tokens of the gate.
    for clash in verifying.fingerprints().filter_map(|digest| uses.claim_login_key(digest).err()) {
        rule.problem("keys", &clash);
    }
    Some(JwtRule { carrier: carrier?, keys: verifying, issuer, audience, claim })
}

/// A token is held against each key until one fits.
const MAX_KEYS: usize = 8;

fn read_request(rule: &Reader<'_>, upstreams: &[&UpstreamSettings]) -> Option<RequestRule> {
    let upstream = rule.required("upstream", non_empty);
    if upstream.as_ref().is_some_and(|name| !upstreams.iter().any(|known| known.name == *name)) {
        rule.problem("upstream", "is not the name of one of the [[upstreams]]");
    }
    let path = rule.required("path", path);
    let headers = rule.or("headers", list(parsed::<HeaderName>()), vec![COOKIE]);
    let cookie = rule.optional("cookie", cookie_name);
    Some(RequestRule { upstream: upstream?, path: path?, headers, cookie })
}

fn read_carrier(rule: &Reader<'_>, default: Option<Carrier>) -> Option<Carrier> {
    let header = rule.optional("header", header_name).map(Carrier::Header);
    let cookie = rule.optional("cookie", cookie_name).map(Carrier::Cookie);
    match (header, cookie) {
        (Some(_), Some(_)) => {
            rule.problem("cookie", "must not stand beside `header`: it is in the one or the other");
            None
        }
        (None, None) if rule.node("header").or_else(|| rule.node("cookie")).is_none() => {
            if default.is_none() {
                rule.problem("", "needs `header` or `cookie`: where the secret stands");
            }
            default
        }
        (header, cookie) => header.or(cookie),
    }
}

/// A field that can say who somebody is; a cookie is asked for by `cookie`.
fn header_name(node: &Node) -> Result<HeaderName, Faults> {
    let name = parsed::<HeaderName>()(node)?;
    if [COOKIE, HOST, ORIGIN, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(&name) {
        return Err(
            "must not be a field that browsers or connections use themselves; for a cookie there is `cookie`".into()
        );
    }
    Ok(name)
}

/// RFC 6265 section 4.1.1: a token.
fn cookie_name(node: &Node) -> Result<String, Faults> {
    let name = string(node)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) { Err("must be the name of a cookie".into()) } else { Ok(name) }
}

fn path(node: &Node) -> Result<String, Faults> {
    let path = string(node)?;
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte));
    if path.starts_with('/') && plain {
        Ok(path)
    } else {
        Err("must be a path that begins with `/`, without a query".into())
    }
}

/// Whether the rule does what the workflows need, and its cookies are safe: they come by themselves, from any page
/// that asks, so only pages of listed origins may ask.
pub(super) fn check_authorize(
    table: &Reader<'_>,
    rule: Option<&Authorize>,
    workflows: &Workflows,
    (origins, allow_missing): (&OriginSet, bool),
) {
    let needs_login = workflows.have(Access::Login);
    if needs_login && !rule.is_some_and(Authorize::names_end_users) {
        table.problem("authorize", "must say who a visitor is: a workflow has require_login");
    }
    if needs_login && rule.is_some_and(|rule| rule.headers().any(|name| name == AUTHORIZATION)) {
        let rule = "must not look at Authorization: a workflow has require_login, and there a token stands in it";
        table.problem("authorize", rule);
    }
    if !rule.is_some_and(Authorize::uses_cookies) {
        return;
    }
    if !origins.is_enumerated() {
        table.problem(
            "origins",
            "must be listed one by one, without wildcards and null, where cookies decide who a visitor is",
        );
    }
    if allow_missing {
        table.problem("allow_missing_origin", "must be false where cookies decide who a visitor is");
    }
}

/// Host names without ports, in lower case; none of another app.
pub(super) fn read_hosts(table: &Reader<'_>, app: &str, uses: &mut KeyUses) -> Vec<String> {
    let hosts = table.or("hosts", list(host), Vec::new());
    for clash in hosts.iter().filter_map(|host| uses.claim_host(host, app).err()) {
        table.problem("hosts", &clash);
    }
    hosts
}

fn host(node: &Node) -> Result<String, Faults> {
    let host = string(node)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    let authority = host.parse::<http::uri::Authority>();
    let bare = authority.is_ok_and(|authority| authority.host() == host) && host.bytes().all(plain);
    if bare { Ok(host.to_ascii_lowercase()) } else { Err("must be a host name without a port".into()) }
}
