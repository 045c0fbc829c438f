//! Why a parser refused a value. One refusal may hold several faults: a list reports each bad element.

use super::{Place, path};

/// One reason, relative to the node that was parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path below the parsed node, such as `[2]` or `env`. Empty for the node itself.
    pub at: String,
    /// Where the culprit is written, if that is not where the parsed node is.
    pub place: Option<Place>,
    /// What is wrong, without the value.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// The reasons for refusing one node. A plain `String` converts into one, so that a parser may
/// simply return `Result<T, String>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// One fault with an optional "did you mean".
    #[must_use]
    pub fn with_suggestion(message: &str, suggestion: Option<String>) -> Self {
        Self(vec![Fault { at: String::new(), place: None, message: message.to_owned(), suggestion }])
    }

    /// The same faults as seen from the parent of the parsed node: `step` is the element or key that
    /// leads to the node, `place` is where that is written.
    #[must_use]
    pub fn below(mut self, step: &str, place: &Place) -> Self {
        for fault in &mut self.0 {
            fault.at = path::join(step, &fault.at);
            fault.place.get_or_insert_with(|| place.clone());
        }
        self
    }
}

impl From<String> for Faults {
    fn from(message: String) -> Self {
        Self::with_suggestion(&message, None)
    }
}

impl From<&str> for Faults {
    fn from(message: &str) -> Self {
        Self::with_suggestion(message, None)
    }
}
