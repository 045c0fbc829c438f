//! Why the gate ends a stream that its upstream would go on with, and its last words to the page.

use serde_json::json;

use crate::denial::Code;
use crate::dialect::Dialect;

/// Why a stream ends before its upstream ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its token, or its session, is over.
    Expired,
    /// Its token was revoked, or its app or widget is gone: what admitted it would be refused now.
    Revoked,
    /// Its session was closed.
    SessionClosed,
    /// Its widget was switched off (ChatBotKit).
    WidgetDisabled,
    /// The gate stops.
    Draining,
    /// It has lasted as long as its leash lets one last.
    TimeUsedUp,
    /// Its token or session has had all the bytes that its leash gives it.
    BytesUsedUp,
}

impl Ending {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Expired,
        Self::Revoked,
        Self::SessionClosed,
        Self::WidgetDisabled,
        Self::Draining,
        Self::TimeUsedUp,
        Self::BytesUsedUp,
    ];

    /// The code of the table of refusals that says the same.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Expired => Code::TokenExpired,
            Self::Revoked => Code::TokenRevoked,
            Self::SessionClosed => Code::SessionClosed,
            Self::WidgetDisabled => Code::WidgetDisabled,
            Self::Draining => Code::Draining,
            Self::TimeUsedUp => Code::StreamTimeUsedUp,
            Self::BytesUsedUp => Code::BytesUsedUp,
        }
    }

    /// Its label in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::SessionClosed => "session_closed",
            Self::WidgetDisabled => "widget_disabled",
            Self::Draining => "draining",
            Self::TimeUsedUp => "time_used_up",
            Self::BytesUsedUp => "bytes_used_up",
        }
    }

    /// The type of the last event of a stream. Pages that do not listen for it are not disturbed.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::Expired | Self::Revoked | Self::SessionClosed | Self::WidgetDisabled => "sidegate.expired",
            Self::Draining => "sidegate.draining",
            Self::TimeUsedUp | Self::BytesUsedUp => "sidegate.limited",
        }
    }

    /// The code of a WebSocket's Close frame (RFC 6455 section 7.4): 4001, of the range for applications, where the page
    /// needs another token; 1001, "going away", where it may come again at once; 1008, "policy violation", where it has used up
    /// what it may have.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Expired | Self::Revoked | Self::SessionClosed | Self::WidgetDisabled => 4001,
            Self::Draining => 1001,
            Self::TimeUsedUp | Self::BytesUsedUp => 1008,
        }
    }

    /// Whether the page may ask for the same again, with another token if need be.
    const fn may_retry(self) -> bool {
        match self {
            Self::Expired | Self::Draining | Self::TimeUsedUp => true,
            Self::Revoked | Self::SessionClosed | Self::WidgetDisabled | Self::BytesUsedUp => false,
        }
    }

    /// The last event of a stream in the words of a vendor: its data are what the vendor's own errors within streams look
    /// like, where they are documented, so that a page that reads data alone understands them.
    #[must_use]
    pub fn last_event(self, dialect: Dialect) -> String {
        let code = self.code();
        let (reason, message) = (code.name(), code.message());
        let data = match dialect {
            Dialect::Sigmic | Dialect::Mitigate | Dialect::ChatBotKit => json!({ "code": reason, "message": message }),
            // OpenAI's ChatKit: `error` among the events of a thread, with a code that means "show the message".
            Dialect::Orcheo => json!({
                "type": "error", "code": "custom", "message": message, "allow_retry": self.may_retry(), "reason": reason,
            }),
            // Its codes within streams are numbers, those of HTTP.
            Dialect::Chat9 => {
                json!({ "type": "error", "code": code.status().as_u16(), "message": message, "reason": reason })
            }
        };
        format!("event: {}\ndata: {data}\n\n", self.event())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::{data, split_event};

    #[test]
    fn last_words_are_one_event_and_name_the_code() {
        for dialect in Dialect::ALL {
            for ending in Ending::ALL {
                let words = ending.last_event(dialect);
                let (event, rest) = split_event(words.as_bytes()).expect("an event");
                assert_eq!(rest, b"", "{words}");
                let data: serde_json::Value = serde_json::from_slice(&data(event)).expect("JSON");
                let named = [&data["code"], &data["reason"]].into_iter().any(|code| code == ending.code().name());
                assert!(named && words.starts_with("event: sidegate."), "{words}");
            }
        }
    }

    #[test]
    fn names_are_told_apart() {
        for (n, ending) in Ending::ALL.into_iter().enumerate() {
            assert!(
                Ending::ALL[..n].iter().all(|other| other.name() != ending.name() && other.code() != ending.code())
            );
            assert!(matches!(ending.close_code(), 1001 | 1008 | 4000..=4999));
        }
    }
}
