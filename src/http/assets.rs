//! ChatKit's assets on the public listener. No token is asked for: they are the same for everybody.

use std::rc::Rc;
use std::sync::Arc;

use http::header::X_CONTENT_TYPE_OPTIONS;
use http::request::Parts;
use http::{HeaderValue, Method};
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::orcheo::{ASSET_METHODS, ASSET_TEMPLATE, AssetPath, is_asset};

use super::public::Incoming;
use super::service::{Common, Outcome};
use crate::assets::{Assets, Fetcher, Found, Wanted};
use crate::gate::Gate;
use crate::metrics::AssetResult;

/// What serves a path: if it is one of the routes', they are not switched off, and an app needs them.
pub(super) fn of<'a>(gate: &'a Gate, path: &str) -> Option<&'a Arc<Assets>> {
    let assets = gate.assets.as_ref().filter(|_| is_asset(path))?;
    gate.registry.load().serves(Dialect::Orcheo).then_some(assets)
}

/// Answers a request for an asset; `cors` is what any page of its dialect may read.
pub(super) async fn answer(common: &Common, assets: &Arc<Assets>, incoming: &Incoming<'_>, cors: Cors) -> Outcome {
    let (mut outcome, result) = match wanted(&incoming.parts) {
        Ok(wanted) => found(common, assets, incoming, wanted, cors).await,
        Err(denial) => (Outcome::refused(Some(Dialect::Orcheo), &denial, cors), AssetResult::Refused),
    };
    common.metrics.asset(result);
    let nosniff = HeaderValue::from_static("nosniff");
    outcome.response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    outcome.of_route(ASSET_TEMPLATE)
}

fn wanted(parts: &Parts) -> Result<Wanted, Denial> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Denial::method_not_allowed(ASSET_METHODS));
    }
    let path = AssetPath::parse(parts.uri.path()).ok_or(Code::AssetNotFound)?;
    Ok(Wanted::new(&path, parts.uri.query(), &parts.headers))
}

async fn found(
    common: &Common,
    assets: &Arc<Assets>,
    incoming: &Incoming<'_>,
    wanted: Wanted,
    cors: Cors,
) -> (Outcome, AssetResult) {
    let gate = &common.gate;
    let fetcher = Fetcher {
        assets: Arc::clone(assets),
        client: Rc::clone(&common.client),
        metrics: Arc::clone(&common.metrics),
        clock: Arc::clone(&gate.clock),
        address: incoming.arrival.sender(gate, &incoming.parts.headers).address,
    };
    let refused = |code: Code, cors| Outcome::refused(Some(Dialect::Orcheo), &code.into(), cors);
    match fetcher.find(wanted).await {
        Found::Asset(stored, result) => (Outcome::of(stored.answer(&incoming.parts, gate.now()), cors), result),
        Found::Missing => (refused(Code::AssetNotFound, cors), AssetResult::Missing),
        Found::Failed(failure) => (refused(Code::AssetUnavailable, cors).after(Some(failure)), AssetResult::Failed),
    }
}
