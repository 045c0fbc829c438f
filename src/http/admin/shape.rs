//! In whose words a caller is answered: the path says so.

use bytes::Bytes;
use http::Response;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo::{self, service_tokens::SERVICE_TOKENS_PATH};

use crate::http::convert;

/// What all paths of the gate's own begin with.
const PREFIX: &str = "/admin/v1/";

/// Whose API a call is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Shape {
    /// The gate's own.
    Own,
    /// Orcheo's, for service tokens.
    Orcheo,
}

impl Shape {
    /// The API of a path, if it is of one.
    pub(in crate::http) fn of(path: &str) -> Option<Self> {
        if path.starts_with(PREFIX) {
            return Some(Self::Own);
        }
        let rest = path.strip_prefix(SERVICE_TOKENS_PATH)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(Self::Orcheo)
    }

    /// What stands in the access log: no id of a path.
    pub(super) const fn route(self) -> &'static str {
        match self {
            Self::Own => PREFIX,
            Self::Orcheo => SERVICE_TOKENS_PATH,
        }
    }

    /// A refusal.
    pub(super) fn refusal(self, denial: &Denial) -> Response<Bytes> {
        match self {
            // To the gate's own API, what is no bearer token is none of its service tokens.
            Self::Own if denial.code == Code::InvalidAuthFormat => {
                convert::refusal(None, &Code::InvalidServiceToken.into())
            }
            Self::Own => convert::refusal(None, denial),
            Self::Orcheo => convert::refused(orcheo::refusal(orcheo::Router::Admin, denial), denial),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_whose_it_is() {
        for (path, shape) in [
            ("/admin/v1/apps", Some(Shape::Own)),
            ("/api/admin/service-tokens", Some(Shape::Orcheo)),
            ("/api/admin/service-tokens/ops/rotate", Some(Shape::Orcheo)),
            ("/api/admin/service-tokens-2", None),
            ("/api/admin/service-token", None),
            ("/admin", None),
        ] {
            assert_eq!(Shape::of(path), shape, "{path}");
        }
    }
}
