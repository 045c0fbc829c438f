//! What an upstream can be asked to do wrong, by a header of the request: so whoever asks knows what must come of it.

use super::chance::Chance;

/// The header that asks for it.
pub const HEADER: &str = "x-soak";

/// A fault of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Resets the connection instead of answering.
    Reset,
    /// Ends the connection instead of answering.
    Close,
    /// Answers with what is no HTTP.
    Garbage,
    /// Does not answer until the gate gives up.
    Stall,
    /// Announces more than it sends.
    Short,
    /// Refuses the gate's own key.
    Refuse,
    /// Answers well and ends the connection at once, without having said so.
    Leave,
}

impl Fault {
    pub const ALL: [Self; 7] =
        [Self::Reset, Self::Close, Self::Garbage, Self::Stall, Self::Short, Self::Refuse, Self::Leave];

    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Close => "close",
            Self::Garbage => "garbage",
            Self::Stall => "stall",
            Self::Short => "short",
            Self::Refuse => "refuse",
            Self::Leave => "leave",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// One of them; stalls are rare, as they take their time.
    pub fn any(chance: &Chance) -> Self {
        match chance.pick(&Self::ALL) {
            Self::Stall if !chance.one_in(3) => Self::Reset,
            fault => *fault,
        }
    }

    /// What the page is told where the answer is read before it passes; `None` if all is well.
    pub fn refusal(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Reset | Self::Close | Self::Short | Self::Refuse => Some((502, "UPSTREAM_UNAVAILABLE")),
            Self::Garbage => Some((502, "UPSTREAM_INVALID_RESPONSE")),
            Self::Stall => Some((504, "UPSTREAM_TIMEOUT")),
            Self::Leave => None,
        }
    }
}
