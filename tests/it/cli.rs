//! The commands beside `serve`, `check` and `config`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::gate::{APP, Gate, SIGNING_KEY};
use crate::support::jwt;
use crate::support::program::{Run, program};
use crate::support::upstream::Upstream;

const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 it failed, or is not healthy; 2 the command line or the configuration is wrong.";

#[test]
fn help_lists_every_command_and_the_exit_codes() {
    for flag in ["--help", "-h"] {
        let run = program(&[flag]).run();
        assert_eq!(run.code, 0);
        // Help is wrapped to the terminal's width.
        let unwrapped = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unwrapped.contains(EXIT_CODES), "{}", run.out);
        for command in [
            "serve",
            "check",
            "config",
            "demo",
            "app",
            "keys",
            "token",
            "service-token",
            "revoke",
            "store",
            "health",
            "drain",
            "upgrade",
            "reload",
            "version",
        ] {
            let listed = |line: &str| line.trim_start().split(' ').next() == Some(command);
            assert!(run.out.lines().any(listed), "no {command} in {}", run.out);
        }
    }
}

#[test]
fn every_command_has_help_that_says_what_it_is_for() {
    for (command, says) in [
        (&["serve"][..], "Run the gate"),
        (&["check"], "Check the configuration without starting"),
        (&["config", "print"], "secrets redacted"),
        (&["demo"], "--any-port"),
        (&["app", "new-secret"], "new app secret"),
        (&["app", "create"], "--from"),
        (&["app", "list"], "never secrets"),
        (&["app", "show"], "Show one app"),
        (&["app", "update"], "--single-use"),
        (&["app", "disable"], "on every replica"),
        (&["app", "enable"], "again"),
        (&["app", "rotate-secret"], "--overlap"),
        (&["app", "rotate-key"], "--drop-retired"),
        (&["keys", "generate"], "256 bits"),
        (&["token", "inspect"], "standard input"),
        (&["service-token", "create"], "--scope"),
        (&["service-token", "rotate"], "--overlap"),
        (&["revoke"], "--end-user"),
        (&["store"], "backups"),
        (&["store", "rekey"], "while gates go on"),
        (&["store", "export"], "stay sealed"),
        (&["store", "import"], "replace nothing"),
        (&["health"], "HEALTHCHECK"),
        (&["drain"], "--no-wait"),
        (&["upgrade"], "--control"),
        (&["reload"], "every mistake"),
        (&["serve"], "--upgrade"),
        (&["version"], "version"),
    ] {
        let run = program(&[command, &["--help"]].concat()).run();
        assert_eq!(run.code, 0, "{command:?}");
        assert!(run.out.contains(says), "{command:?}: {}", run.out);
    }
}

#[test]
fn the_version_is_the_packages() {
    for args in [&["version"], &["--version"], &["-V"]] {
        let run = program(args).run();
        assert_eq!((run.code, run.out), (0, format!("sidegate {}\n", env!("CARGO_PKG_VERSION"))));
    }
}

#[test]
fn usage_errors_exit_with_2_and_print_to_standard_error() {
    for args in [
        &[][..],
        &["fly"],
        &["serve", "--fast"],
        &["check", "-c"],
        &["keys", "generate", "rot13"],
        &["keys", "generate", "--algorithm", "PS256"],
        &["keys", "generate", "seal", "--algorithm", "RS256"],
        &["health", "--ops", "nowhere"],
        &["token", "inspect"],
        &["revoke"],
        &["revoke", "--jti", "x"],
        &["revoke", "--app", "a", "--all"],
        &["revoke", "--app", "a", "--jti", "x", "--end-user", "u"],
        &["service-token", "create"],
        &["service-token", "create", "--scope", "admin:everything"],
        &["service-token", "rotate", "x", "--overlap", "soon"],
        &["service-token", "show", "no spaces"],
        &["app"],
        &["app", "create", "--id", "no spaces"],
        &["app", "create", "--single-use=maybe"],
        &["app", "show"],
        &["app", "rotate-secret", "x", "--overlap", "soon"],
        &["store"],
        &["store", "export", "--force"],
        &["store", "import"],
    ] {
        let run = program(args).run();
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{args:?}");
        assert!(run.err.contains("Usage:") || run.err.contains("--help"), "{args:?}: {}", run.err);
    }
}

/// The value of a line `name  value`.
fn field<'a>(run: &'a Run, name: &str) -> &'a str {
    let line = run.out.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    line.trim()
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[test]
fn a_new_secret_is_wsec_and_256_random_bits() {
    let (one, other) = (program(&["app", "new-secret"]).run(), program(&["app", "new-secret"]).run());
    assert_eq!(one.code, 0);
    let digits = field(&one, "secret").strip_prefix("wsec_").expect("wsec_");
    assert!(digits.len() == 64 && is_lower_hex(digits), "{}", one.out);
    assert_ne!(field(&one, "secret"), field(&other, "secret"));
}

#[test]
fn the_digest_of_a_new_secret_is_what_sha256sum_says() {
    let run = program(&["app", "new-secret"]).run();
    let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    sum.stdin.take().expect("piped").write_all(field(&run, "secret").as_bytes()).expect("written");
    let sum = String::from_utf8(sum.wait_with_output().expect("it ends").stdout).expect("UTF-8");
    let digits = sum.split(' ').next().expect("a digest");
    assert_eq!(field(&run, "digest"), format!("sha256:{digits}"));
}

#[test]
fn a_generated_key_is_32_bytes_in_base64url_and_no_two_are_alike() {
    let mut keys = std::collections::BTreeSet::new();
    for kind in [&[][..], &["hs256"], &["seal"], &["--algorithm", "HS256"]] {
        let run = program(&[&["keys", "generate"], kind].concat()).run();
        let key = run.out.strip_suffix('\n').expect("one line").to_owned();
        assert_eq!((run.code, key.len()), (0, 43), "{key}");
        assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{key}");
        keys.insert(key);
    }
    assert_eq!(keys.len(), 4);
}

#[test]
fn generated_keys_are_taken_where_they_belong() {
    let key = |kind: &str| program(&["keys", "generate", kind]).run().out.trim().to_owned();
    let config = app_config().replace(SIGNING_KEY, &key("hs256"));
    let run = program(&["check"]).config(&config).set(&format!("store.seal_keys=[{{ value = \"{}\" }}]", key("seal")));
    let run = run.run();
    assert_eq!(run.code, 0, "{}", run.err);
}

fn app_config() -> String {
    format!(
        r#"
[[upstreams]]
name = "chat"
url = "https://chat.example.com"
[[apps]]
id = "{APP}"
dialect = "sigmic"
upstream = "chat"
token.key = {{ value = "{SIGNING_KEY}" }}
"#
    )
}

/// What `token inspect` reports with the app's configuration.
fn inspect(token: &str) -> Value {
    let run = program(&["token", "inspect", token]).config(&app_config()).run();
    assert_eq!(run.code, 0, "{}", run.err);
    serde_json::from_str(&run.out).expect("JSON")
}

#[test]
fn inspect_shows_a_tokens_claims_and_times() {
    let claims = json!({
        "appId": APP, "sub": "user-1", "allowedOrigins": [], "iat": 1_769_857_200, "exp": 1_769_860_800,
    });
    let run = program(&["token", "inspect", &jwt::sign(&claims, SIGNING_KEY)]).run();
    let report: Value = serde_json::from_str(&run.out).expect("JSON");
    let expected = json!({
        "claims": claims,
        "issued": "2026-01-31T11:00:00.000Z",
        "expires": "2026-01-31T12:00:00.000Z",
        "accepted": "not checked: give --config to check it with its app's keys",
    });
    assert_eq!(report, expected);
}

#[test]
fn inspect_accepts_a_token_of_a_configured_app() {
    assert_eq!(inspect(&jwt::sign(&jwt::claims_ending_in(60), SIGNING_KEY))["accepted"], true);
}

#[test]
fn inspect_says_that_a_token_has_expired() {
    let report = inspect(&jwt::sign(&jwt::claims_ending_in(-60), SIGNING_KEY));
    assert_eq!(report["accepted"], "no: The token has expired");
}

#[test]
fn inspect_says_that_a_token_is_forged() {
    let report = inspect(&jwt::sign(&jwt::claims_ending_in(60), "another-key-0123456789abcdef0123456789"));
    assert_eq!(report["accepted"], "no: The token is invalid or has expired");
    assert_eq!(report["claims"]["sub"], "user-1");
}

#[test]
fn inspect_says_no_to_a_token_of_an_unknown_app() {
    let mut claims = jwt::claims_ending_in(60);
    claims["appId"] = "wapp_unknown".into();
    assert_eq!(inspect(&jwt::sign(&claims, SIGNING_KEY))["accepted"], "no: The token is invalid or has expired");
}

#[test]
fn inspect_reads_a_token_from_standard_input() {
    let token = jwt::sign(&jwt::claims_ending_in(60), SIGNING_KEY);
    let run = program(&["token", "inspect", "-"]).config(&app_config()).input(&format!("{token}\n")).run();
    let report: Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!(report["accepted"], true);
}

#[test]
fn inspect_fails_for_what_is_no_token_and_does_not_repeat_it() {
    for text in ["canary", "canary.canary.canary", "", "eyJhbGciOiJub25lIn0.e30."] {
        let run = program(&["token", "inspect", "-"]).input(text).run();
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{text}");
        assert!(run.err.contains("no widget token") && !run.err.contains("canary"), "{}", run.err);
    }
}

#[tokio::test]
async fn health_is_0_for_a_running_gate() {
    let gate = Gate::start(&Upstream::start().await).await;
    let run = program(&["health", "--ops", &gate.ops.to_string()]).run();
    assert_eq!((run.code, run.out.as_str()), (0, "ready\n"), "{}", run.err);
}

#[tokio::test]
async fn health_finds_the_address_in_the_configuration() {
    let gate = Gate::start(&Upstream::start().await).await;
    for host in ["127.0.0.1", "0.0.0.0"] {
        let config = format!("[listen]\nops = \"{host}:{}\"", gate.ops.port());
        let run = program(&["health"]).config(&config).run();
        assert_eq!(run.code, 0, "{}", run.err);
    }
}

#[tokio::test]
async fn health_is_1_for_a_stopped_gate() {
    let nowhere = Upstream::nowhere().await;
    let run = program(&["health", "--ops", &nowhere.to_string()]).run();
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(run.err.starts_with(&format!("sidegate: no answer from {nowhere}: ")), "{}", run.err);
}

#[test]
fn health_is_1_for_a_gate_that_does_not_answer() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = silent.local_addr().expect("an address");
    let run = program(&["health", "--ops", &address.to_string()]).run();
    assert_eq!((run.code, run.err), (1, format!("sidegate: no answer from {address}: timed out\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_1_for_what_is_no_gate() {
    let upstream = Upstream::start().await;
    let run = program(&["health", "--ops", &upstream.address().to_string()]).run();
    assert_eq!((run.code, run.err.as_str()), (1, "sidegate: not ready: status 404\n"));
}

#[test]
fn the_store_in_memory_cannot_be_reached_from_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("backup").display().to_string();
    for command in [&["store", "rekey"][..], &["store", "export", "--out", &out], &["store", "import", "/nowhere"]] {
        let run = program(command).set("store.state=memory").run();
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{command:?}");
        assert!(run.err.starts_with("store.state: \"memory\" lives in the running gate"), "{}", run.err);
    }
    assert!(!folder.path().join("backup").exists());
}
