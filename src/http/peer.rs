//! Who is at the other end: the socket's address, and what trusted proxies say of the client.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};

use crate::forward::Forwarded;
use crate::gate::Gate;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The socket's address.
    pub address: IpAddr,
    /// The same, as a field value.
    text: HeaderValue,
    /// Whether its forwarding fields are believed.
    pub trusted: bool,
    /// Whether the connection is TLS.
    pub secure: bool,
    /// Whether it came when the listener had as many connections as it takes: it is told so, and nothing else.
    pub crowded: bool,
}

impl Peer {
    /// The peer at `address`.
    #[must_use]
    pub fn new(gate: &Gate, address: IpAddr, secure: bool, crowded: bool) -> Self {
        let address = address.to_canonical();
        let text = HeaderValue::try_from(address.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { address, text, trusted: gate.trusts(address), secure, crowded }
    }

    /// The client's address: the peer's, or the last one in `X-Forwarded-For` that is no trusted
    /// proxy's. What stands left of it anybody may have written.
    #[must_use]
    pub fn client(&self, gate: &Gate, headers: &HeaderMap) -> IpAddr {
        if !self.trusted {
            return self.address;
        }
        let mut client = self.address;
        for entry in forwarded_for(headers).into_iter().rev() {
            let Ok(address) = entry.parse::<IpAddr>() else { break };
            client = address.to_canonical();
            if !gate.trusts(client) {
                break;
            }
        }
        client
    }

    /// What the upstream is told of the client.
    #[must_use]
    pub fn forwarded(&self, headers: &HeaderMap, authority: Option<&str>) -> Forwarded {
        let scheme = if self.secure { "https" } else { "http" };
        let host = headers.get(http::header::HOST).cloned();
        let host = host.or_else(|| authority.and_then(|authority| HeaderValue::from_str(authority).ok()));
        let mut forwarded = Forwarded {
            addresses: self.text.clone(),
            scheme: HeaderValue::from_static(scheme),
            host,
            trusted: self.trusted,
        };
        if self.trusted {
            self.believe(headers, &mut forwarded);
        }
        forwarded
    }

    fn believe(&self, headers: &HeaderMap, forwarded: &mut Forwarded) {
        let mut addresses = forwarded_for(headers);
        addresses.push(self.text.to_str().unwrap_or_default());
        if let Ok(addresses) = HeaderValue::try_from(addresses.join(", ")) {
            forwarded.addresses = addresses;
        }
        match headers.get("x-forwarded-proto").map(HeaderValue::as_bytes) {
            Some(b"https") => forwarded.scheme = HeaderValue::from_static("https"),
            Some(b"http") => forwarded.scheme = HeaderValue::from_static("http"),
            _ => {}
        }
        if let Some(host) = headers.get("x-forwarded-host") {
            forwarded.host = Some(host.clone());
        }
    }
}

fn forwarded_for(headers: &HeaderMap) -> Vec<&str> {
    headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .collect()
}
