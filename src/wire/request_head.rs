//! A client's head, as strictly as RFC 9112 allows: whatever two servers could read differently is
//! refused.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{Method, Request, Uri, Version};
use httparse::{Header, ParserConfig, Status};

use super::fields::has_bare_line_ends;
use super::{Framing, MAX_FIELDS, Malformed, fields, keeps_alive};

/// The longest target; longer ones are no [`Uri`].
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// A client's head.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) request: Request<()>,
    pub(crate) framing: Framing,
    /// Whether the client may send another request after this one.
    pub(crate) keep_alive: bool,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    /// No head of HTTP/1.1, or one that could be misread.
    Malformed,
    /// Longer than allowed, or with too many fields.
    TooLarge,
    /// Its target is.
    TargetTooLong,
}

impl From<Malformed> for HeadFault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Reads a complete head.
pub(super) fn parse(head: &[u8]) -> Result<RequestHead, HeadFault> {
    if has_bare_line_ends(head) {
        return Err(HeadFault::Malformed);
    }
    // The target and the values of all fields share this one allocation.
    let head = Bytes::copy_from_slice(head);
    let mut space = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    match ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, &head, &mut space) {
        Ok(Status::Complete(len)) if len == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(HeadFault::TooLarge),
        _ => return Err(HeadFault::Malformed),
    }
    let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut request = Request::new(());
    *request.version_mut() = version;
    *request.method_mut() = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes()).map_err(|_| Malformed)?;
    *request.uri_mut() = target(&head, parsed.path.unwrap_or_default())?;
    let mut fields = fields(&head, parsed.headers)?;
    let framing = Framing::of_request(version, &mut fields)?;
    let keep_alive = version == Version::HTTP_11 && keeps_alive(version, &fields);
    *request.headers_mut() = fields;
    Ok(RequestHead { request, framing, keep_alive })
}

fn target(head: &Bytes, target: &str) -> Result<Uri, HeadFault> {
    if target.len() > MAX_TARGET {
        return Err(HeadFault::TargetTooLong);
    }
    Ok(Uri::from_maybe_shared(head.slice_ref(target.as_bytes())).map_err(|_| Malformed)?)
}
