//! `[store.postgres]`: what it takes, what it refuses, and that the password stays unseen.

use crate::support::program::{Program, program};

fn check(lines: &str) -> Program {
    program(&["check"]).config(&format!("[store]\nregistry = \"postgres\"\n[store.postgres]\n{lines}\n"))
}

/// Fails unless `check` refuses, with this line alone.
fn assert_mistake(check: Program, expected: &str) {
    let run = check.run();
    assert_eq!((run.code, run.err.trim_end()), (2, expected));
}

#[test]
fn an_address_is_all_that_is_needed() {
    for url in [
        "postgres://postgres/sidegate",
        "postgresql://postgres.example.com/chat-gate_1.0",
        "postgres://[::1]:7000/sidegate",
        "postgres://127.0.0.1:5433/sidegate",
        "postgres://%2Frun%2Fpostgresql/sidegate",
        "postgres://%2frun%2fpostgresql:5433/sidegate",
    ] {
        let run = check(&format!("url = \"{url}\"")).run();
        assert_eq!(run.code, 0, "{url}: {}", run.err);
    }
}

#[test]
fn an_address_holds_no_password_and_no_options() {
    for login in ["canary@", "user:canary@", ":canary@"] {
        let run = check(&format!("url = \"postgres://{login}postgres/sidegate\"")).run();
        assert_eq!(run.code, 2);
        assert!(run.err.contains("they have keys of their own, `username` and `password`"), "{}", run.err);
        assert!(!run.err.contains("canary"), "{}", run.err);
    }
    for url in [
        "http://postgres/sidegate",
        "postgres",
        "postgres://",
        "postgres:///sidegate",
        "postgres://postgres",
        "postgres://postgres/",
        "postgres://postgres/a/b",
        "postgres://postgres/a%20b",
        "postgres://run%2Fpostgresql/sidegate",
        "postgres://post%67res/sidegate",
        "postgres://postgres/sidegate?sslmode=disable",
        "postgres://postgres/sidegate#insecure",
    ] {
        let run = check(&format!("url = \"{url}\"")).run();
        assert!(run.err.contains("store.postgres.url: must be postgres://, a host"), "{url}: {}", run.err);
    }
}

#[test]
fn postgres_needs_its_table() {
    let expected = "FILE1:2: store.registry: \"postgres\" needs a table `store.postgres` with `url`";
    assert_mistake(program(&["check"]).config("[store]\nregistry = \"postgres\"\n"), expected);
    assert_mistake(check("schema = \"gate\""), "FILE1:3: store.postgres.url: is required");
    let run = program(&["check"]).set("store.registry=redis").run();
    assert!(run.err.contains("store.registry: must be one of \"state\", \"postgres\""), "{}", run.err);
}

/// Nothing switches verification off for a server elsewhere.
#[test]
fn only_this_machine_is_spoken_to_without_tls() {
    let with = |url: &str, lines: &str| check(&format!("url = \"{url}\"\n{lines}"));
    for url in ["postgres://10.0.0.1/sidegate", "postgres://postgres.internal/sidegate", "postgres://[fe80::1]/s"] {
        assert_eq!(with(url, "tls = true").run().code, 0, "{url}");
        let expected = "FILE1:5: store.postgres.tls: may be false only for a server on loopback or a Unix socket";
        assert_mistake(with(url, "tls = false"), expected);
    }
    for url in ["postgres://127.0.0.1/sidegate", "postgres://localhost/sidegate", "postgres://[::1]/sidegate"] {
        for lines in ["", "tls = false", "tls = true", "tls = true\nca = \"ca.crt\""] {
            assert_eq!(with(url, lines).run().code, 0, "{url} {lines}");
        }
        assert_mistake(with(url, "ca = \"ca.crt\""), "FILE1:5: store.postgres.ca: needs `tls = true`");
    }
    let socket = with("postgres://%2Frun%2Fpostgresql/sidegate", "tls = true");
    assert_mistake(socket, "FILE1:5: store.postgres.tls: is not spoken over a Unix socket");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let with = |line: &str| check(&format!("url = \"postgres://postgres/sidegate\"\n{line}"));
    for schema in ["", "a b", "Gate", "1st", "a\\\"b", &"s".repeat(64)] {
        let run = with(&format!("schema = \"{schema}\"")).run();
        assert!(run.err.contains("store.postgres.schema: must be 1 to 63 small letters"), "{schema}: {}", run.err);
    }
    for schema in ["public", "pg_catalog", "information_schema"] {
        let expected = "FILE1:5: store.postgres.schema: must be a schema of the gate's own";
        assert_mistake(with(&format!("schema = \"{schema}\"")), expected);
    }
    let run = with("pasword = { value = \"canary\" }").run();
    assert!(run.err.contains("did you mean \"password\"?") && !run.err.contains("canary"), "{}", run.err);
}

/// The driver would obey these whatever it is told.
#[test]
fn variables_that_cannot_be_overruled_are_refused() {
    let with = || check("url = \"postgres://postgres/sidegate\"");
    for name in ["PGOPTIONS", "PGSSLCERT", "PGSSLKEY"] {
        let expected =
            format!("FILE1:2: store.registry: \"postgres\" would obey the environment variable {name}: unset it");
        assert_mistake(with().env(name, "-c role=canary"), &expected);
        assert_eq!(program(&["check"]).env(name, "x").run().code, 0, "nobody asks PostgreSQL");
    }
    assert_eq!(with().env("PGSSLMODE", "disable").env("PGHOST", "elsewhere").run().code, 0);
}

#[test]
fn the_password_is_not_printed() {
    let config = "[store]\nregistry = \"postgres\"\n[store.postgres]\nurl = \"postgres://postgres/sidegate\"\n\
                  password = { value = \"canary\" }\n";
    let run = program(&["config", "print"]).config(config).run();
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("password = { value = \"[redacted]\" }") && !run.out.contains("canary"), "{}", run.out);
}
