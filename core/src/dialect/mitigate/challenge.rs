//! The question whether a visitor whom nobody vouches for is a program, as Cloudflare's Turnstile answers it
//! (developers.cloudflare.com, turnstile/get-started/server-side-validation).

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// Whom to ask.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// The name of the server among the `[[upstreams]]`.
    pub upstream: String,
    /// The path below its base.
    pub path: String,
    /// What the server knows us by.
    pub secret: SecretString,
}

#[derive(Serialize)]
struct Question<'a> {
    secret: &'a str,
    response: &'a str,
    remoteip: IpAddr,
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
}

impl Challenge {
    /// The body of a question about what a visitor at this address shows.
    #[must_use]
    pub fn question(&self, proof: &str, address: IpAddr) -> Vec<u8> {
        let question =
            Question { secret: self.secret.expose_secret(), response: proof, remoteip: address.to_canonical() };
        // Texts can always be written.
        serde_json::to_vec(&question).unwrap_or_default()
    }

    /// Whether the answer is that it is none; `None` for what is no answer.
    #[must_use]
    pub fn verdict(answer: &[u8]) -> Option<bool> {
        serde_json::from_slice(answer).ok().map(|answer: Answer| answer.success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_what_is_documented_and_only_true_is_yes() {
        let challenge = Challenge { upstream: "t".into(), path: "/".into(), secret: "s\"1".into() };
        let address = "::ffff:192.0.2.1".parse().expect("an address");
        let question = String::from_utf8(challenge.question("p", address)).expect("UTF-8");
        assert_eq!(question, r#"{"secret":"s\"1","response":"p","remoteip":"192.0.2.1"}"#);
        assert!(!format!("{challenge:?}").contains("s\"1"));
        for (answer, verdict) in [
            (r#"{"success":true,"hostname":"shop.example.com"}"#, Some(true)),
            (r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#, Some(false)),
            (r#"{"success":"true"}"#, None),
            ("{}", None),
            ("", None),
        ] {
            assert_eq!(Challenge::verdict(answer.as_bytes()), verdict, "{answer}");
        }
    }
}
