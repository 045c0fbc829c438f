//! Refusals. [`Code`] is the one table for status, stable name and message; dialects only choose
//! the envelope around it.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;

use crate::rate::Rate;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:ident, $message:literal;)+) => {
        /// The stable name of a refusal: the vendor's code where one is documented (Sigmic's are),
        /// the metric label, and what the docs list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable name, for example `INVALID_TOKEN`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// What is said when nothing more precise is known.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)+ }
            }
        }
    };
}

codes! {
    /// Sigmic: `appId` or `appSecret` not given.
    MissingCredentials = "MISSING_CREDENTIALS", BAD_REQUEST, "appId and appSecret are required";
    /// Sigmic: `endUserId` not given or empty.
    MissingEndUserId = "MISSING_END_USER_ID", BAD_REQUEST, "endUserId is required";
    /// Sigmic: `expiresIn` is not a lifetime, or longer than the app allows.
    InvalidExpiresIn = "INVALID_EXPIRES_IN", BAD_REQUEST, "expiresIn must be an integer above zero and one of s, m, h, d";
    /// Sigmic: a name or value in `env` or `secrets` is not allowed.
    InvalidEnv = "INVALID_ENV", BAD_REQUEST, "env and secrets must map names to strings";
    /// Sigmic: app id or secret is wrong; never says which.
    InvalidCredentials = "INVALID_CREDENTIALS", UNAUTHORIZED, "Invalid app credentials";
    /// Sigmic: the token is malformed, forged, expired or not for this place.
    InvalidToken = "INVALID_TOKEN", UNAUTHORIZED, "The token is invalid or has expired";
    /// Sigmic: the page's origin is not on the list.
    OriginNotAllowed = "ORIGIN_NOT_ALLOWED", FORBIDDEN, "This origin is not allowed";
    /// Sigmic: the app has no signing key.
    JwtNotConfigured = "JWT_NOT_CONFIGURED", NOT_IMPLEMENTED, "Token signing is not configured for this app";
    /// Sigmic: no credential on a chat route.
    AuthRequired = "AUTH_REQUIRED", UNAUTHORIZED, "Authentication required";
    /// Sigmic: an API key where only widget tokens are taken.
    InvalidApiKey = "INVALID_API_KEY", UNAUTHORIZED, "API keys are not accepted here";
    /// Sigmic: `Authorization` is neither a token nor an API key.
    InvalidAuthFormat = "INVALID_AUTH_FORMAT", UNAUTHORIZED, "Authorization must be `Bearer` and a widget token";
    /// What was admitted has lasted as long as its token or session: streams end with it.
    TokenExpired = "TOKEN_EXPIRED", UNAUTHORIZED, "The token has expired";
    /// The token of a stream was revoked, or what it is for is gone.
    TokenRevoked = "TOKEN_REVOKED", UNAUTHORIZED, "The token has been revoked";
    /// A request that cannot be read: bad JSON, duplicate names, contradicting heads.
    InvalidRequest = "INVALID_REQUEST", BAD_REQUEST, "The request could not be read";
    /// A head is over a limit.
    HeadTooLarge = "HEAD_TOO_LARGE", REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too large";
    /// A request target is over the limit of 65,534 bytes.
    TargetTooLong = "TARGET_TOO_LONG", URI_TOO_LONG, "The request target is too long";
    /// A body or part of it is over a limit.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", PAYLOAD_TOO_LARGE, "The request body is too large";
    /// A body in a format or coding that is not taken here.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE, "The request body must be application/json";
    /// No such route, or a conversation that is not the caller's.
    NotFound = "NOT_FOUND", NOT_FOUND, "Not found";
    /// The route exists, for other methods.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, "This method is not allowed here";
    /// Over a limit; `Retry-After` says when to come back.
    RateLimited = "RATE_LIMITED", TOO_MANY_REQUESTS, "Too many requests";
    /// A token or session has said as much as its leash lets it.
    MessagesUsedUp = "MESSAGES_USED_UP", FORBIDDEN, "No more messages may be sent with this token";
    /// A token or session has had as many bytes of answers as its leash lets it.
    BytesUsedUp = "BYTES_USED_UP", FORBIDDEN, "No more answers may be had with this token";
    /// As many streams run as one token or end user may have at once.
    TooManyStreams = "TOO_MANY_STREAMS", TOO_MANY_REQUESTS, "Too many streams are open; close one first";
    /// A stream has lasted as long as its leash lets one last.
    StreamTimeUsedUp = "STREAM_TIME_USED_UP", FORBIDDEN, "The stream has lasted as long as it may; connect again";
    /// The app's templates need a value that this token does not carry, or that may not stand there.
    ContextUnresolved = "CONTEXT_UNRESOLVED", FORBIDDEN, "The token lacks a value that this app needs";
    /// env or secrets were given but no seal key is configured.
    ContextNotConfigured = "CONTEXT_NOT_CONFIGURED", NOT_IMPLEMENTED, "env and secrets need a seal key, and none is configured";
    /// A store did not answer or is full; nothing was done.
    StoreUnavailable = "STORE_UNAVAILABLE", SERVICE_UNAVAILABLE, "The store is unavailable; try again";
    /// More work than the gate takes at once.
    Overloaded = "OVERLOADED", SERVICE_UNAVAILABLE, "The gate is at its limit; try again";
    /// The gate stops: streams end, and are served again by whoever comes after.
    Draining = "DRAINING", SERVICE_UNAVAILABLE, "The gate is stopping; connect again";
    /// The client did not finish its request in time.
    RequestTimeout = "REQUEST_TIMEOUT", REQUEST_TIMEOUT, "The request was not completed in time";
    /// A browser on a listener that browsers have no business with.
    Forbidden = "FORBIDDEN", FORBIDDEN, "Requests from web pages are not taken here";
    /// Orcheo: no workflow is named, and there is none to fall back on.
    MissingWorkflow = "MISSING_WORKFLOW_ID", BAD_REQUEST, "workflow_id is required";
    /// Orcheo: the workflow's id is no UUID.
    InvalidWorkflow = "INVALID_WORKFLOW_ID", BAD_REQUEST, "workflow_id must be a UUID";
    /// Orcheo: no app lists the workflow, or none that the caller may use.
    WorkflowNotFound = "WORKFLOW_NOT_FOUND", NOT_FOUND, "Workflow not found";
    /// Orcheo: the page names another workflow than its token does.
    WorkflowMismatch = "WORKFLOW_MISMATCH", FORBIDDEN, "The token is for another workflow";
    /// Orcheo: a token of the right signature that is for something else.
    InvalidClaims = "INVALID_TOKEN_CLAIMS", UNAUTHORIZED, "The token is for another issuer, audience, workspace or workflow";
    /// Orcheo: no token, and the workflow is not for everybody.
    NotPublished = "WORKFLOW_NOT_PUBLISHED", FORBIDDEN, "The workflow is not published";
    /// What a page shows to the customer's own site is not right.
    NotAuthorized = "NOT_AUTHORIZED", FORBIDDEN, "This visitor may not have a token";
    /// The customer's server could not be asked, or gave no usable answer.
    AuthorizationUnavailable = "AUTHORIZATION_UNAVAILABLE", BAD_GATEWAY, "The site's own server could not be asked";
    /// Orcheo: no token, and nothing to tell the visitor from others.
    MissingVisitor = "MISSING_VISITOR_ID", UNAUTHORIZED, "X-Orcheo-Visitor-Id must be 8 to 128 letters, digits, '_' or '-'";
    /// Orcheo: no token, and no login at the customer's site.
    LoginRequired = "LOGIN_REQUIRED", UNAUTHORIZED, "This workflow is for those who have logged in";
    /// Orcheo: no such asset, or a path that could lead elsewhere.
    AssetNotFound = "ASSET_NOT_FOUND", NOT_FOUND, "ChatKit asset not found.";
    /// Orcheo: the CDN does not have it for us now, and no copy may stand in.
    AssetUnavailable = "ASSET_UNAVAILABLE", BAD_GATEWAY, "Failed to fetch ChatKit asset.";
    /// Chat9: no app of this dialect has the id, or it is disabled.
    BotNotFound = "BOT_NOT_FOUND", NOT_FOUND, "Bot not found";
    /// Chat9: `session_id` is missing or no UUID.
    SessionInvalid = "SESSION_INVALID", UNPROCESSABLE_ENTITY, "Invalid session_id";
    /// Chat9: there is no such session of this bot, or it is over.
    SessionNotFound = "SESSION_NOT_FOUND", CONFLICT, "Session not found";
    /// Chat9: the same, where it is asked for and not for a chat.
    TranscriptNotFound = "TRANSCRIPT_NOT_FOUND", NOT_FOUND, "Session not found";
    /// Chat9: the chat has ended.
    SessionClosed = "SESSION_CLOSED", CONFLICT, "The chat has been closed; start a new one";
    /// Chat9: the session was opened from another origin, or revoked.
    SessionForbidden = "SESSION_FORBIDDEN", FORBIDDEN, "The session may not be used here";
    /// Chat9: an empty message after the first one.
    MessageRequired = "MESSAGE_REQUIRED", UNPROCESSABLE_ENTITY, "A message is required";
    /// Chat9: a message of more than 1,000 characters.
    MessageTooLong = "MESSAGE_TOO_LONG", PAYLOAD_TOO_LARGE, "The message is too long";
    /// No identity token, or none that is good, where the app asks for one; never says why.
    IdentityRequired = "IDENTITY_REQUIRED", UNAUTHORIZED, "A valid identity token is required";
    /// A visitor who may be a program.
    ChallengeFailed = "CHALLENGE_FAILED", FORBIDDEN, "The challenge was not solved";
    /// The server that says whether a visitor is a program could not be asked, or gave no usable answer.
    ChallengeUnavailable = "CHALLENGE_UNAVAILABLE", BAD_GATEWAY, "The challenge could not be verified";
    /// An identity token was asked for, and the app has no secret to sign it.
    IdentityNotConfigured = "IDENTITY_NOT_CONFIGURED", NOT_IMPLEMENTED, "The app has no identity secret";
    /// An identity token was asked for without `user_id`, or for a blank one.
    MissingUserId = "MISSING_USER_ID", BAD_REQUEST, "user_id is required";
    /// An identity token was asked for with a field that is not as it must be.
    InvalidField = "INVALID_FIELD", BAD_REQUEST, "A field is not as it must be";
    /// An identity token was asked for with another lifetime than there may be.
    InvalidTtl = "INVALID_TTL", BAD_REQUEST, "ttl must be an integer from 60 to 3600 seconds";
    /// A service token that is unknown or malformed.
    InvalidServiceToken = "INVALID_SERVICE_TOKEN", UNAUTHORIZED, "The service token is invalid";
    /// A service token that was revoked.
    ServiceTokenRevoked = "SERVICE_TOKEN_REVOKED", FORBIDDEN, "The service token has been revoked";
    /// A service token whose time is over.
    ServiceTokenExpired = "SERVICE_TOKEN_EXPIRED", FORBIDDEN, "The service token has expired";
    /// A service token that may not do this, or not to this app.
    MissingScope = "MISSING_SCOPE", FORBIDDEN, "The service token lacks a scope";
    /// A service token that is for other workspaces (Orcheo).
    WorkspaceForbidden = "WORKSPACE_FORBIDDEN", FORBIDDEN, "The service token is not for this workspace";
    /// Something of this name exists already, or has changed since it was read.
    Conflict = "CONFLICT", CONFLICT, "It exists already, or has changed meanwhile";
    /// What an `If-Match` names is not what is there.
    PreconditionFailed = "PRECONDITION_FAILED", PRECONDITION_FAILED, "It has changed since it was read";
    /// A `Host` that is not this server's.
    MisdirectedRequest = "MISDIRECTED_REQUEST", MISDIRECTED_REQUEST, "This host name is not served here";
    /// The upstream could not be reached, or broke off before it answered.
    UpstreamUnavailable = "UPSTREAM_UNAVAILABLE", BAD_GATEWAY, "The chat service could not be reached";
    /// The upstream answered with something that is no HTTP, or not the answer the vendor documents.
    UpstreamInvalid = "UPSTREAM_INVALID_RESPONSE", BAD_GATEWAY, "The chat service gave an unreadable answer";
    /// As many requests are under way to the upstream as it may get at once.
    UpstreamOverloaded = "UPSTREAM_OVERLOADED", SERVICE_UNAVAILABLE, "The chat service is busy; try again";
    /// The upstream has had too many requests of the gate's own.
    UpstreamRateLimited = "UPSTREAM_RATE_LIMITED", TOO_MANY_REQUESTS, "The chat service takes no more requests for now";
    /// The upstream refuses what the gate asks of its own accord: its credential, or a workflow.
    UpstreamRefused = "UPSTREAM_REFUSED", BAD_GATEWAY, "The chat service refuses the gate's request";
    /// The upstream has failed several times; it is not asked for a while.
    UpstreamSuspended = "UPSTREAM_SUSPENDED", SERVICE_UNAVAILABLE, "The chat service has failed; it is asked again soon";
    /// The upstream did not answer in time.
    UpstreamTimeout = "UPSTREAM_TIMEOUT", GATEWAY_TIMEOUT, "The chat service did not answer in time";
    /// Mitigate: the identity token is refused; never says why.
    IdentityInvalid = "IDENTITY_INVALID", UNAUTHORIZED, "The identity token is invalid, has expired or was used before";
    /// Mitigate: the workspace takes no visitors of this kind.
    ModeDisabled = "MODE_DISABLED", FORBIDDEN, "This workspace does not take visitors of this kind";
    /// Mitigate: a field of the guest form is missing or not as it must be.
    InvalidGuest = "INVALID_GUEST", BAD_REQUEST, "guest must have a name and an email";
    /// Mitigate: a guest who has not consented.
    ConsentRequired = "CONSENT_REQUIRED", BAD_REQUEST, "consent must be true";
    /// Mitigate: a browser asks that the answer be sent elsewhere.
    AsyncNotAllowed = "ASYNC_NOT_ALLOWED", BAD_REQUEST, "Answers are given at once here: response_url is not taken, and response_type may only be \"immediate\"";
    /// Mitigate: the page's tools or their results are not as they must be, or too many or too large.
    InvalidTools = "INVALID_TOOLS", BAD_REQUEST, "tools and tool_results must be lists as documented";
    /// ChatBotKit: the widget has neither a bot nor a blueprint: nobody would answer.
    WidgetNotReady = "WIDGET_NOT_READY", CONFLICT, "The widget names no bot";
    /// ChatBotKit: the widget has been switched off.
    WidgetDisabled = "WIDGET_DISABLED", FORBIDDEN, "This widget is disabled";
    /// ChatBotKit: an `Idempotency-Key` that came with another request before.
    IdempotencyConflict = "IDEMPOTENCY_CONFLICT", CONFLICT, "This Idempotency-Key was used for something else";
    /// ChatBotKit: what is asked for is not switched on for the widget.
    FeatureDisabled = "FEATURE_DISABLED", FORBIDDEN, "This widget does not have that feature";
    /// A fault of ours.
    Internal = "INTERNAL_ERROR", INTERNAL_SERVER_ERROR, "Internal error";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refusal: its code, what may be told to the caller, and when to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Which refusal.
    pub code: Code,
    /// Told to the caller. Names keys and rules, never values.
    pub message: Cow<'static, str>,
    /// For `Retry-After`.
    pub retry_after: Option<Duration>,
    /// For `Allow`, with [`Code::MethodNotAllowed`].
    pub allow: Option<&'static str>,
    /// What is used up, with [`Code::RateLimited`].
    pub used_up: Option<UsedUp>,
    /// The rate that it is over, likewise.
    pub rate: Option<Rate>,
}

/// Whose share a limit has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedUp {
    /// That of the caller's network; the caller's own address, which may be told to it.
    Address(IpAddr),
    /// That of the clients around the caller.
    Network,
    /// The session's.
    Session,
    /// The end user's.
    EndUser,
    /// The route's.
    Route,
    /// The workflow's.
    Workflow,
    /// The app's.
    App,
}

impl Denial {
    /// A refusal that says more than its code's own message.
    pub fn because(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..Self::from(code) }
    }

    /// A refusal for now: try again after `wait`.
    #[must_use]
    pub fn retry(code: Code, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..Self::from(code) }
    }

    /// Over a limit of this rate: `used_up` has its share again after `wait`.
    #[must_use]
    pub fn rate_limited(used_up: UsedUp, rate: Rate, wait: Duration) -> Self {
        Self { used_up: Some(used_up), rate: Some(rate), ..Self::retry(Code::RateLimited, wait) }
    }

    /// The route takes these methods only, for example `GET, POST`.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::from(Code::MethodNotAllowed) }
    }
}

impl From<Code> for Denial {
    fn from(code: Code) -> Self {
        Self { code, message: code.message().into(), retry_after: None, allow: None, used_up: None, rate: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_all_are_errors() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code}");
            assert!(Code::ALL[..index].iter().all(|other| other.name() != code.name()), "{code}");
        }
    }
}
