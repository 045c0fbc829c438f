//! Attacks on the running program, by class. What must come of each: it is refused, nothing of it reaches
//! the upstream, the program goes on as before, and a third round of all of it takes no more memory than
//! those before ([`siege`]). docs/attacks.md lists what is attacked here, and what `tests/it` shows already.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no public interface")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test says so by panicking")]
#![allow(clippy::print_stdout, reason = "names the case at hand; shown when it fails")]

mod bodies;
mod confusion;
mod crowd;
mod destinations;
mod dialects;
mod downgrade;
mod floods;
mod frames;
mod logs;
mod origins;
mod paths;
mod rebinding;
mod said;
mod siege;
mod slow;
mod smuggling;
mod splitting;
#[allow(dead_code, unused_imports, reason = "what the integration tests share, of which this suite needs a part")]
#[path = "../it/support/mod.rs"]
mod support;
mod tokens;
