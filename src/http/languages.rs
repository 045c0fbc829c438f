//! `GET …/integration/widget/{id}/languages`, on the public listener: what a widget says in its languages (ChatBotKit).
//! Whoever may see the widget may read it; browsers ask each time, and are told if they have it already.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use sidegate_core::cache::is_not_modified;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chatbotkit::{LanguagesAnswer, LanguagesRoute};
use sidegate_core::origin::RequestOrigin;
use sidegate_core::policy;

use super::conversation::found;
use super::public::Incoming;
use super::service::{Common, Outcome};
use crate::admit::{cors_of, provenance, request_origin};
use crate::limits::{Counted, stranger};
use crate::registry::Registered;
use crate::widgets::Served;

/// Answers whatever is sent to the route; `unproven` is what the page may read until the widget is known.
pub(super) async fn answer(common: &Common, incoming: Incoming<'_>, route: LanguagesRoute, unproven: Cors) -> Outcome {
    let outcome = match found(common, &incoming, &route.widget, LanguagesRoute::ALLOW).await {
        Ok((registered, served)) => of_widget(common, &incoming, &registered, &served).await,
        Err(denial) => Outcome::refused(Some(Dialect::ChatBotKit), &denial, unproven),
    };
    outcome.of_route(LanguagesRoute::TEMPLATE)
}

async fn of_widget(common: &Common, incoming: &Incoming<'_>, registered: &Registered, served: &Arc<Served>) -> Outcome {
    let cors = cors_of(&registered.app, incoming.named.is_some(), request_origin(&incoming.parts.headers));
    let mut outcome = match allowed(common, incoming, registered, served).await {
        Ok(answer) => Outcome::of(response(&incoming.parts, &answer), cors),
        Err(denial) => {
            let cors = if denial.code == Code::OriginNotAllowed { Cors::Silent } else { cors };
            Outcome::refused(Some(Dialect::ChatBotKit), &denial, cors)
        }
    };
    outcome.facts.app = Some(registered.app.id.clone());
    outcome
}

/// The map, if it may be had from there.
async fn allowed(
    common: &Common,
    incoming: &Incoming<'_>,
    registered: &Registered,
    served: &Arc<Served>,
) -> Result<Arc<LanguagesAnswer>, Denial> {
    let (gate, from) = (&common.gate, provenance(&incoming.parts.headers));
    let serving = served.serving()?;
    // A frame of the gate's own origin sends none, and what a widget says is no secret.
    if !matches!(from.origin, RequestOrigin::Absent) {
        policy::check_widget(&registered.app, serving, from, gate.own_origin())?;
    }
    served.widget.enabled()?;
    let sender = incoming.arrival.sender(gate, &incoming.parts.headers);
    let nobody = stranger(sender.address)?;
    gate.count(registered.limits.config.as_ref(), Counted::of(sender, &nobody)).await?;
    gate.widgets.languages(served).await
}

fn response(request: &Parts, answer: &LanguagesAnswer) -> Response<Bytes> {
    let mut headers = HeaderMap::with_capacity(4);
    // Hexadecimal digits in quotes.
    headers.extend(HeaderValue::try_from(&*answer.etag).ok().map(|etag| (ETAG, etag)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let mut response = Response::new(Bytes::new());
    if is_not_modified(&request.headers, &headers) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if request.method == Method::HEAD {
            headers.insert(CONTENT_LENGTH, answer.body.len().into());
        } else {
            *response.body_mut() = answer.body.clone().into();
        }
    }
    *response.headers_mut() = headers;
    response
}
