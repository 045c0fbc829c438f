//! Tokens that are refused before their time: which ones, and the list that every request is held
//! against.

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{AppId, EndUserId, TokenId};
use crate::secret::SecretDigest;
use crate::token::Claims;

/// What is revoked. `issued_before` takes in all tokens whose `iat` lies before it; `iat` counts in
/// whole seconds, so one that is issued later in the same second is refused as well.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Revocation {
    /// One token, by the SHA-256 of what of it is signed.
    Token {
        /// The digest.
        digest: SecretDigest,
    },
    /// One token by its `jti`, or all of a session's, which have it in common.
    Id {
        /// The token's app.
        app: AppId,
        /// Its `jti`.
        jti: TokenId,
    },
    /// An end user's tokens.
    EndUser {
        /// The app.
        app: AppId,
        /// The end user.
        end_user: EndUserId,
        /// Those issued before.
        issued_before: Timestamp,
    },
    /// An app's tokens.
    App {
        /// The app.
        app: AppId,
        /// Those issued before.
        issued_before: Timestamp,
    },
    /// All tokens.
    All {
        /// Those issued before.
        issued_before: Timestamp,
    },
}

/// All revocations that still matter, in the form that answers at once.
#[derive(Clone, Debug, Default)]
pub struct RevocationList {
    /// With the time from which on each token is refused anyway.
    digests: HashMap<SecretDigest, Timestamp>,
    ids: HashMap<(AppId, TokenId), Timestamp>,
    end_users: HashMap<(AppId, EndUserId), Before>,
    apps: HashMap<AppId, Before>,
    all: Option<Before>,
    /// When the first of them no longer matters.
    first_over: Option<Timestamp>,
}

/// Tokens issued before `issued`, which are all over by `until`.
#[derive(Clone, Copy, Debug)]
struct Before {
    issued: Timestamp,
    until: Timestamp,
}

impl RevocationList {
    /// Adds one that matters until `until`. It never takes one back: the later time of two counts.
    pub fn add(&mut self, revocation: Revocation, until: Timestamp) {
        self.first_over = Some(self.first_over.map_or(until, |first| first.min(until)));
        match revocation {
            Revocation::Token { digest } => later(self.digests.entry(digest).or_insert(until), until),
            Revocation::Id { app, jti } => later(self.ids.entry((app, jti)).or_insert(until), until),
            Revocation::EndUser { app, end_user, issued_before } => {
                before(&mut self.end_users, (app, end_user), issued_before, until);
            }
            Revocation::App { app, issued_before } => before(&mut self.apps, app, issued_before, until),
            Revocation::All { issued_before } => {
                let all = self.all.get_or_insert(Before { issued: issued_before, until });
                all.extend(issued_before, until);
            }
        }
    }

    /// Whether one of them may no longer matter.
    #[must_use]
    pub fn has_some_over(&self, now: Timestamp) -> bool {
        self.first_over.is_some_and(|first| first <= now)
    }

    /// Drops those that no longer matter.
    pub fn forget(&mut self, now: Timestamp) {
        self.digests.retain(|_, until| *until > now);
        self.ids.retain(|_, until| *until > now);
        self.end_users.retain(|_, before| before.until > now);
        self.apps.retain(|_, before| before.until > now);
        self.all.take_if(|before| before.until <= now);
        let times = self.end_users.values().chain(self.apps.values()).chain(&self.all).map(|before| before.until);
        self.first_over = times.chain(self.digests.values().copied()).chain(self.ids.values().copied()).min();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.digests.len() + self.ids.len() + self.end_users.len() + self.apps.len() + usize::from(self.all.is_some())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the token `text` with these verified claims is revoked.
    #[must_use]
    pub fn revokes(&self, claims: &Claims, text: &str) -> bool {
        self.takes_in(claims) || (!self.digests.is_empty() && self.digests.contains_key(&SecretDigest::of_token(text)))
    }

    /// The same of a token whose text is known by its digest alone; `None` where no token stands behind the claims.
    #[must_use]
    pub fn revokes_token(&self, claims: &Claims, token: Option<&SecretDigest>) -> bool {
        self.takes_in(claims) || token.is_some_and(|token| self.digests.contains_key(token))
    }

    fn takes_in(&self, claims: &Claims) -> bool {
        let issued_before = |before: Option<&Before>| before.is_some_and(|before| claims.issued_at < before.issued);
        issued_before(self.all.as_ref())
            || (!self.apps.is_empty() && issued_before(self.apps.get(&claims.app)))
            || (!self.end_users.is_empty()
                && issued_before(self.end_users.get(&(claims.app.clone(), claims.subject.clone()))))
            || self.names(claims)
    }

    fn names(&self, claims: &Claims) -> bool {
        let id = claims.id.as_ref().filter(|_| !self.ids.is_empty());
        id.is_some_and(|id| self.ids.contains_key(&(claims.app.clone(), id.clone())))
    }
}

fn later(known: &mut Timestamp, until: Timestamp) {
    *known = until.max(*known);
}

fn before<K: Eq + Hash>(known: &mut HashMap<K, Before>, key: K, issued: Timestamp, until: Timestamp) {
    known.entry(key).or_insert(Before { issued, until }).extend(issued, until);
}

impl Before {
    fn extend(&mut self, issued: Timestamp, until: Timestamp) {
        later(&mut self.issued, issued);
        later(&mut self.until, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn claims(app: &str, subject: &str, id: Option<&str>, issued_at: u64) -> Claims {
        Claims {
            app: app.parse().expect("id"),
            subject: subject.parse().expect("id"),
            origins: Vec::new(),
            id: id.map(|id| id.parse().expect("id")),
            workflow: None,
            workspaces: crate::dialect::orcheo::Workspaces::default(),
            leash: crate::leash::Leash::default(),
            details: serde_json::Map::new(),
            issued_at: at(issued_at),
            not_before: None,
            expires_at: at(issued_at + 60),
        }
    }

    fn list(revocation: Revocation) -> RevocationList {
        let mut list = RevocationList::default();
        assert!(list.is_empty());
        list.add(revocation, at(1_000));
        assert_eq!(list.len(), 1);
        list
    }

    #[test]
    fn an_id_is_of_one_app() {
        let list = list(Revocation::Id { app: "a".parse().expect("id"), jti: "t".parse().expect("id") });
        assert!(list.revokes(&claims("a", "u", Some("t"), 5), "x"));
        assert!(!list.revokes(&claims("b", "u", Some("t"), 5), "x"));
        assert!(!list.revokes(&claims("a", "u", Some("s"), 5), "x"));
        assert!(!list.revokes(&claims("a", "u", None, 5), "x"));
    }

    #[test]
    fn a_token_is_known_by_its_digest() {
        let list = list(Revocation::Token { digest: SecretDigest::of_token("head.claims.signature") });
        assert!(list.revokes(&claims("a", "u", None, 5), "head.claims.signature"));
        assert!(list.revokes(&claims("a", "u", None, 5), "head.claims.another"), "of ECDSA there are two");
        assert!(!list.revokes(&claims("a", "u", None, 5), "head.other.signature"));
        let digest = SecretDigest::of_token("head.claims.another");
        assert!(list.revokes_token(&claims("a", "u", None, 5), Some(&digest)));
        assert!(!list.revokes_token(&claims("a", "u", None, 5), None));
    }

    #[test]
    fn times_take_in_what_was_issued_before() {
        let (app, end_user): (AppId, EndUserId) = ("a".parse().expect("id"), "u".parse().expect("id"));
        let issued_before = at(10);
        let user = list(Revocation::EndUser { app: app.clone(), end_user, issued_before });
        let app = list(Revocation::App { app, issued_before });
        let all = list(Revocation::All { issued_before });
        for (list, of_user, of_app, of_other) in
            [(&user, true, false, false), (&app, true, true, false), (&all, true, true, true)]
        {
            assert_eq!(list.revokes(&claims("a", "u", None, 9), "x"), of_user);
            assert_eq!(list.revokes(&claims("a", "v", None, 9), "x"), of_app);
            assert_eq!(list.revokes(&claims("b", "u", None, 9), "x"), of_other);
            assert!(!list.revokes(&claims("a", "u", None, 10), "x"));
        }
    }

    #[test]
    fn none_is_taken_back_and_all_are_forgotten_in_time() {
        let mut list = list(Revocation::All { issued_before: at(10) });
        list.add(Revocation::All { issued_before: at(5) }, at(500));
        assert!(list.revokes(&claims("a", "u", None, 9), "x"));
        assert!(list.has_some_over(at(500)), "one of the two");
        list.forget(at(999));
        assert_eq!((list.len(), list.has_some_over(at(999))), (1, false));
        list.forget(at(1_000));
        assert!(list.is_empty() && !list.revokes(&claims("a", "u", None, 9), "x"));
    }

    #[test]
    fn it_reads_what_it_writes() {
        let app: AppId = "a".parse().expect("id");
        for (revocation, text) in [
            (
                Revocation::Id { app: app.clone(), jti: "t".parse().expect("id") },
                r#"{"kind":"id","app":"a","jti":"t"}"#,
            ),
            (
                Revocation::EndUser { app, end_user: "u".parse().expect("id"), issued_before: at(1) },
                r#"{"kind":"end_user","app":"a","end_user":"u","issued_before":1000}"#,
            ),
            (Revocation::All { issued_before: at(1) }, r#"{"kind":"all","issued_before":1000}"#),
        ] {
            assert_eq!(serde_json::to_string(&revocation).expect("JSON"), text);
            assert_eq!(serde_json::from_str::<Revocation>(text).expect("read"), revocation);
            let more = text.replace('}', r#","more":1}"#);
            assert!(serde_json::from_str::<Revocation>(&more).is_err(), "{more}");
        }
    }
}
