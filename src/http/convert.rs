//! The one place where a [`Denial`] or a [`Reply`] becomes an HTTP response.

use bytes::Bytes;
use http::Response;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::message::Reply;
use sidegate_core::problem;

/// A refusal in the dialect's shape, or as a problem where no dialect is known.
pub(super) fn refusal(dialect: Option<Dialect>, denial: &Denial) -> Response<Bytes> {
    refused(dialect.map_or_else(|| problem::render(denial), |dialect| dialect.refusal(denial)), denial)
}

/// A refusal as its dialect has written it.
pub(super) fn refused(reply: Reply, denial: &Denial) -> Response<Bytes> {
    let mut response = response(reply);
    response.extensions_mut().insert(denial.code);
    response
}

/// The code of a response that [`refused`] made, for its record.
pub(super) fn code<B>(response: &Response<B>) -> Option<Code> {
    response.extensions().get().copied()
}

/// A reply as it is.
pub(super) fn response(reply: Reply) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}
