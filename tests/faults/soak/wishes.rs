//! What whoever runs the soak wants, from the environment.

use std::time::Duration;

/// `SOAK_SECONDS`, `SOAK_RATE`, `SOAK_USERS`, `SOAK_SEED` and `SOAK_STORE`.
#[derive(Debug)]
pub struct Wishes {
    /// How long the load lasts.
    pub span: Duration,
    /// Runs of scenarios in a second, about; each has 2 to 15 requests.
    pub rate: u32,
    /// End users.
    pub users: u64,
    /// The same choices again; not the same moments.
    pub seed: u64,
    /// The state in a Redis that is killed every minute, instead of a file.
    pub redis: bool,
}

impl Wishes {
    /// # Panics
    /// If one cannot be read.
    pub fn read() -> Self {
        let number = |name: &str, usual: u64| {
            wish(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number: {text}")))
        };
        let rate = u32::try_from(number("SOAK_RATE", 100)).expect("SOAK_RATE must be a small number");
        Self {
            span: Duration::from_secs(number("SOAK_SECONDS", 30)),
            rate: rate.max(1),
            users: number("SOAK_USERS", 200).max(2),
            seed: number("SOAK_SEED", 1),
            redis: wish("SOAK_STORE").is_some_and(|store| store == "redis"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "wishes of whoever runs the soak, not settings of the program")]
fn wish(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
