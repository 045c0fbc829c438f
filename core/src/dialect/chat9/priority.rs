//! How urgent a ticket is when a conversation goes to a human (seeds/002, "plan_tier and escalation
//! priority"). The upstream is told in fields of the gate's own.

use http::{HeaderName, HeaderValue};

/// The priority of the ticket that a call for a human makes: `critical`, `high` or `medium`.
pub const X_ESCALATION_PRIORITY: HeaderName = HeaderName::from_static("x-sidegate-escalation-priority");

/// With a message, after which it is the bot that may call: the priority by trigger, as a dictionary
/// (RFC 9651 section 3.2).
pub const X_ESCALATION_PRIORITIES: HeaderName = HeaderName::from_static("x-sidegate-escalation-priorities");

/// Why a conversation goes to a human.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The visitor asks for one.
    UserRequest,
    /// The bot has no relevant answer.
    NoAnswer,
    /// A check of its quality has rejected the answer.
    AnswerRejected,
}

fn is_premium(plan_tier: Option<&str>) -> bool {
    matches!(plan_tier, Some("pro" | "enterprise"))
}

/// The priority of a ticket.
#[must_use]
pub fn priority(trigger: Trigger, plan_tier: Option<&str>) -> HeaderValue {
    HeaderValue::from_static(match (trigger, is_premium(plan_tier)) {
        (Trigger::UserRequest, true) => "critical",
        (Trigger::UserRequest, false) | (Trigger::NoAnswer, true) => "high",
        (Trigger::NoAnswer, false) | (Trigger::AnswerRejected, _) => "medium",
    })
}

/// All of them.
#[must_use]
pub fn all_priorities(plan_tier: Option<&str>) -> HeaderValue {
    HeaderValue::from_static(if is_premium(plan_tier) {
        "user_request=critical, no_answer=high, answer_rejected=medium"
    } else {
        "user_request=high, no_answer=medium, answer_rejected=medium"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_document() {
        for (trigger, name, plain, premium) in [
            (Trigger::UserRequest, "user_request", "high", "critical"),
            (Trigger::NoAnswer, "no_answer", "medium", "high"),
            (Trigger::AnswerRejected, "answer_rejected", "medium", "medium"),
        ] {
            for (tier, expected) in [
                (None, plain),
                (Some("free"), plain),
                (Some("Pro"), plain),
                (Some("pro"), premium),
                (Some("enterprise"), premium),
            ] {
                assert_eq!(priority(trigger, tier), expected, "{trigger:?} {tier:?}");
                let all = all_priorities(tier).to_str().expect("text").to_owned();
                assert!(all.split(", ").any(|one| one == format!("{name}={expected}")), "{all}");
            }
        }
    }
}
