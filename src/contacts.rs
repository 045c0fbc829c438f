//! Contacts (ChatBotKit): who visitors say to be. Nobody has checked it. A contact is found again by its email
//! address or telephone number, and so has one id in all its conversations; what it says is sealed.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sidegate_core::clock::Timestamp;
use sidegate_core::context::seal::SealedFor;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chatbotkit::Contact;
use sidegate_core::entropy::hex;
use sidegate_core::id::{AppId, EndUserId};

use crate::gate::Gate;
use crate::store::{Object, ObjectKind};

/// How often a change is tried anew that another one has overtaken.
const TRIES: usize = 8;

/// A contact as it is kept, sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(flatten)]
    contact: Contact,
}

/// Makes or changes the contact that a visitor says to be; its id.
///
/// # Errors
/// [`Code::StoreUnavailable`]; [`Code::ContextNotConfigured`] without a seal key; [`Code::Conflict`] if it is changed
/// all the time.
pub async fn upsert(gate: &Gate, app: &AppId, contact: &Contact) -> Result<EndUserId, Denial> {
    let end_user = id_of(app, contact).ok_or(Code::InvalidRequest)?;
    let id = end_user.as_str();
    let registry = gate.widgets.registry();
    for _ in 0..TRIES {
        let kept = registry.object(ObjectKind::Contact, id).await?;
        let before = kept.as_ref().and_then(|kept| open(gate, kept));
        let revision = kept.as_ref().map_or(1, |kept| kept.revision);
        let merged = merged(before.as_ref(), contact, gate.now());
        if before.is_some_and(|before| before.contact == merged.contact) {
            return Ok(end_user);
        }
        let object = sealed(gate, app, id, revision, &merged)?;
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

/// The id of a contact: a digest of the app and what the contact is found by, the email address in any case or else the
/// number; `None` for one that has neither.
#[must_use]
pub fn id_of(app: &AppId, contact: &Contact) -> Option<EndUserId> {
    let (kind, found_by) = match (&contact.email, &contact.phone) {
        (Some(email), _) => ("email", email.to_lowercase()),
        (None, Some(phone)) => ("phone", phone.clone()),
        (None, None) => return None,
    };
    let text = ["sidegate contact", app.as_str(), kind, &found_by].join("\0");
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    EndUserId::parse(&format!("ct_{}", hex(digest.as_ref().get(..20)?))).ok()
}

/// What is said now, over what was said before.
fn merged(before: Option<&Kept>, said: &Contact, now: Timestamp) -> Kept {
    let (created_at, before) = before.map_or((now, None), |before| (before.created_at, Some(&before.contact)));
    let or = |said: &Option<String>, of: fn(&Contact) -> &Option<String>| said.clone().or(of(before?).clone());
    let contact = Contact {
        name: or(&said.name, |contact| &contact.name),
        email: or(&said.email, |contact| &contact.email),
        phone: or(&said.phone, |contact| &contact.phone),
    };
    Kept { created_at, updated_at: now, contact }
}

/// One that no key opens is as good as new.
fn open(gate: &Gate, kept: &Object) -> Option<Kept> {
    let sealed = URL_SAFE_NO_PAD.decode(&kept.document).ok()?;
    let plaintext = gate.sealer.as_ref()?.open(SealedFor::Contact { app: &kept.app, id: &kept.id }, &sealed)?;
    serde_json::from_slice(&plaintext).ok()
}

fn sealed(gate: &Gate, app: &AppId, id: &str, revision: u64, kept: &Kept) -> Result<Object, Denial> {
    let sealer = gate.sealer.as_ref().ok_or(Code::ContextNotConfigured)?;
    let plaintext = zeroize::Zeroizing::new(serde_json::to_vec(kept).map_err(|_| Code::Internal)?);
    let sealed = sealer.seal(SealedFor::Contact { app, id }, &plaintext, &*gate.entropy).map_err(|_| Code::Internal)?;
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
    fn a_contact_is_found_by_its_address_or_else_its_number_within_its_app() {
        let (one, other) = ("acc_1".parse().expect("an id"), "acc_2".parse().expect("an id"));
        let ada = id_of(&one, &contact(None, Some("Ada@Example.com"), None));
        assert_eq!(ada, id_of(&one, &contact(Some("Ada"), Some("ada@example.com"), Some("+4915112345678"))));
        assert_ne!(ada, id_of(&other, &contact(None, Some("ada@example.com"), None)));
        let phone = id_of(&one, &contact(None, None, Some("+4915112345678")));
        assert!(phone.is_some() && phone != ada);
        assert_eq!(id_of(&one, &contact(Some("Ada"), None, None)), None);
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
