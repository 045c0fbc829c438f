//! The second use case, first half: a request's head becomes an [`Admission`], or a refusal.
//!
//! The order is fixed: token, times, origin (core's [`policy::admit`]), then limits, then whose
//! conversation it is, then the token's context. Nothing upstream is touched before all have passed.

mod conversation;
mod session;

pub use conversation::{admit_frame, admit_opened, is_frame};
pub use session::{admit_widget, widget_of};

use std::sync::Arc;

use http::header::ORIGIN;
use http::{HeaderMap, HeaderName, HeaderValue};
use sidegate_core::app::{App, Scoping};
use sidegate_core::context::{ContextKey, SessionContext};
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{Call, Dialect, Operation};
use sidegate_core::id::{ConversationId, TokenId};
use sidegate_core::origin::RequestOrigin;
use sidegate_core::policy::{self, Moment, Permit, Provenance};
use sidegate_core::secret::SecretDigest;

use crate::forward::Upstream;
use crate::gate::Gate;
use crate::leash::{Grounds, Tether};
use crate::limits::{Counted, Sender};
use crate::registry::{Registered, Registry};
use crate::sessions::{Live, of_claims};
use crate::store::{Owner, Owners};
use crate::verified::{Proven, VerifiedTokens};
use crate::widgets::Served;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The proof that a request has passed every check; forwarding asks for it.
#[derive(Debug)]
pub struct Admission {
    permit: Permit,
    registered: Arc<Registered>,
    call: Call,
    /// That of its token alone.
    context: Option<Box<SessionContext>>,
    /// The digest of its token, if it came with one.
    token: Option<SecretDigest>,
    /// What it uses of its leash, if that counts anything.
    tether: Option<Arc<Tether>>,
    /// A field that tells the upstream who it is for, where no token does.
    naming: Option<Box<(HeaderName, HeaderValue)>>,
    /// The session that it is of, where the dialect has such.
    session: Option<Box<Live>>,
    /// The widget that it is of, where the dialect has such.
    widget: Option<Arc<Served>>,
}

impl Admission {
    /// Of a request that has no more than that to it.
    const fn new(permit: Permit, registered: Arc<Registered>, call: Call) -> Self {
        let (context, token, tether, naming, session, widget) = (None, None, None, None, None, None);
        Self { permit, registered, call, context, token, tether, naming, session, widget }
    }

    /// Token and origin are right.
    #[must_use]
    pub const fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Where it goes.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.registered.upstream
    }

    /// What it is.
    #[must_use]
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// The same, with a field that names the end user to the upstream.
    pub(crate) fn naming_end_user(mut self, field: HeaderName) -> Result<Self, Denial> {
        let end_user = HeaderValue::from_bytes(self.permit.claims().subject.as_str().as_bytes());
        self.naming = Some(Box::new((field, end_user.map_err(|_| Code::ContextUnresolved)?)));
        Ok(self)
    }

    /// The field that names the end user to the upstream, where no token does.
    #[must_use]
    pub fn naming(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.naming.as_deref()
    }

    /// The session that it is of, where the dialect has such.
    #[must_use]
    pub fn session(&self) -> Option<&Live> {
        self.session.as_deref()
    }

    /// What it uses of its leash, if that counts anything.
    #[must_use]
    pub const fn tether(&self) -> Option<&Arc<Tether>> {
        self.tether.as_ref()
    }

    /// The same, with its token, on its leash.
    pub(crate) fn tethered(mut self, gate: &Gate, token: Option<SecretDigest>) -> Result<Self, Denial> {
        self.tether = gate.spending.enter(&self.permit, token.as_ref())?;
        self.token = token;
        Ok(self)
    }

    /// What a stream that it opens is held by.
    #[must_use]
    pub fn grounds(&self) -> Grounds {
        Grounds {
            permit: self.permit.clone(),
            token: self.token.clone(),
            // What a closed session is still good for, such as its history, does not end by that.
            session: self.session().filter(|session| !session.is_closed()).map(|session| session.id().digest()),
            widget: self.widget.as_ref().map(|served| served.widget.id.clone()),
            tether: self.tether.clone(),
        }
    }

    /// The widget that it is of, where the dialect has such.
    #[must_use]
    pub const fn widget(&self) -> Option<&Arc<Served>> {
        self.widget.as_ref()
    }

    /// The token's env and secrets, if the app's templates ask for any.
    #[must_use]
    pub fn context(&self) -> Option<&SessionContext> {
        self.session().map(Live::context).or(self.context.as_deref())
    }
}

/// A request of a chat route.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// What it is.
    pub call: Call,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Who sends it.
    pub sender: Sender<'a>,
    /// The app that its URL names.
    pub named: Option<&'a Arc<Registered>>,
}

/// What a page may read before its app is proven: what the app lets in that the URL names, else what any app
/// of the route does, and then never with credentials.
#[must_use]
pub fn unproven(
    registry: &Registry,
    named: Option<&Arc<Registered>>,
    dialect: Option<Dialect>,
    origin: RequestOrigin<'_>,
) -> Cors {
    let Some(Registered { app, .. }) = named.map(AsRef::as_ref) else {
        return Cors::decide(origin, |origin| registry.any_allows(dialect, origin));
    };
    cors_of(app, true, origin)
}

/// What a page may read of an app; with credentials only where the URL names the app, so that its preflight could
/// say so.
#[must_use]
pub fn cors_of(app: &App, is_named: bool, origin: RequestOrigin<'_>) -> Cors {
    let cors = Cors::decide(origin, |origin| app.lets_in(origin, None));
    if is_named && app.uses_cookies() { cors.with_credentials() } else { cors }
}

/// Admits a request or refuses it; either way says what the answer may tell a page of its origin.
pub async fn admit(gate: &Gate, verified: &VerifiedTokens, asked: Asked<'_>) -> (Cors, Result<Admission, Denial>) {
    let Asked { call, headers, sender, named } = asked;
    let registry = gate.registry.load();
    let origin = request_origin(headers);
    let dialect = call.operation.dialect();
    // The URL may name an app, and the token be another one's.
    let proven = verify(&registry, verified, dialect, headers)
        .and_then(|proven| if proven.0.0.is_meant_by(named) { Ok(proven) } else { Err(Code::InvalidToken.into()) });
    let ((registered, claims, token), text) = match proven {
        Ok(proven) => proven,
        Err(denial) => return (unproven(&registry, named, Some(dialect), origin), Err(denial)),
    };
    let cors = cors_of(&registered.app, named.is_some(), origin);
    let from = provenance(headers);
    let permit = gate.revoked.current().map_err(Denial::from).and_then(|revoked| {
        let moment = Moment { now: gate.now(), revoked: &revoked, own_origin: gate.own_origin() };
        policy::admit(&registered.app, claims, text, from, moment)
    });
    match permit {
        Ok(permit) => match check(gate, permit, registered, call, (from, sender)).await {
            Err(denial) if denial.code == Code::OriginNotAllowed => (Cors::Silent, Err(denial)),
            checked => (cors, checked.and_then(|admission| admission.tethered(gate, Some(token)))),
        },
        // A refused origin gets no allow field, whichever of the two lists refused it.
        Err(denial) if denial.code == Code::OriginNotAllowed => (Cors::Silent, Err(denial)),
        Err(denial) => (cors, Err(denial)),
    }
}

/// The app and claims of a request's token, and its text. The unverified claims choose the app, and with it the
/// keys; after that they are verified or nothing.
fn verify<'a>(
    registry: &Registry,
    verified: &VerifiedTokens,
    dialect: Dialect,
    headers: &'a HeaderMap,
) -> Result<(Proven, &'a str), Denial> {
    let text = dialect.token(headers)?.ok_or(dialect.without_token())?;
    if let Some(proven) = verified.get(text, dialect, registry) {
        return Ok((proven, text));
    }
    let (registered, claims) = dialect.verify(text, |target| registry.find(target), |found| &found.app)?;
    let (claims, digest) = (Arc::new(claims), SecretDigest::of_token(text));
    verified.put(text, registered, &claims, &digest);
    Ok(((Arc::clone(registered), claims, digest), text))
}

/// Limits, then whose conversation it is, then the token's session, if it is one's, or else its context.
pub(crate) async fn check(
    gate: &Gate,
    permit: Permit,
    registered: Arc<Registered>,
    call: Call,
    (from, sender): (Provenance<'_>, Sender<'_>),
) -> Result<Admission, Denial> {
    let claims = permit.claims();
    let counted = Counted::of(sender, &claims.subject).for_workflow(claims.workflow.as_ref()).by(call.operation);
    let counted = counted.in_session(claims.id.as_ref().map(TokenId::as_str));
    let counting = gate.count(registered.limits.chat.as_ref(), counted).await;
    counting.inspect_err(|_| conversation::limited(gate, &permit))?;
    if let Some(conversation) = &call.conversation
        && permit.app().scoping == Scoping::Gate
        && !permit.app().dialect.names_conversation()
    {
        let owner = Owner { app: &permit.app().id, end_user: &permit.claims().subject };
        check_owner(&*gate.store, owner, conversation).await?;
    }
    // In a box, as what few requests need makes room in every one.
    let session = match permit.app().dialect.has_sessions() {
        true => Some(Box::new(of_claims(gate, permit.app(), permit.claims()).await?)),
        false => None,
    };
    let widget = match (&session, call.operation) {
        (Some(session), Operation::ChatBotKit(operation)) => {
            conversation::check(gate, &permit, session, (operation, call.conversation.as_ref()), from).await?
        }
        _ => None,
    };
    let context = match &session {
        Some(_) => None,
        None => open_context(gate, &permit).await?.map(Box::new),
    };
    use_up(gate, &permit).await?;
    Ok(Admission { context, session, widget, ..Admission::new(permit, registered, call) })
}

/// Refuses a conversation that is not `owner`'s: another user's does not exist for this one.
///
/// # Errors
/// [`Code::NotFound`], [`Code::StoreUnavailable`].
pub async fn check_owner(owners: &dyn Owners, owner: Owner<'_>, conversation: &ConversationId) -> Result<(), Denial> {
    match owners.owns(owner, conversation).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Code::NotFound.into()),
        Err(_) => Err(Code::StoreUnavailable.into()),
    }
}

/// The token's env and secrets, where the app's templates need them. A token whose record is gone
/// is as good as expired: the page fetches a new one, which has its own.
async fn open_context(gate: &Gate, permit: &Permit) -> Result<Option<SessionContext>, Denial> {
    let Some(token) = permit.claims().id.as_ref().filter(|_| permit.app().injection.needs_context()) else {
        return Ok(None);
    };
    let key = ContextKey { app: &permit.app().id, token };
    let record = gate.vault.get(key, gate.now()).await.map_err(|_| Code::StoreUnavailable)?;
    let opened = record.zip(gate.sealer.as_ref()).and_then(|(record, sealer)| sealer.open(key, &record.sealed));
    let context = opened.and_then(|plaintext| SessionContext::from_plaintext(&plaintext));
    context.map(Some).ok_or_else(|| Code::InvalidToken.into())
}

/// Where a request comes from, as its head says.
#[must_use]
pub fn provenance(headers: &HeaderMap) -> Provenance<'_> {
    Provenance { origin: request_origin(headers), same_origin: is_same_origin(headers) }
}

/// The one `Origin` of a request.
#[must_use]
pub fn request_origin(headers: &HeaderMap) -> RequestOrigin<'_> {
    let mut fields = headers.get_all(ORIGIN).iter();
    match (fields.next(), fields.next()) {
        (None, _) => RequestOrigin::Absent,
        (Some(field), None) => field.to_str().map_or(RequestOrigin::Malformed, RequestOrigin::Sent),
        (Some(_), Some(_)) => RequestOrigin::Malformed,
    }
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin")
}

/// A single-use token is used up by the request that passes all else, and by no other.
async fn use_up(gate: &Gate, permit: &Permit) -> Result<(), Denial> {
    if !permit.app().token.as_ref().is_some_and(|policy| policy.single_use) {
        return Ok(());
    }
    let claims = permit.claims();
    let token = claims.id.as_ref().ok_or(Code::InvalidToken)?;
    match gate.store.first_use(ContextKey { app: &claims.app, token }, claims.refused_from()).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Denial::because(Code::InvalidToken, "The token has been used")),
        Err(_) => Err(Code::StoreUnavailable.into()),
    }
}
