//! An app: one registered integration, with everything that decisions about it need.

use std::time::Duration;

use crate::authorize::Authorize;
use crate::context::inject::Injection;
use crate::dialect::{Dialect, chat9, chatbotkit, mitigate, orcheo};
use crate::id::{AppId, WorkspaceId};
use crate::leash::Leash;
use crate::origin::{Origin, OriginSet};
use crate::rate::Rates;
use crate::secret::SecretDigests;
use crate::session::SessionPolicy;
use crate::token::KeyRing;

/// A registered integration (vendors say widget app, workspace, bot, workflow).
#[derive(Clone, Debug)]
pub struct App {
    /// Its public id.
    pub id: AppId,
    /// Its wire format.
    pub dialect: Dialect,
    /// Who makes its tokens.
    pub authority: Authority,
    /// Host names by which browsers reach this app alone.
    pub hosts: Vec<String>,
    /// Who of a page's visitors may have a token; `None`: pages get none.
    pub authorize: Option<Authorize>,
    /// Digests of its current and previous secret; `None` if no exchange takes a secret.
    pub secrets: Option<SecretDigests>,
    /// Where its pages live. Empty: origins are not checked.
    pub origins: OriginSet,
    /// Where the frames of its widget live, beside the gate's own origin; for dialects with frames.
    pub frame_origins: OriginSet,
    /// Whether a request without `Origin` passes although `origins` is set.
    pub allow_missing_origin: bool,
    /// The workflows that its tokens may be bound to (Orcheo); empty for other dialects.
    pub workflows: orcheo::Workflows,
    /// The workspace that it belongs to (Orcheo); `None` for none, and for other dialects.
    pub workspace: Option<WorkspaceId>,
    /// Whom its customer's server may vouch for, and how (Chat9).
    pub bot: chat9::Bot,
    /// Which visitors it takes, and how its widget looks (Mitigate).
    pub widget: mitigate::Workspace,
    /// Who translates what its widgets say (ChatBotKit); `None`: nobody.
    pub translator: Option<chatbotkit::Translator>,
    /// How long its sessions last, for dialects with such.
    pub sessions: SessionPolicy,
    /// How its tokens are made; `None` if signing is not configured.
    pub token: Option<TokenPolicy>,
    /// What is placed into its forwarded requests.
    pub injection: Injection,
    /// How often it may be used.
    pub limits: AppLimits,
    /// How much one token or session may use.
    pub leash: Leash,
    /// Who keeps one end user's conversations from another.
    pub scoping: Scoping,
    /// Which of the browser's credentials pass; none unless the app says so.
    pub pass: Pass,
}

impl App {
    /// An app with an id and a dialect, and nothing that can be left out.
    #[must_use]
    pub fn new(id: AppId, dialect: Dialect) -> Self {
        Self {
            id,
            dialect,
            authority: Authority::Local,
            hosts: Vec::new(),
            authorize: None,
            secrets: None,
            origins: OriginSet::default(),
            frame_origins: OriginSet::default(),
            allow_missing_origin: false,
            workflows: orcheo::Workflows::default(),
            workspace: None,
            bot: chat9::Bot::default(),
            widget: mitigate::Workspace::default(),
            translator: None,
            sessions: SessionPolicy::of(dialect),
            token: None,
            injection: Injection::default(),
            limits: AppLimits::default(),
            leash: Leash::default(),
            scoping: Scoping::Gate,
            pass: Pass::default(),
        }
    }

    /// Whether pages of this origin may use it. `own` is the gate's own origin, where frames may live as well.
    #[must_use]
    pub fn lets_in(&self, origin: &str, own: Option<&Origin>) -> bool {
        self.origins.is_empty() || self.origins.contains(origin) || self.is_of_frame(origin, own)
    }

    /// Whether this is the origin of its widget's frame, for dialects with such.
    #[must_use]
    pub fn is_of_frame(&self, origin: &str, own: Option<&Origin>) -> bool {
        let is_one = || self.frame_origins.contains(origin) || own.is_some_and(|own| own.as_str() == origin);
        self.dialect.has_frames() && is_one()
    }

    /// How its tokens are fetched, if the upstream makes them.
    #[must_use]
    pub const fn trade(&self) -> Option<&orcheo::Trade> {
        match &self.authority {
            Authority::Upstream(trade) => Some(trade),
            Authority::Local | Authority::Passed => None,
        }
    }

    /// Whether the upstream keeps its widgets.
    #[must_use]
    pub const fn is_passed(&self) -> bool {
        matches!(self.authority, Authority::Passed)
    }

    /// Whether its pages send cookies that mean something to the gate.
    #[must_use]
    pub fn uses_cookies(&self) -> bool {
        self.authorize.as_ref().is_some_and(Authorize::uses_cookies) || self.knows_visitors_by_cookie()
    }

    /// Whether a visitor without a token may be known again by a cookie of the gate's: some workflow is for everybody,
    /// and only pages that are listed one by one may read what belongs to the cookie.
    #[must_use]
    pub fn knows_visitors_by_cookie(&self) -> bool {
        let published = self.workflows.have(orcheo::Access::Everybody);
        published && self.origins.is_enumerated() && !self.allow_missing_origin
    }
}

/// Who makes an app's tokens.
#[derive(Clone, Debug)]
pub enum Authority {
    /// The gate signs them.
    Local,
    /// The upstream does: the gate fetches them.
    Upstream(orcheo::Trade),
    /// The upstream does, and keeps the widgets, too: the gate passes its API on (ChatBotKit). Pages get tokens of the
    /// gate's, behind which it keeps the upstream's.
    Passed,
}

/// How an app's tokens are made.
#[derive(Clone, Debug)]
pub struct TokenPolicy {
    /// The keys.
    pub keys: KeyRing,
    /// The lifetime when none is asked for.
    pub ttl: Duration,
    /// The longest lifetime that may be asked for.
    pub max_ttl: Duration,
    /// Whether a token admits one request.
    pub single_use: bool,
    /// Who its tokens say issued them, and for whom, where their dialect says so; `None` for the
    /// dialect's own default.
    pub issuer: Option<String>,
    /// See `issuer`.
    pub audience: Option<String>,
}

impl TokenPolicy {
    /// `iss` of tokens that have it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer.as_deref().unwrap_or(orcheo::ISSUER)
    }

    /// `aud` of tokens that have it.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.audience.as_deref().unwrap_or(orcheo::AUDIENCE)
    }
}

/// What an app's users may do at most; no rate is no limit.
#[derive(Clone, Debug, Default)]
pub struct AppLimits {
    /// Exchanges, and sessions that are asked for.
    pub exchange: Rates,
    /// Admitted chat requests with a token.
    pub chat: Rates,
    /// Admitted chat requests without one, to what is published (Orcheo).
    pub publish: Rates,
    /// Questions who a visitor is, before anything is known of that one (Orcheo).
    pub authorize: Rates,
    /// Transcripts that are asked for (Chat9).
    pub history: Rates,
    /// Calls for a human (Chat9).
    pub escalate: Rates,
    /// Settings of the widget that are asked for (Chat9).
    pub config: Rates,
    /// Sessions of those whom nobody vouches for (Mitigate).
    pub guest: Rates,
    /// Bytes of an uploaded form (Orcheo); none is taken that is larger.
    pub upload: usize,
}

/// Who keeps one end user's conversations from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoping {
    /// The gate: it records who created a conversation, refuses others, and filters lists.
    Gate,
    /// The upstream, by an injected header that names the end user.
    Upstream,
}

/// What of the browser's and the upstream's ambient credentials passes the gate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass {
    /// The browser's `Cookie` goes to the upstream.
    pub cookies: bool,
    /// The upstream's `Set-Cookie` goes to the browser.
    pub set_cookie: bool,
    /// The widget token goes to the upstream in `Authorization`.
    pub token: bool,
}
