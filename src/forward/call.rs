//! Requests of the gate's own to an upstream: for a vendor's token, of a customer's server, for an
//! asset. Their answers are read whole.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};

use super::client::Client;
use super::head::remove_all;
use super::request_body::RequestBody;
use super::route::Route;
use super::{Failure, Upstream};

/// A request of the gate's own.
pub struct Call<'a> {
    /// Its method.
    pub method: Method,
    /// The path below the upstream's base.
    pub path: &'a str,
    /// The query, without `?`.
    pub query: Option<&'a str>,
    /// Its fields; those of the upstream's settings are laid over them.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Option<Bytes>,
    /// Bytes of an answer.
    pub limit: usize,
}

impl Client {
    /// Sends a request of the gate's own, which takes a place among those that the upstream gets at once,
    /// and reads the answer, which comes without a content coding. How long that may take is the
    /// caller's to bound; the upstream's own deadlines hold, too.
    ///
    /// # Errors
    /// [`Failure`]: the upstream's, or [`Failure::TooLarge`] above `limit` bytes.
    pub async fn call(self: &Rc<Self>, upstream: &Arc<Upstream>, call: Call<'_>) -> Result<Response<Bytes>, Failure> {
        let _slot = upstream.enter()?;
        let target = upstream.target(call.path, call.query).ok_or(Failure::Protocol)?;
        let body = call.body.map_or(RequestBody::Empty, |body| RequestBody::Full(Some(body)));
        let mut request = Request::new(body);
        *request.method_mut() = call.method;
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = call.headers;
        let headers = request.headers_mut();
        headers.insert(HOST, upstream.host().clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in &upstream.settings.headers {
            headers.insert(name, value.clone());
        }
        let answered = self.send(&mut Route::of_call(upstream), &mut request, None).await?;
        let (parts, body) = answered.response.into_parts();
        let body = body.collect(call.limit, upstream.settings.idle_timeout).await?;
        Ok(Response::from_parts(parts, body))
    }
}

/// The fields of a head with these names, as they stand there, for a request of the gate's own.
#[must_use]
pub fn picked(headers: &HeaderMap, names: &[http::HeaderName]) -> HeaderMap {
    let mut picked = headers.clone();
    remove_all(&mut picked, |name| !names.contains(name));
    picked
}
