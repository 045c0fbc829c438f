//! What went wrong, in words that are safe to print. A server's own words may repeat the command that
//! it refused, and with it a password or an end user.

use std::error::Error;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// A failed call.
pub(super) struct Fault<'a>(pub(super) &'a RedisError);

impl Fault<'_> {
    /// Whether the server answered, be it with an error.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self.0.kind(), ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::UnexpectedReturnType)
    }

    /// Whether the server has no room left.
    pub(super) fn is_full(&self) -> bool {
        self.0.code() == Some("OOM")
    }

    /// Whether another server may have taken this one's place.
    pub(super) fn is_replica(&self) -> bool {
        self.0.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
    }

    /// Whether the server refuses who we are.
    pub(super) fn is_login(&self) -> bool {
        let refused = matches!(self.0.code(), Some("WRONGPASS" | "NOAUTH"));
        refused || self.0.kind() == ErrorKind::AuthenticationFailed
    }

    /// Whether the server does not know the protocol.
    pub(super) fn is_too_old(&self) -> bool {
        let unknown = self.0.detail().is_some_and(|said| said.starts_with("unknown command"));
        unknown || self.0.kind() == ErrorKind::RESP3NotSupported
    }

    /// What TLS says, if it is what failed.
    pub(super) fn of_tls(&self) -> Option<&rustls::Error> {
        let inner = self.0.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
        inner.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref()
    }
}

impl std::fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.kind() {
            ErrorKind::Io if self.0.is_timeout() => f.write_str("no answer in time"),
            ErrorKind::Io => write!(f, "{}", self.0),
            // Names the command, and nothing behind it.
            ErrorKind::Server(ServerErrorKind::NoPerm) => {
                write!(f, "NOPERM {}", self.0.detail().unwrap_or_default())
            }
            _ => f.write_str(self.0.code().unwrap_or(self.0.category())),
        }
    }
}
