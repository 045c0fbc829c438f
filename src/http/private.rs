//! The private listener: the customer's servers exchange credentials for tokens; operators call the
//! gate's own API.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Request};
use sidegate_core::cors::Cors;
use sidegate_core::denial::Code;
use sidegate_core::dialect::chatbotkit::ApiSessionRoute;
use sidegate_core::dialect::{Dialect, orcheo, sigmic};

use super::passed::Passing;
use super::service::{Arrival, Common, Outcome, Service};
use super::serving::Services;
use super::{admin, api_session, exchange, guard, openai, session};
use crate::metrics::Listener;
use crate::wire::ClientBody;

/// The private service of one worker.
pub struct Private {
    common: Rc<Common>,
    admin: axum::Router,
}

impl Private {
    /// A private service.
    #[must_use]
    pub fn new(common: Rc<Common>) -> Self {
        let admin = admin::router(Arc::clone(&common.gate));
        Self { common, admin }
    }
}

impl Service for Private {
    const LISTENER: Listener = Listener::Private;

    fn of(services: &Services) -> &Rc<Self> {
        &services.private
    }

    fn common(&self) -> &Common {
        &self.common
    }

    async fn respond(&self, arrival: &Arrival, request: Request<ClientBody>) -> Outcome {
        let (parts, body) = request.into_parts();
        if let Err(code) = guard::check(&self.common.gate.listen.hosts, &parts) {
            return Outcome::refused(None, &code.into(), Cors::Silent);
        }
        // Who runs the gate can do so also when it is overloaded, if there is a connection left for that.
        if (arrival.peer.crowded || admin::Shape::of(parts.uri.path()).is_none())
            && let Err(denial) = self.common.check_load(arrival)
        {
            let dialect = match parts.uri.path() {
                sigmic::EXCHANGE_PATH => Some(Dialect::Sigmic),
                orcheo::SESSION_PATH | orcheo::TOKEN_PATH => Some(Dialect::Orcheo),
                _ => None,
            };
            return Outcome::refused(dialect, &denial, Cors::Silent);
        }
        match parts.uri.path() {
            sigmic::EXCHANGE_PATH => exchange::answer(&self.common, arrival, &parts, body).await,
            orcheo::SESSION_PATH | orcheo::TOKEN_PATH => {
                Box::pin(session::answer(&self.common, arrival, &parts, body)).await
            }
            path if let Some(route) = ApiSessionRoute::of(path) => {
                Box::pin(api_session::answer(&self.common, arrival, route, &parts, body)).await
            }
            path => match admin::Shape::of(path) {
                Some(shape) if let Some(registered) = admin::passed(shape, &self.common.gate, &parts) => {
                    let passing = Passing { common: &self.common, registered: &registered, parts: &parts };
                    Box::pin(passing.api(body, shape.route())).await
                }
                Some(shape) => Box::pin(admin::answer(shape, &self.admin, &self.common, parts, body)).await,
                None if openai::takes(path) => Box::pin(openai::answer(&self.common, arrival, parts, body)).await,
                None => Outcome::refused(None, &Code::NotFound.into(), Cors::Silent),
            },
        }
    }

    /// No page has any business here.
    fn cors_of_unread(&self, _: Option<&HeaderValue>) -> Cors {
        Cors::Silent
    }
}
