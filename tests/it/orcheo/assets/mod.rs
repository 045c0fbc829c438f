//! `/api/chatkit/assets/*` (contract 5.5), with the scripted upstream as the CDN.

mod cache;
mod flights;
mod kept;
mod routes;

use reqwest::{Method, Response};

use super::builder;
use crate::support::gate::{Builder, Gate, SHOP};
use crate::support::upstream::{Behaviour, Reply, Upstream};

/// The bundle as pages load it, and where the CDN has it.
const BUNDLE: &str = "/api/chatkit/assets/chatkit.js";
const AT_CDN: &str = "/deployments/chatkit/chatkit.js";
const BODY: &str = "export const chat = 'kit';";
const DATED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A gate with an app of Orcheo, whose CDN is `cdn`.
fn over(cdn: &Upstream) -> Builder {
    // The chat service is not asked in these tests.
    builder(cdn).set(&format!("assets.base_url={}/", cdn.url()))
}

async fn started() -> (Upstream, Gate) {
    let cdn = Upstream::start().await;
    let gate = over(&cdn).start().await;
    (cdn, gate)
}

/// A script with a validator and this `Cache-Control`.
fn script(cache_control: &str) -> Reply {
    let reply = Reply::new(200, BODY).header("content-type", "text/javascript").header("etag", "\"v1\"");
    reply.header("cache-control", cache_control)
}

/// The CDN's next answer for the bundle.
fn next(cdn: &Upstream, reply: Reply) {
    cdn.once(AT_CDN, Behaviour::answer(reply));
}

/// What a page of the shop gets, with these fields in its request.
async fn get(gate: &Gate, path: &str, fields: &[(&str, &str)]) -> Response {
    ask(gate, Method::GET, path, fields).await
}

async fn ask(gate: &Gate, method: Method, path: &str, fields: &[(&str, &str)]) -> Response {
    let mut request = gate.public(method, path).header("origin", SHOP);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

/// Status and body.
async fn read(answer: Response) -> (u16, String) {
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

/// The field's value, or "" without one.
fn field<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

fn counted(result: &str) -> String {
    format!("sidegate_asset_requests_total{{result=\"{result}\"}}")
}
