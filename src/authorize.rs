//! Whether a page's visitor may have a token: the app's own rule, and the customer's server if that decides.

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, Method};
use sidegate_core::authorize::{Authorized, Question, Verdict};
use sidegate_core::denial::{Code, Denial};

use crate::forward::{Call, Client, Failure, Refused, picked};
use crate::gate::Gate;
use crate::limits::{Counted, Sender, stranger};
use crate::registry::Registered;

/// For the customer's server to answer, everything included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of its answer, of which only the head counts.
const MAX_ANSWER: usize = 64 * 1024;

/// Asks the rule of an app about a request, so often as one address may.
///
/// # Errors
/// [`Code::RateLimited`]; as [`sidegate_core::authorize::authorize`] and [`Question::answered`].
pub async fn authorize(
    gate: &Gate,
    registered: &Registered,
    client: &Rc<Client>,
    headers: &HeaderMap,
    sender: Sender<'_>,
) -> Result<Authorized, Refused> {
    let nobody = stranger(sender.address)?;
    gate.count(registered.limits.authorize.as_ref(), Counted::of(sender, &nobody)).await?;
    match sidegate_core::authorize::authorize(&registered.app, headers, gate.now())? {
        Verdict::Yes(authorized) => Ok(authorized),
        Verdict::Ask(question) => ask(question, registered, client, headers).await,
    }
}

async fn ask(
    question: Question,
    registered: &Registered,
    client: &Rc<Client>,
    headers: &HeaderMap,
) -> Result<Authorized, Refused> {
    let (rule, upstream) = question.rule().zip(registered.authorizer.as_ref()).ok_or(Code::AuthorizationUnavailable)?;
    let call = Call {
        method: Method::GET,
        path: &rule.path,
        query: None,
        headers: picked(headers, &rule.headers),
        body: None,
        limit: MAX_ANSWER,
    };
    let answered = tokio::time::timeout(TIMEOUT, client.call(upstream, call)).await;
    let response = answered.unwrap_or(Err(Failure::ResponseTimeout)).map_err(|failure| {
        tracing::warn!(upstream = upstream.settings.name, error = failure.error_type(), "nobody says who visitors are");
        Refused { denial: Denial::from(Code::AuthorizationUnavailable), failure: Some(failure) }
    })?;
    Ok(question.answered(response.status(), response.headers())?)
}
