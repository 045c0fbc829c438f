//! `[apps.limits]`: how often an app may be used, and how large a file may be. Apps of the dialects "orcheo"
//! and "chat9" have the vendor's limits unless they say otherwise.

use sidegate_core::app::AppLimits;
use sidegate_core::dialect::Dialect;
use sidegate_core::rate::{Rate, RateKey, Rates};

use super::layered::parsers::{bytes, list, parsed};
use super::layered::{Faults, Node, Reader};
use super::orcheo::{self, DefaultRate};
use super::settings::Resolve;

pub(super) fn read_limits(table: &Reader<'_>, dialect: Option<Dialect>, resolve: &Resolve<'_>) -> AppLimits {
    let limits = table.section("limits");
    let read = match dialect {
        Some(Dialect::Orcheo) => read_orcheo(&limits, resolve),
        Some(Dialect::Chat9) => read_chat9(&limits),
        Some(Dialect::Mitigate) => read_mitigate(&limits),
        Some(Dialect::ChatBotKit) => read_chatbotkit(&limits),
        Some(Dialect::Sigmic) | None => {
            let (exchange, chat) = (limits.optional("exchange", rates), limits.optional("chat", rates));
            let (exchange, chat) = (exchange.unwrap_or_default(), chat.unwrap_or_default());
            if dialect.is_some() {
                refuse(&limits, &ORCHEOS, "orcheo");
                refuse(&limits, &CHAT9S, "chat9");
                refuse(&limits, &MITIGATES, "mitigate");
                refuse_workflows(&limits, [("exchange", &exchange), ("chat", &chat)]);
            }
            AppLimits { exchange, chat, ..AppLimits::default() }
        }
    };
    refuse_keys(&limits, &read);
    limits.finish();
    read
}

/// What has no session is not counted by it, and a limit of one route not by route.
fn refuse_keys(limits: &Reader<'_>, read: &AppLimits) {
    let AppLimits { exchange, chat: _, publish, authorize, history, escalate, config, guest, upload: _ } = read;
    let others =
        [("exchange", exchange), ("publish", publish), ("authorize", authorize), ("config", config), ("guest", guest)];
    for (key, rates) in others {
        if rates.count_by(RateKey::Session) {
            limits.problem(key, "cannot be `per session`: these requests have none");
        }
    }
    for (key, rates) in others.into_iter().chain([("history", history), ("escalate", escalate)]) {
        if rates.count_by(RateKey::Route) {
            limits.problem(key, "cannot be `per route`: only `chat` is for several");
        }
    }
}

fn read_orcheo(limits: &Reader<'_>, resolve: &Resolve<'_>) -> AppLimits {
    let or = |key: &'static str, defaults: &[DefaultRate]| {
        if limits.node(key).is_some() {
            return limits.optional(key, rates).unwrap_or_default();
        }
        orcheo::default_rates(resolve, defaults).unwrap_or_else(|rule| {
            limits.problem(key, &rule);
            Rates::default()
        })
    };
    let (exchange, chat) = (or("exchange", &orcheo::SESSION_RATES), or("chat", &orcheo::CHAT_RATES));
    let publish = or("publish", &orcheo::PUBLISH_RATES);
    let authorize = limits.or("authorize", rates, asked_by_address());
    if [RateKey::EndUser, RateKey::Workflow].into_iter().any(|key| authorize.count_by(key)) {
        limits.problem("authorize", "may be per address or per app: who the visitor is, is not known yet");
    }
    refuse(limits, &CHAT9S, "chat9");
    refuse(limits, &MITIGATES, "mitigate");
    AppLimits { exchange, chat, publish, authorize, upload: read_upload(limits, resolve), ..AppLimits::default() }
}

/// The limits that the vendor documents (contracts 3.2).
fn read_chat9(limits: &Reader<'_>) -> AppLimits {
    let or = |key, defaults| rates_or(limits, key, defaults);
    let read = AppLimits {
        exchange: or("exchange", &["20/m per address"]),
        chat: or("chat", &["30/m per address", "120/m"]),
        history: or("history", &["30/m per address"]),
        escalate: or("escalate", &["20/m per address"]),
        config: or("config", &["30/m per address"]),
        ..AppLimits::default()
    };
    refuse(limits, &ORCHEOS, "orcheo");
    refuse(limits, &MITIGATES, "mitigate");
    refuse_workflows(limits, [("exchange", &read.exchange), ("chat", &read.chat)]);
    refuse_workflows(limits, [("history", &read.history), ("escalate", &read.escalate), ("config", &read.config)]);
    read
}

/// So often one address may make the gate ask who somebody is.
fn asked_by_address() -> Rates {
    "120/m per address".parse().ok().and_then(|rate| Rates::new(vec![rate]).ok()).unwrap_or_default()
}

fn read_upload(limits: &Reader<'_>, resolve: &Resolve<'_>) -> usize {
    if limits.node("upload").is_some() {
        return limits.optional("upload", bytes).unwrap_or_default();
    }
    orcheo::max_upload(resolve).unwrap_or_else(|rule| {
        limits.problem("upload", &rule);
        0
    })
}

/// To come in costs an attacker something: the vendor documents no limits.
fn read_mitigate(limits: &Reader<'_>) -> AppLimits {
    let or = |key, defaults| rates_or(limits, key, defaults);
    let (exchange, guest) = (or("exchange", &["60/m per address"]), or("guest", &["20/m per network"]));
    let chat = or("chat", &["60/m per end_user"]);
    refuse(limits, &ORCHEOS, "orcheo");
    refuse(limits, &CHAT9S, "chat9");
    refuse_workflows(limits, [("exchange", &exchange), ("chat", &chat), ("guest", &guest)]);
    if [&exchange, &guest].iter().any(|rates| rates.count_by(RateKey::EndUser)) {
        limits.problem("exchange", "may be per address, network or app: who the visitor is, is not known yet");
    }
    AppLimits { exchange, chat, guest, ..AppLimits::default() }
}

/// A widget's id is known to everybody, so what it costs is bounded: the vendor documents no figures.
fn read_chatbotkit(limits: &Reader<'_>) -> AppLimits {
    let or = |key, defaults| rates_or(limits, key, defaults);
    let (exchange, chat) = (or("exchange", &["60/m per address"]), or("chat", &["60/m per end_user"]));
    let config = or("config", &["120/m per address"]);
    refuse(limits, &ORCHEOS, "orcheo");
    refuse(limits, &["history", "escalate"], "chat9");
    refuse(limits, &MITIGATES, "mitigate");
    refuse_workflows(limits, [("exchange", &exchange), ("chat", &chat), ("config", &config)]);
    for (key, rates) in [("exchange", &exchange), ("config", &config)] {
        if rates.count_by(RateKey::EndUser) {
            limits.problem(key, "may be per address, network or app: who the visitor is, is not known yet");
        }
    }
    AppLimits { exchange, chat, config, ..AppLimits::default() }
}

/// What only apps of one dialect have.
const ORCHEOS: [&str; 3] = ["publish", "authorize", "upload"];
const CHAT9S: [&str; 3] = ["history", "escalate", "config"];
const MITIGATES: [&str; 1] = ["guest"];

fn refuse(limits: &Reader<'_>, keys: &[&'static str], dialect: &str) {
    for key in keys.iter().filter(|key| limits.node(key).is_some()) {
        limits.problem(key, &format!("is for dialect \"{dialect}\""));
    }
}

fn refuse_workflows<const N: usize>(limits: &Reader<'_>, read: [(&str, &Rates); N]) {
    for (key, rates) in read {
        if rates.count_by(RateKey::Workflow) {
            limits.problem(key, "`per workflow` is for dialect \"orcheo\"");
        }
    }
}

fn rates_or(limits: &Reader<'_>, key: &'static str, defaults: &[&str]) -> Rates {
    let default = || Rates::new(defaults.iter().filter_map(|rate| rate.parse().ok()).collect()).unwrap_or_default();
    limits.optional(key, rates).unwrap_or_else(default)
}

/// One rate, or a list of them.
fn rates(node: &Node) -> Result<Rates, Faults> {
    let read = match node.as_array() {
        Some(_) => list(parsed::<Rate>())(node)?,
        None => vec![parsed::<Rate>()(node)?],
    };
    Rates::new(read).map_err(|rule| rule.to_string().into())
}
