//! Whose conversation a page asks for (ChatBotKit): a new one, or one of before that is the same visitor's.

use std::time::Duration;

use http::HeaderMap;
use sidegate_core::app::App;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chatbotkit::{self, Asked, Contact};
use sidegate_core::id::{ConversationId, EndUserId, ObjectId};

use crate::admit::check_owner;
use crate::gate::Gate;
use crate::sessions::{digested, new_conversation};
use crate::store::Owner;

/// For how long after its beginning a session proves that its conversation is its holder's.
const PROOF: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Who asks, and where.
pub(super) struct Asker<'a> {
    pub(super) gate: &'a Gate,
    pub(super) app: &'a App,
    pub(super) widget: &'a ObjectId,
    pub(super) origin: Option<&'a str>,
}

impl Asker<'_> {
    /// Whose conversation it is, and which.
    ///
    /// # Errors
    /// [`Code::NotFound`] for a conversation that the asker does not prove to be its own; [`Code::StoreUnavailable`].
    pub(super) async fn conversation(
        &self,
        asked: &Asked,
        headers: &HeaderMap,
    ) -> Result<(EndUserId, ConversationId), Denial> {
        let gate = self.gate;
        match (&asked.contact, &asked.conversation) {
            (None, None) => {
                let nobody = EndUserId::anonymous(&*gate.entropy).map_err(|_| Code::Internal)?;
                Ok((nobody, new_conversation(gate.now(), &*gate.entropy)?))
            }
            (Some(contact), None) => {
                let conversation = new_conversation(gate.now(), &*gate.entropy)?;
                let end_user = gate.contacts.upsert(gate, &self.app.id, contact).await?;
                let owner = self.owner(&end_user)?;
                gate.store.record(Owner { app: &self.app.id, end_user: &owner }, &conversation).await?;
                Ok((end_user, conversation))
            }
            // What an address says nobody has checked: a token of the conversation is asked for beside it.
            (Some(contact), Some(existing)) => {
                prove(gate, self.app, existing, headers)?;
                self.check_owner(contact, existing).await?;
                Ok((gate.contacts.upsert(gate, &self.app.id, contact).await?, existing.clone()))
            }
            (None, Some(_)) => Err(Code::NotFound.into()),
        }
    }

    /// Conversations are kept apart by contact, widget and origin.
    fn owner(&self, end_user: &EndUserId) -> Result<EndUserId, Denial> {
        // An origin has no bound that an id could hold.
        let place = digested(&[self.widget.as_str().as_bytes(), self.origin.unwrap_or("-").as_bytes()]);
        EndUserId::parse(&format!("{} {place}", end_user.as_str())).map_err(|_| Code::Internal.into())
    }

    async fn check_owner(&self, contact: &Contact, existing: &ConversationId) -> Result<(), Denial> {
        let end_user = self.owner(&self.gate.contacts.id_of(self.gate, &self.app.id, contact).await?)?;
        check_owner(&*self.gate.store, Owner { app: &self.app.id, end_user: &end_user }, existing).await
    }
}

/// Whether a token of the conversation is shown; it may be over.
///
/// # Errors
/// [`Code::NotFound`]; [`Code::StoreUnavailable`].
pub(super) fn prove(gate: &Gate, app: &App, existing: &ConversationId, headers: &HeaderMap) -> Result<(), Denial> {
    let not_found = |_| Denial::from(Code::NotFound);
    let text = chatbotkit::bearer(headers).map_err(not_found)?;
    let (_, claims) = Dialect::verify_any(text, &[app]).map_err(not_found)?;
    let is_recent = gate.now() < claims.issued_at.plus(PROOF);
    let is_revoked = gate.revoked.current()?.revokes(&claims, text);
    let is_of_it = chatbotkit::conversation(&claims).is_ok_and(|proven| proven == *existing);
    if is_recent && is_of_it && !is_revoked { Ok(()) } else { Err(Code::NotFound.into()) }
}
