//! Where settings come from, and that the configurations we ship load.

use secrecy::ExposeSecret as _;
use sidegate::system::new_rsa_pair;

use crate::support::program::{Program, Run, program};

/// An upstream and an app, complete.
const GOOD: &str = r#"
[[upstreams]]
name = "chat"
url = "https://chat.example.com"

[[apps]]
id = "wapp_1"
dialect = "sigmic"
upstream = "chat"
token.key = { value = "signing-key-0123456789abcdef0123456789" }
"#;

fn assert_good(run: &Run) {
    assert_eq!(run.code, 0, "{}", run.err);
}

/// The line of `config print` for a key, within the first section named `heading`.
fn printed(run: &Run, heading: &str, key: &str) -> String {
    assert_good(run);
    let section = run.out.split_once(&format!("[{heading}]\n")).expect("the section").1;
    let line = section.lines().find(|line| line.starts_with(&format!("{key} = ")));
    line.unwrap_or_else(|| panic!("no {key} in {}", run.out)).to_owned()
}

#[test]
fn a_good_configuration_is_said_to_be_good() {
    let run = program(&["check"]).config(GOOD).run();
    assert_good(&run);
    assert_eq!(run.out, "The configuration is good: 1 apps, 1 upstreams.\n");
    assert_eq!(run.err, "");
}

#[test]
fn the_defaults_alone_load() {
    assert_good(&program(&["check"]).run());
}

#[test]
fn config_default_toml_loads() {
    assert_good(&program(&["check"]).config(include_str!("../../config/default.toml")).run());
}

#[test]
fn config_demo_toml_loads() {
    let run = program(&["check"]).config(include_str!("../../config/demo.toml"));
    let run = run.env("DEMO_CHAT_KEY", "chat").env("DEMO_SIGNING_KEY", "signing-key-0123456789abcdef0123456789");
    assert_good(&run.run());
}

#[test]
fn files_are_laid_over_defaults_and_later_files_over_earlier_ones() {
    let run = program(&["config", "print"]).config("[listen]\nworkers = 3\nmax_head = \"16KiB\"");
    let run = run.config("\n\n[listen]\nworkers = 4").run();
    assert_eq!(printed(&run, "listen", "workers"), "workers = 4  # from FILE2:4");
    assert_eq!(printed(&run, "listen", "max_head"), "max_head = \"16KiB\"  # from FILE1:3");
    assert_eq!(printed(&run, "listen", "head_timeout"), "head_timeout = \"15s\"  # from default");
}

#[test]
fn the_environment_is_laid_over_files() {
    let run = program(&["config", "print"]).config("[listen]\nworkers = 3").env("SIDEGATE__LISTEN__WORKERS", "5").run();
    assert_eq!(printed(&run, "listen", "workers"), "workers = 5  # from environment SIDEGATE__LISTEN__WORKERS");
}

#[test]
fn set_is_laid_over_the_environment() {
    let run = program(&["config", "print"]).config("[listen]\nworkers = 3").env("SIDEGATE__LISTEN__WORKERS", "5");
    let run = run.set("listen.workers=6").set("listen.workers=7").run();
    assert_eq!(printed(&run, "listen", "workers"), "workers = 7  # from --set listen.workers=…");
}

#[test]
fn apps_of_several_files_are_all_there() {
    let other = GOOD.split_once("[[apps]]").expect("apps").1.replace("wapp_1", "wapp_2").replace("signing", "another");
    let run = program(&["check"]).config(GOOD).config(&format!("[[apps]]{other}")).run();
    assert_eq!(run.out, "The configuration is good: 2 apps, 1 upstreams.\n");
}

#[test]
fn config_print_needs_no_file() {
    let run = program(&["config", "print"]).run();
    assert_eq!(printed(&run, "listen", "public"), "public = \"0.0.0.0:8080\"  # from default");
}

#[test]
fn config_print_never_shows_a_secret() {
    let config = r#"
[store]
seal_keys = [{ value = "Y2FuYXJ5LXNlYWwta2V5LTAxMjM0NTY3ODlhYmNkZWY" }]

[[upstreams]]
name = "chat"
url = "https://chat.example.com"
headers = { Authorization = "Bearer canary-in-a-header" }
service = { KEY = { value = "canary-service-key" }, OTHER = { env = "OTHER_KEY" } }

[[apps]]
id = "wapp_1"
dialect = "sigmic"
upstream = "chat"
token.key = { value = "canary-signing-key-0123456789abcdef" }
token.retired_keys = [{ value = "canary-retired-key-0123456789abcdef" }]
inject.headers = { X-Key = "canary-in-a-template" }
inject.query = { key = "canary-in-a-query" }
inject.body = { "/key" = "canary-in-a-body" }
"#;
    let run = program(&["config", "print"]).config(config).env("OTHER_KEY", "canary-from-the-environment").run();
    assert_good(&run);
    let shown = format!("{}{}", run.out, run.err);
    assert!(!shown.contains("canary") && !shown.contains("Y2FuYXJ5"), "{shown}");
    assert!(shown.contains("\"[redacted]\"") && shown.contains("OTHER_KEY"), "{shown}");
}

/// A signing key from somewhere; the result of `check`.
fn with_key(source: &str) -> crate::support::program::Program {
    let config = GOOD.replace("{ value = \"signing-key-0123456789abcdef0123456789\" }", source);
    assert!(config.contains(source));
    program(&["check"]).config(&config)
}

#[test]
fn a_secret_may_come_from_the_environment() {
    let run = with_key("{ env = \"KEY\" }");
    assert_good(&run.env("KEY", "signing-key-0123456789abcdef0123456789").run());
}

#[test]
fn a_secret_may_come_from_a_file_and_its_line_end_is_cut() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let source = format!("{{ file = \"{}\" }}", file.path().display());
    // 32 bytes are the least: with one of these cut off as a line end, too few are left.
    for (text, code) in [("0123456789abcdef0123456789abcdef\n", 0), ("0123456789abcdef0123456789abcde\n", 2)] {
        std::fs::write(file.path(), text).expect("written");
        let run = with_key(&source).run();
        assert_eq!(run.code, code, "{}", run.err);
    }
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    let run = with_key("{ env = \"KEY\" }").run();
    assert_eq!(run.code, 2);
    assert_eq!(run.err, "FILE1:10: apps[0].token.key: environment variable \"KEY\" is not set\n");
}

#[test]
fn a_secret_file_that_is_not_there_is_named() {
    let run = with_key("{ file = \"/nowhere/key\" }").run();
    assert_eq!(run.code, 2);
    assert!(run.err.starts_with("FILE1:10: apps[0].token.key: cannot read file /nowhere/key: "), "{}", run.err);
}

#[test]
fn an_empty_secret_is_refused() {
    for run in [with_key("{ value = \"\" }"), with_key("{ env = \"KEY\" }").env("KEY", "")] {
        let run = run.run();
        assert!(run.code == 2 && run.err.contains("is empty"), "{}", run.err);
    }
}

#[test]
fn a_bare_string_is_no_secret_and_is_not_repeated() {
    let run = with_key("\"canary-0123456789abcdef0123456789ab\"").run();
    assert!(run.code == 2 && run.err.contains("apps[0].token.key: must be one of { value"), "{}", run.err);
    assert!(!run.err.contains("canary"), "{}", run.err);
}

/// `config/default.toml` with every commented example key in force.
fn uncommented(cert: &str, key: &str) -> String {
    let is_example = |line: &str| {
        let bare = line.trim_start();
        let name = bare.trim_start_matches('"').split([' ', '"', ']']).next().unwrap_or_default();
        bare.starts_with('[') || (bare.contains(" = ") && name.bytes().all(|byte| byte.is_ascii_graphic()))
    };
    let text = include_str!("../../config/default.toml");
    let body = text.split_once("\n\n").expect("a heading").1;
    let lines = body.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_example(rest)).unwrap_or(line));
    let mut lines: Vec<_> = lines.map(str::to_owned).collect();
    let tls = lines.iter().position(|line| line.starts_with("[listen.private_tls]")).expect("there");
    lines.insert(tls + 1, format!("cert = \"{cert}\"\nkey = \"{key}\"\nclient_ca = \"{cert}\""));
    lines
        .join("\n")
        .replace("/etc/sidegate/tls.crt", cert)
        .replace("/etc/sidegate/tls.key", key)
        .replace("/etc/sidegate/clients.crt", cert)
        .replace("/etc/sidegate/chat-ca.crt", cert)
        .replace("sha256:…", &format!("sha256:{}", "0".repeat(64)))
        .replace("{ file = \"/run/secrets/seal\" }", "{ env = \"SEAL\" }")
        .replace("{ file = \"/etc/sidegate/login.pub\" }", "{ env = \"LOGIN_KEY\" }")
}

#[test]
fn every_commented_example_works_when_it_is_uncommented() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let text = uncommented(&path("cert.pem"), &path("key.pem"));
    let examples: Vec<_> = text.lines().filter(|line| line.starts_with("# ")).collect();
    assert!(examples.is_empty(), "still comments: {examples:?}");
    let run = program(&["check"]).config(&text).env("CHAT_API_KEY", "chat-key");
    let run = run.env("REDIS_PASSWORD", "redis-password").env("POSTGRES_PASSWORD", "postgres-password");
    let run = run.env("SIDEGATE_SIGNING_KEY", "signing-key-0123456789abcdef0123456789");
    let run = run.env("ORCHEO_CHATKIT_TOKEN_SIGNING_KEY", "session-key-0123456789abcdef0123456789");
    let run = run.env("CHATBOTKIT_TOKEN_KEY", "conversation-key-0123456789abcdef0123456789");
    let run = run.env("ORCHEO_SERVICE_TOKEN", "service-token").env("LOGIN_KEY", &made.signing_key.public_key_pem());
    let run = run.env("OPENAI_API_KEY", "sk-0123456789abcdef");
    let run = run.env("CHAT9_SIGNING_SECRET", &"a".repeat(64)).env("CHAT9_FORMER_SECRET", &"b".repeat(64));
    let run = workspace_keys(run).env("TURNSTILE_SECRET", "turnstile-secret");
    let run = run.env("SIDEGATE_BOOTSTRAP_TOKEN", "bootstrap-token-0123456789abcdef0123456789");
    let run = run.env("SEAL", "c2VhbC1rZXktb2YtdGhlLXRlc3RzLTAxMjM0NTY3ODk").run();
    assert_eq!(run.out, "The configuration is good: 7 apps, 2 upstreams.\n", "{}\n{text}", run.err);
}

fn workspace_keys(run: Program) -> Program {
    let [website, platform] = [(); 2].map(|()| new_rsa_pair().expect("a pair"));
    let run = run.env("MITIGATE_WIDGET_KEY", "widget-key-0123456789abcdef0123456789");
    let run = run.env("MITIGATE_SIGNING_PRIVATE_KEY", website.private.expose_secret());
    let run = run.env("MITIGATE_SIGNING_PUBLIC_KEY", website.public.expose_secret());
    let run = run.env("MITIGATE_ENCRYPTION_PRIVATE_KEY", platform.private.expose_secret());
    run.env("MITIGATE_ENCRYPTION_PUBLIC_KEY", platform.public.expose_secret())
}
