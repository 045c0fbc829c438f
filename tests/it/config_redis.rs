//! `[store.redis]`: what it takes, what it refuses, and that the password stays unseen.

use crate::support::program::{Program, program};

fn check(lines: &str) -> Program {
    program(&["check"]).config(&format!("[store]\nstate = \"redis\"\n[store.redis]\n{lines}\n"))
}

/// Fails unless `check` refuses, with this line alone.
fn assert_mistake(check: Program, expected: &str) {
    let run = check.run();
    assert_eq!((run.code, run.err.trim_end()), (2, expected));
}

#[test]
fn an_address_is_all_that_is_needed() {
    for url in ["redis://redis", "rediss://[::1]:7000/3", "redis://127.0.0.1:6379/", "rediss://redis.example.com"] {
        let run = check(&format!("url = \"{url}\"")).run();
        assert_eq!(run.code, 0, "{url}: {}", run.err);
    }
}

#[test]
fn an_address_holds_no_password_and_no_options() {
    for login in ["canary@", "user:canary@", ":canary@"] {
        let run = check(&format!("url = \"redis://{login}redis\"")).run();
        assert_eq!(run.code, 2);
        assert!(run.err.contains("they have keys of their own, `username` and `password`"), "{}", run.err);
        assert!(!run.err.contains("canary"), "{}", run.err);
    }
    for url in [
        "http://redis",
        "redis",
        "redis://",
        "redis://redis/one",
        "redis://redis/-1",
        "redis://r?a=b",
        "rediss://r#insecure",
    ] {
        let run = check(&format!("url = \"{url}\"")).run();
        assert!(run.err.contains("store.redis.url: must be redis:// or rediss:// (TLS)"), "{url}: {}", run.err);
    }
}

#[test]
fn redis_needs_its_table() {
    let expected = "FILE1:2: store.state: \"redis\" needs a table `store.redis` with `url`";
    assert_mistake(program(&["check"]).config("[store]\nstate = \"redis\"\n"), expected);
    assert_mistake(check("prefix = \"p:\""), "FILE1:3: store.redis.url: is required");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let with = |line: &str| check(&format!("url = \"redis://redis\"\n{line}"));
    assert_mistake(with("username = \"gate\""), "FILE1:5: store.redis.username: needs a `password`");
    assert_mistake(with("ca = \"ca.crt\""), "FILE1:5: store.redis.ca: needs a `url` that begins with rediss://");
    for prefix in ["", "a b", "*", &"p".repeat(65)] {
        let run = with(&format!("prefix = \"{prefix}\"")).run();
        assert!(run.err.contains("store.redis.prefix: must be 1 to 64 letters"), "{}", run.err);
    }
    let run = with("pasword = { value = \"canary\" }").run();
    assert!(run.err.contains("did you mean \"password\"?") && !run.err.contains("canary"), "{}", run.err);
    let run = with("").set("store.limits_on_error=perhaps").run();
    assert!(run.err.contains("must be one of \"deny\", \"local\", \"allow\""), "{}", run.err);
}

#[test]
fn the_password_is_not_printed() {
    let config =
        "[store]\nstate = \"redis\"\n[store.redis]\nurl = \"redis://redis\"\npassword = { value = \"canary\" }\n";
    let run = program(&["config", "print"]).config(config).run();
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("password = { value = \"[redacted]\" }") && !run.out.contains("canary"), "{}", run.out);
}
