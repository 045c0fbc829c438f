//! What can go wrong with an upstream: who is to blame, what the client is told, what RFC 9209 calls it.

use sidegate_core::denial::{Code, Denial};

macro_rules! failures {
    ($($(#[$doc:meta])* $variant:ident = $error_type:literal, $code:ident;)+) => {
        /// A failed exchange with an upstream.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failure { $($(#[$doc])* $variant,)+ }

        impl Failure {
            /// Every failure, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The error type of the `Proxy-Status` field (RFC 9209 section 2.3).
            #[must_use]
            pub const fn error_type(self) -> &'static str {
                match self { $(Self::$variant => $error_type,)+ }
            }

            /// The whole `Proxy-Status` field.
            #[must_use]
            pub const fn proxy_status(self) -> &'static str {
                match self { $(Self::$variant => concat!("sidegate; error=", $error_type),)+ }
            }

            const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code,)+ }
            }
        }
    };
}

failures! {
    /// The host name has no address.
    Dns = "dns_error", UpstreamUnavailable;
    /// Nobody listens, or the network is down.
    ConnectionRefused = "connection_refused", UpstreamUnavailable;
    /// Name lookup, TCP and TLS took too long together.
    ConnectionTimeout = "connection_timeout", UpstreamTimeout;
    /// Its certificate is not trusted or not for its name.
    TlsCertificate = "tls_certificate_error", UpstreamUnavailable;
    /// The TLS handshake failed otherwise.
    TlsProtocol = "tls_protocol_error", UpstreamUnavailable;
    /// The connection broke before the answer's head was complete.
    Terminated = "connection_terminated", UpstreamUnavailable;
    /// The answer's head did not come in time.
    ResponseTimeout = "http_response_timeout", UpstreamTimeout;
    /// What came is no HTTP.
    Protocol = "http_protocol_error", UpstreamInvalid;
    /// The answer broke off, or went quiet, before its end.
    Incomplete = "http_response_incomplete", UpstreamUnavailable;
    /// An answer that must be read is too large.
    TooLarge = "http_response_body_size", UpstreamInvalid;
    /// An answer that must be read is not what the vendor documents.
    Unreadable = "http_protocol_error", UpstreamInvalid;
    /// The upstream answers a WebSocket handshake with something else than 101.
    UpgradeRefused = "http_upgrade_failed", UpstreamUnavailable;
    /// The upstream refuses the gate's own credentials.
    Unauthorized = "proxy_configuration_error", UpstreamUnavailable;
    /// It answers that it cannot do it now.
    Unavailable = "destination_unavailable", UpstreamUnavailable;
    /// It has failed again and again, and is left alone for a while.
    Suspended = "destination_unavailable", UpstreamSuspended;
    /// As many requests are under way as it may get.
    Busy = "connection_limit_reached", UpstreamOverloaded;
    /// The gate itself has no descriptor, port or memory left for a connection.
    Exhausted = "proxy_internal_error", Overloaded;
}

impl Failure {
    /// Whether it says something about the address that was asked, and not only about one request.
    pub(super) const fn is_of_endpoint(self) -> bool {
        match self {
            Self::Dns
            | Self::ConnectionRefused
            | Self::ConnectionTimeout
            | Self::TlsCertificate
            | Self::TlsProtocol
            | Self::Terminated
            | Self::ResponseTimeout
            | Self::Protocol => true,
            Self::Incomplete
            | Self::TooLarge
            | Self::Unreadable
            | Self::UpgradeRefused
            | Self::Unauthorized
            | Self::Unavailable
            | Self::Suspended
            | Self::Busy
            | Self::Exhausted => false,
        }
    }
}

impl From<Failure> for Denial {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Busy | Failure::Suspended | Failure::Exhausted => {
                Self::retry(failure.code(), std::time::Duration::from_secs(1))
            }
            _ => failure.code().into(),
        }
    }
}

impl From<&hyper::Error> for Failure {
    /// For errors before the answer's head is complete.
    fn from(error: &hyper::Error) -> Self {
        if error.is_parse() { Self::Protocol } else { Self::Terminated }
    }
}
