//! In whose words a caller is answered: the path says so.

use bytes::Bytes;
use http::Response;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chat9::{self, KYC_PATH};
use sidegate_core::dialect::chatbotkit;
use sidegate_core::dialect::orcheo::{self, service_tokens::SERVICE_TOKENS_PATH};

use crate::http::convert;

/// What all paths of the gate's own begin with.
const PREFIX: &str = "/admin/v1/";

/// What all paths begin with where tokens are made for customers' servers.
const MINT: &str = "/v1/apps/";

/// What follows `/v1` or `/api/v1` in the paths of ChatBotKit's API.
const CHATBOTKITS: [&str; 4] = ["/integration/widget/", "/blueprint/", "/bot/", "/conversation/"];

/// Whose API a call is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Shape {
    /// The gate's own.
    Own,
    /// The gate's own, for tokens.
    Mint,
    /// Orcheo's, for service tokens.
    Orcheo,
    /// Chat9's, for identity secrets.
    Chat9,
    /// ChatBotKit's, for widgets.
    ChatBotKit,
}

impl Shape {
    /// The API of a path, if it is of one.
    pub(in crate::http) fn of(path: &str) -> Option<Self> {
        if path.starts_with(PREFIX) {
            return Some(Self::Own);
        }
        if path.starts_with(MINT) {
            return Some(Self::Mint);
        }
        let versioned = path.strip_prefix("/api").unwrap_or(path).strip_prefix("/v1");
        if versioned.is_some_and(|rest| CHATBOTKITS.iter().any(|prefix| rest.starts_with(prefix))) {
            return Some(Self::ChatBotKit);
        }
        let below =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let others = [(SERVICE_TOKENS_PATH, Self::Orcheo), (KYC_PATH, Self::Chat9)];
        others.into_iter().find(|(prefix, _)| below(prefix)).map(|(_, shape)| shape)
    }

    /// What stands in the access log: no id of a path.
    pub(in crate::http) const fn route(self) -> &'static str {
        match self {
            Self::Own => PREFIX,
            Self::Mint => MINT,
            Self::Orcheo => SERVICE_TOKENS_PATH,
            Self::Chat9 => KYC_PATH,
            Self::ChatBotKit => "/api/v1/integration/widget/",
        }
    }

    /// Bytes of a request's body. Widgets have texts and styles of their own.
    pub(super) const fn max_body(self) -> usize {
        match self {
            Self::ChatBotKit => 512 * 1024,
            Self::Own | Self::Mint | Self::Orcheo | Self::Chat9 => 64 * 1024,
        }
    }

    /// A refusal.
    pub(super) fn refusal(self, denial: &Denial) -> Response<Bytes> {
        match self {
            // To the gate's own API, what is no bearer token is none of its service tokens.
            Self::Own | Self::Mint if denial.code == Code::InvalidAuthFormat => {
                convert::refusal(None, &Code::InvalidServiceToken.into())
            }
            Self::Own | Self::Mint => convert::refusal(None, denial),
            Self::Chat9 => convert::refused(chat9::refusal(denial), denial),
            Self::ChatBotKit => convert::refused(chatbotkit::refusal(denial), denial),
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
            ("/v1/apps/ch_1/identity-tokens", Some(Shape::Mint)),
            ("/v1/apps", None),
            ("/tenants/me/kyc/secret", Some(Shape::Chat9)),
            ("/tenants/me/kycs", None),
            ("/v1/integration/widget/list", Some(Shape::ChatBotKit)),
            ("/api/v1/integration/widget/x/fetch", Some(Shape::ChatBotKit)),
            ("/api/v1/blueprint/create", Some(Shape::ChatBotKit)),
            ("/api/integration/widget/list", None),
            ("/v1/integration/widgets", None),
            ("/admin", None),
        ] {
            assert_eq!(Shape::of(path), shape, "{path}");
        }
    }
}
