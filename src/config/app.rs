//! `[[apps]]`: the registered integrations. Those of the registry have the same shape, as JSON.

use std::collections::BTreeMap;

use sidegate_core::app::{App, Authority, Pass, Scoping};
use sidegate_core::context::inject::{Injection, InjectionSource};
use sidegate_core::context::template::Scope;
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::orcheo::Workflows;
use sidegate_core::id::AppId;
use sidegate_core::origin::OriginSet;
use sidegate_core::secret::{SecretDigest, SecretDigests};

use super::authorize::{check_authorize, read_authorize, read_hosts};
use super::chat9::{check_sessions, read_bot, read_frame_origins, read_sessions};
use super::chatbotkit::read_translator;
use super::layered::parsers::{boolean, list, non_empty, one_of, parsed, string, string_list};
use super::layered::{Faults, Node, Reader, to_json};
use super::leash::read_leash;
use super::limits::read_limits;
use super::mitigate::read_widget;
use super::orcheo::{self, check_published, read_workflows, read_workspace};
use super::settings::{KeyUses, Resolve};
use super::token::{TokenOf, read_token};
use super::trade::{is_passed, read_authority};
use super::upstream::UpstreamSettings;

pub(super) fn read_app(
    table: Reader<'_>,
    resolve: &Resolve<'_>,
    upstreams: &[&UpstreamSettings],
    keys: &mut KeyUses,
) -> Option<(App, String)> {
    let id = table.required("id", parsed::<AppId>());
    let name = id.as_ref().map_or("", AppId::as_str);
    let dialect = table.required("dialect", one_of(&Dialect::ALL.map(|dialect| (dialect.name(), dialect))));
    let upstream = table.required("upstream", non_empty);
    let secrets = table.optional("secret_digests", secret_digests);
    let origins = read_origins(&table, dialect, resolve);
    let frame_origins = read_frame_origins(&table, dialect);
    let allow_missing_origin = table.or("allow_missing_origin", boolean, false);
    let scoping = table.or("scoping", one_of(SCOPINGS), Scoping::Gate);
    let pass = read_pass(&table, dialect);
    let workflows = read_workflows(&table, name, keys);
    check_workflows(&table, dialect, &workflows);
    let workspace = read_workspace(&table, dialect);
    let of = TokenOf { dialect, app: id.as_ref(), upstream: upstream.as_deref() };
    let trade = read_authority(&table, of, resolve);
    let own = if is_passed(&table, dialect) { Authority::Passed } else { Authority::Local };
    let has_tokens = trade.is_none() && dialect.is_none_or(Dialect::has_tokens);
    let token = if has_tokens { read_token(&table, of, resolve, keys) } else { None };
    check_sessions(&table, dialect);
    let bot = read_bot(&table, dialect, name, resolve, keys);
    let widget = read_widget(&table, dialect, name, upstreams, resolve, keys);
    let translator = read_translator(&table, dialect, upstreams, resolve);
    let sessions = read_sessions(&table, dialect);
    check_published(&table, &workflows, pass, token.as_ref());
    let hosts = read_hosts(&table, name, keys);
    let authorize = read_authorize(&table, of, upstreams, resolve, keys);
    check_authorize(&table, authorize.as_ref(), &workflows, (&origins, allow_missing_origin));
    let limits = read_limits(&table, dialect, resolve);
    let leash = read_leash(&table);
    let known = known_upstream(&table, upstream.as_deref(), upstreams);
    let injection = read_injection(&table, id.as_ref(), dialect, known.map(|known| &known.service.0));
    check_scoping(&table, scoping, &injection);
    table.finish();
    let authority = trade.map_or(Some(own), |trade| trade.map(Authority::Upstream));
    let app = App {
        id: id?,
        dialect: dialect?,
        authority: authority?,
        hosts,
        authorize,
        secrets,
        origins,
        frame_origins,
        allow_missing_origin,
        workflows,
        workspace,
        bot,
        widget,
        translator,
        sessions,
        token,
        injection,
        limits,
        leash,
        scoping,
        pass,
    };
    Some((app, upstream?))
}

fn known_upstream<'a>(
    table: &Reader<'_>,
    name: Option<&str>,
    upstreams: &[&'a UpstreamSettings],
) -> Option<&'a UpstreamSettings> {
    let known = upstreams.iter().copied().find(|known| Some(&*known.name) == name);
    if name.is_some() && known.is_none() {
        table.problem("upstream", "is not the name of one of the [[upstreams]]");
    }
    known
}

fn check_scoping(table: &Reader<'_>, scoping: Scoping, injection: &Injection) {
    if scoping == Scoping::Upstream && !injection.header_names_subject() {
        table.problem(
            "scoping",
            "\"upstream\" needs an injected header with {{claims.sub}}, to tell the upstream whom to serve",
        );
    }
}

fn check_workflows(table: &Reader<'_>, dialect: Option<Dialect>, workflows: &Workflows) {
    match dialect {
        Some(Dialect::Orcheo) if workflows.all().is_empty() => {
            table.problem("workflows", "an app of this dialect needs one or more: its tokens are bound to them");
        }
        Some(Dialect::Sigmic | Dialect::Chat9 | Dialect::Mitigate | Dialect::ChatBotKit)
            if !workflows.all().is_empty() =>
        {
            table.problem("workflows", "are for dialect \"orcheo\"")
        }
        _ => {}
    }
}

const SCOPINGS: &[(&str, Scoping)] = &[("gate", Scoping::Gate), ("upstream", Scoping::Upstream)];

pub(super) fn secret_digests(node: &Node) -> Result<SecretDigests, Faults> {
    let mut digests = list(parsed::<SecretDigest>())(node)?.into_iter();
    match (digests.next(), digests.next(), digests.next()) {
        (Some(current), previous, None) => Ok(SecretDigests::new(current, previous)),
        _ => Err("must be one digest, or two during a rotation".into()),
    }
}

/// Bytes of an app's origins as its tokens carry them. With the longest end user beside them a token
/// is still one that the gate reads (8 KiB), and fits the header sizes that servers commonly take.
const MAX_ORIGINS: usize = 4 * 1024;

/// Where the app's pages live. For one of Orcheo that does not say it, the backend's own setting does.
fn read_origins(table: &Reader<'_>, dialect: Option<Dialect>, resolve: &Resolve<'_>) -> OriginSet {
    if table.node("origins").is_some() || dialect != Some(Dialect::Orcheo) {
        let written = |node: &Node| -> Result<_, Faults> { Ok(origin_set(&string_list(node)?)?) };
        return table.optional("origins", written).unwrap_or_default();
    }
    let Some(named) = orcheo::cors_origins(resolve) else { return OriginSet::default() };
    named.and_then(|entries| origin_set(&entries).map_err(|fault| orcheo::in_cors_origins(&fault))).unwrap_or_else(
        |fault| {
            table.problem("origins", &fault);
            OriginSet::default()
        },
    )
}

pub(super) fn origin_set(entries: &[String]) -> Result<OriginSet, String> {
    let quotes_and_comma = 3;
    if entries.iter().map(|entry| entry.len() + quotes_and_comma).sum::<usize>() > MAX_ORIGINS {
        return Err("is longer than a token can carry: 4096 bytes, with 3 more for each origin".to_owned());
    }
    OriginSet::parse(entries).map_err(|(index, fault)| format!("entry {}: {fault}", index + 1))
}

/// A token that the upstream verifies, too, passes unless the app says otherwise.
fn read_pass(table: &Reader<'_>, dialect: Option<Dialect>) -> Pass {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum What {
        Cookies,
        SetCookie,
        Token,
    }
    let choice = one_of(&[("cookies", What::Cookies), ("set_cookie", What::SetCookie), ("token", What::Token)]);
    let default = if dialect.is_some_and(Dialect::shares_key) { vec![What::Token] } else { Vec::new() };
    let what = table.or("pass", list(choice), default);
    Pass {
        cookies: what.contains(&What::Cookies),
        set_cookie: what.contains(&What::SetCookie),
        token: what.contains(&What::Token),
    }
}

fn read_injection(
    table: &Reader<'_>,
    id: Option<&AppId>,
    dialect: Option<Dialect>,
    service: Option<&BTreeMap<String, secrecy::SecretString>>,
) -> Injection {
    let inject = table.section("inject");
    let source = InjectionSource {
        headers: inject.map_of("headers", string).into_iter().collect(),
        query: inject.map_of("query", string).into_iter().collect(),
        body: inject.map_of("body", to_json).into_iter().collect(),
        allowed_hosts: inject.or("allowed_hosts", string_list, Vec::new()),
    };
    let (Some(app), Some(service)) = (id, service) else {
        inject.finish();
        return Injection::default();
    };
    let visitor = dialect.map_or(&[][..], Dialect::visitor_fields);
    let injection = Injection::compile(&source, Scope { app: Some(app), service, visitor }).unwrap_or_else(|faults| {
        for (table, entry, fault) in faults {
            inject.problem_in(table, &entry, &fault);
        }
        Injection::default()
    });
    inject.finish();
    injection
}
