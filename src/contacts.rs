//! Contacts (ChatBotKit): who visitors say to be. Nobody has checked it. A contact is found again by its email
//! address or telephone number, and so has one id in all its conversations; what it says is sealed.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sidegate_core::clock::Timestamp;
use sidegate_core::context::seal::SealedFor;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chatbotkit::Contact;
use sidegate_core::entropy::{self, hex};
use sidegate_core::id::{AppId, EndUserId};
use zeroize::Zeroizing;

use crate::gate::Gate;
use crate::store::{Object, ObjectKind};

/// How often a change is tried anew that another one has overtaken.
const TRIES: usize = 8;

/// Apps whose peppers are at hand.
const PEPPERS: usize = 10_000;

/// A contact as it is kept, sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(flatten)]
    contact: Contact,
}

/// The contacts of all apps.
#[derive(Debug)]
pub struct Contacts {
    /// With what each app's ids are made.
    peppers: Cache<AppId, Arc<Pepper>>,
}

/// What is mixed into an app's ids of contacts, so that nobody finds out by trying who is kept.
struct Pepper(hmac::Key);

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper(…)")
    }
}

impl Default for Contacts {
    fn default() -> Self {
        Self { peppers: Cache::new(PEPPERS) }
    }
}

impl Contacts {
    /// Makes or changes the contact that a visitor says to be; its id.
    ///
    /// # Errors
    /// As [`Self::id_of`]; [`Code::Conflict`] if it is changed all the time.
    pub async fn upsert(&self, gate: &Gate, app: &AppId, contact: &Contact) -> Result<EndUserId, Denial> {
        let end_user = self.id_of(gate, app, contact).await?;
        let id = end_user.as_str();
        let registry = gate.widgets.registry();
        for _ in 0..TRIES {
            let kept = registry.object(ObjectKind::Contact, id).await?;
            let before = kept.as_ref().and_then(|kept| read(gate, kept));
            let revision = kept.as_ref().map_or(1, |kept| kept.revision);
            let merged = merged(before.as_ref(), contact, gate.now());
            if before.is_some_and(|before| before.contact == merged.contact) {
                return Ok(end_user);
            }
            let plaintext = Zeroizing::new(serde_json::to_vec(&merged).map_err(|_| Code::Internal)?);
            let object = sealed(gate, app, id, revision, &plaintext)?;
            let written = match kept {
                Some(_) => registry.replace(&object).await?,
                None => registry.insert(&object).await?,
            };
            if written {
                return Ok(end_user);
            }
        }
        Err(Code::Conflict.into())
    }

    /// The id of a contact: a keyed digest of what it is found by, the email address in any case or else the number.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] for one that has neither; [`Code::StoreUnavailable`]; [`Code::ContextNotConfigured`]
    /// without a seal key.
    pub async fn id_of(&self, gate: &Gate, app: &AppId, contact: &Contact) -> Result<EndUserId, Denial> {
        let found_by = found_by(contact).ok_or(Code::InvalidRequest)?;
        let pepper = self.pepper(gate, app).await?;
        let digest = hmac::sign(&pepper.0, found_by.as_bytes());
        let digits = hex(digest.as_ref().get(..20).unwrap_or_default());
        EndUserId::parse(&format!("ct_{digits}")).map_err(|_| Code::Internal.into())
    }

    /// The pepper of an app, which is made when it is first needed. All replicas have the one that was kept first.
    async fn pepper(&self, gate: &Gate, app: &AppId) -> Result<Arc<Pepper>, Denial> {
        if let Some(known) = self.peppers.get(app) {
            return Ok(known);
        }
        let id = format!("pepper_{}", app.as_str());
        let registry = gate.widgets.registry();
        let kept = match registry.object(ObjectKind::Contact, &id).await? {
            Some(kept) => kept,
            None => {
                let random = Zeroizing::new(entropy::bytes::<32>(&*gate.entropy).map_err(|_| Code::Internal)?);
                // Who comes second takes what is there.
                registry.insert(&sealed(gate, app, &id, 1, &random[..])?).await?;
                registry.object(ObjectKind::Contact, &id).await?.ok_or(Code::StoreUnavailable)?
            }
        };
        let Some(opened) = open(gate, &kept) else {
            tracing::error!(app = app.as_str(), "no seal key opens what the app's contacts are found by");
            return Err(Code::StoreUnavailable.into());
        };
        let pepper = Arc::new(Pepper(hmac::Key::new(hmac::HMAC_SHA256, &opened)));
        self.peppers.insert(app.clone(), Arc::clone(&pepper));
        Ok(pepper)
    }
}

/// What a contact is found by.
fn found_by(contact: &Contact) -> Option<String> {
    match (&contact.email, &contact.phone) {
        (Some(email), _) => Some(format!("email {}", email.to_lowercase())),
        (None, Some(phone)) => Some(format!("phone {phone}")),
        (None, None) => None,
    }
}

/// What is said now, over what was said before.
fn merged(before: Option<&Kept>, said: &Contact, now: Timestamp) -> Kept {
    let (created_at, before) = before.map_or((now, None), |before| (before.created_at, Some(&before.contact)));
    let or = |said: &Option<String>, of: fn(&Contact) -> &Option<String>| said.clone().or_else(|| of(before?).clone());
    let contact = Contact {
        name: or(&said.name, |contact| &contact.name),
        email: or(&said.email, |contact| &contact.email),
        phone: or(&said.phone, |contact| &contact.phone),
    };
    Kept { created_at, updated_at: now, contact }
}

/// One that no key opens is as good as new.
fn read(gate: &Gate, kept: &Object) -> Option<Kept> {
    serde_json::from_slice(&open(gate, kept)?).ok()
}

fn open(gate: &Gate, kept: &Object) -> Option<Zeroizing<Vec<u8>>> {
    let sealed = URL_SAFE_NO_PAD.decode(&kept.document).ok()?;
    gate.sealer.as_ref()?.open(SealedFor::Contact { app: &kept.app, id: &kept.id }, &sealed)
}

fn sealed(gate: &Gate, app: &AppId, id: &str, revision: u64, plaintext: &[u8]) -> Result<Object, Denial> {
    let sealer = gate.sealer.as_ref().ok_or(Code::ContextNotConfigured)?;
    let sealed = sealer.seal(SealedFor::Contact { app, id }, plaintext, &*gate.entropy).map_err(|_| Code::Internal)?;
    Ok(Object {
        kind: ObjectKind::Contact,
        id: id.to_owned(),
        app: app.clone(),
        revision,
        parent: None,
        labels: Vec::new(),
        document: URL_SAFE_NO_PAD.encode(sealed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(name: Option<&str>, email: Option<&str>, phone: Option<&str>) -> Contact {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Contact { name: text(name), email: text(email), phone: text(phone) }
    }

    #[test]
    fn a_contact_is_found_by_its_address_or_else_its_number() {
        let by = |email, phone| found_by(&contact(Some("Ada"), email, phone));
        let ada = by(Some("Ada@Example.com"), None);
        assert_eq!(ada, by(Some("ada@example.com"), Some("+4915112345678")));
        assert!(by(None, Some("+4915112345678")).is_some_and(|phone| Some(phone) != ada));
        assert_eq!(by(None, None), None);
    }

    #[test]
    fn what_is_said_later_wins_and_the_rest_stays() {
        let now = Timestamp::from_seconds;
        let first = merged(None, &contact(Some("Ada"), Some("ada@example.com"), None), now(1));
        let second = merged(Some(&first), &contact(None, Some("ADA@example.com"), Some("+491")), now(2));
        assert_eq!((second.created_at, second.updated_at), (now(1), now(2)));
        assert!(second.contact == contact(Some("Ada"), Some("ADA@example.com"), Some("+491")));
    }
}
