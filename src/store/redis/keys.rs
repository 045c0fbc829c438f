//! The names of keys. Parts are divided by a colon, which no id has but that of an end user: it
//! stands last.

use std::net::IpAddr;
use std::str::FromStr;

use sidegate_core::context::ContextKey;
use sidegate_core::id::{AppId, ConversationId, SessionDigest, TokenId};
use sidegate_core::secret::SecretDigest;
use sidegate_core::session::{ResumeKey, SessionKey};

use crate::store::lists::List;
use crate::store::{Counter, EntryKind, ObjectKind, Owner, Whose};

/// Builds names below a prefix.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    fn name(&self, kind: &str, parts: &[&str]) -> String {
        let size: usize = parts.iter().map(|part| 1 + part.len()).sum();
        let mut name = String::with_capacity(self.prefix.len() + kind.len() + size);
        name.push_str(&self.prefix);
        name.push_str(kind);
        for part in parts {
            name.push(':');
            name.push_str(part);
        }
        name
    }

    pub(super) fn context(&self, key: ContextKey<'_>) -> String {
        self.name("context", &[key.app.as_str(), key.token.as_str()])
    }

    /// Which names are those of contexts, as a pattern of `SCAN`. The prefix has no character that
    /// means something there.
    pub(super) fn any_context(&self) -> String {
        self.name("context", &["*"])
    }

    /// Whose context stands at `name`.
    pub(super) fn of_context(&self, name: &str) -> Option<(AppId, TokenId)> {
        self.pair_of("context:", name)
    }

    pub(super) fn first_use(&self, key: ContextKey<'_>) -> String {
        self.name("used", &[key.app.as_str(), key.token.as_str()])
    }

    pub(super) fn any_first_use(&self) -> String {
        self.name("used", &["*"])
    }

    /// Whose use stands at `name`.
    pub(super) fn of_first_use(&self, name: &str) -> Option<(AppId, TokenId)> {
        self.pair_of("used:", name)
    }

    pub(super) fn session(&self, key: SessionKey<'_>) -> String {
        self.name("session", &[key.app.as_str(), key.session.as_str()])
    }

    pub(super) fn any_session(&self) -> String {
        self.name("session", &["*"])
    }

    /// Which session stands at `name`.
    pub(super) fn of_session(&self, name: &str) -> Option<(AppId, SessionDigest)> {
        self.pair_of("session:", name)
    }

    /// The session that a visitor opened last.
    pub(super) fn last_session(&self, app: &AppId, resume: ResumeKey) -> String {
        self.name("last_session", &[app.as_str(), &resume.to_hex()])
    }

    /// The mark of the session that was closed last.
    pub(super) fn last_closing(&self) -> String {
        self.name("closings:mark", &[])
    }

    /// Those that were closed lately, by mark.
    pub(super) fn closings(&self) -> String {
        self.name("closings", &[])
    }

    /// How many were opened on a day.
    pub(super) fn sessions_of_day(&self, app: &AppId, day: u64) -> String {
        self.name("sessions_of_day", &[app.as_str(), &day.to_string()])
    }

    pub(super) fn any_owner(&self) -> String {
        self.name("owner", &["*"])
    }

    /// Which conversation's owner stands at `name`.
    pub(super) fn of_owner(&self, name: &str) -> Option<(AppId, ConversationId)> {
        self.pair_of("owner:", name)
    }

    fn pair_of<One: FromStr, Two: FromStr>(&self, kind: &str, name: &str) -> Option<(One, Two)> {
        let (one, two) = name.strip_prefix(&self.prefix)?.strip_prefix(kind)?.split_once(':')?;
        Some((one.parse().ok()?, two.parse().ok()?))
    }

    pub(super) fn owner(&self, app: &AppId, conversation: &ConversationId) -> String {
        self.name("owner", &[app.as_str(), conversation.as_str()])
    }

    pub(super) fn conversations(&self, owner: Owner<'_>) -> String {
        self.name("owned", &[owner.app.as_str(), owner.end_user.as_str()])
    }

    /// By the key of its rate as well: an IPv6 address and its network, say, are one to whoever is counted.
    pub(super) fn counter(&self, counter: &Counter<'_>) -> String {
        let of = [counter.app.as_str(), counter.limit, counter.rate.key.name()];
        let name = |whose: &[&str]| self.name("limit", &[&of, whose].concat());
        match counter.whose {
            Whose::App => name(&["app"]),
            Whose::Session(session) => name(&["session", &digest(session)]),
            Whose::EndUser(end_user) => name(&["end_user", end_user.as_str()]),
            Whose::Route((method, template)) => name(&["route", method, template]),
            Whose::Workflow(workflow) => name(&["workflow", workflow.as_str()]),
            Whose::Network(address) => name(&["address", &hexadecimal(address)]),
        }
    }

    pub(super) fn last_mark(&self) -> String {
        self.name("revocations:mark", &[])
    }

    pub(super) fn revocations(&self) -> String {
        self.name("revocations", &[])
    }

    pub(super) fn revocations_by_time(&self) -> String {
        self.name("revocations:until", &[])
    }

    pub(super) fn entries(&self, kind: EntryKind) -> String {
        self.name("registry", &[kind.name()])
    }

    pub(super) fn generation(&self) -> String {
        self.name("registry:generation", &[])
    }

    pub(super) fn use_counts(&self) -> String {
        self.name("registry:use_counts", &[])
    }

    pub(super) fn object(&self, kind: ObjectKind, id: &str) -> String {
        self.name("object", &[kind.name(), id])
    }

    pub(super) fn any_object(&self) -> String {
        self.name("object", &["*"])
    }

    /// Which object stands at `name`.
    pub(super) fn of_object(&self, name: &str) -> Option<(ObjectKind, String)> {
        let (kind, id) = name.strip_prefix(&self.prefix)?.strip_prefix("object:")?.split_once(':')?;
        Some((ObjectKind::from_name(kind)?, id.to_owned()))
    }

    pub(super) fn object_list(&self, list: List) -> String {
        self.name("objects:list", &[&format!("{:032x}", u128::from_be_bytes(list.0))])
    }

    pub(super) fn object_usage(&self, kind: ObjectKind, id: &str) -> String {
        self.name("objects:usage", &[kind.name(), id])
    }

    pub(super) fn last_change(&self) -> String {
        self.name("objects:mark", &[])
    }

    pub(super) fn object_changes(&self) -> String {
        self.name("objects:changes", &[])
    }

    pub(super) fn object_removals(&self) -> String {
        self.name("objects:removals", &[])
    }

    /// Where it is tried whether the server takes what is written.
    pub(super) fn probe(&self) -> String {
        self.name("probe", &[])
    }
}

/// A session's id is its holder's secret in some dialects: whoever reads the server's keys learns nothing.
fn digest(session: &str) -> String {
    SecretDigest::of_text(session).digits()
}

/// An address without colons.
fn hexadecimal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:08x}", address.to_bits()),
        IpAddr::V6(address) => format!("{:032x}", address.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_things_have_one_name() {
        let keys = Keys::new("p:");
        let (app, other): (AppId, AppId) = ("a".parse().expect("id"), "a-b".parse().expect("id"));
        let user = "x:end_user:y".parse().expect("id");
        let token = "t".parse().expect("id");
        let of = |app| ContextKey { app, token: &token };
        let rate = "1/s".parse().expect("a rate");
        let counter = |app, limit, whose| keys.counter(&Counter { app, limit, whose, rate });
        let workflow = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1".parse().expect("a UUID");
        let session: SessionDigest = "0b".repeat(32).parse().expect("a digest");
        let names = [
            keys.context(of(&app)),
            keys.context(of(&other)),
            keys.first_use(of(&app)),
            keys.owner(&app, &"t".parse().expect("id")),
            keys.conversations(Owner { app: &app, end_user: &user }),
            counter(&app, "chat", Whose::App),
            counter(&app, "exchange", Whose::App),
            counter(&app, "chat", Whose::EndUser(&user)),
            counter(&app, "chat", Whose::Session("x")),
            counter(&app, "chat", Whose::Route(("GET", "/x"))),
            counter(&app, "chat", Whose::Workflow(&workflow)),
            counter(&app, "chat", Whose::Network("::1".parse().expect("an address"))),
            keys.counter(&Counter {
                app: &app,
                limit: "chat",
                whose: Whose::Network("::1".parse().expect("an address")),
                rate: "1/s per network".parse().expect("a rate"),
            }),
            counter(&app, "chat", Whose::Network("0.0.0.1".parse().expect("an address"))),
            keys.session(SessionKey { app: &app, session: &session }),
            keys.last_session(&app, ResumeKey::from_bytes(&[0; 32]).expect("a key")),
            keys.sessions_of_day(&app, 7),
            keys.last_mark(),
            keys.revocations(),
            keys.revocations_by_time(),
            keys.entries(EntryKind::ServiceToken),
            keys.generation(),
            keys.use_counts(),
            keys.object(ObjectKind::Widget, "t"),
            keys.object(ObjectKind::Contact, "t"),
            keys.object_list(List([0; 16])),
            keys.object_usage(ObjectKind::Widget, "t"),
            keys.last_change(),
            keys.object_changes(),
            keys.object_removals(),
            keys.probe(),
        ];
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
        assert_eq!(keys.of_context(&names[1]), Some((other.clone(), token.clone())));
        assert_eq!(keys.of_context(&names[2]), None);
        assert_eq!(keys.of_first_use(&names[2]), Some((app.clone(), token)));
        assert_eq!(keys.of_owner(&names[3]), Some((app, "t".parse().expect("id"))));
    }
}
