//! `sidegate check` names every mistake at once, each with its place and what was probably meant.

use crate::support::program::{Program, program};

const UPSTREAM: &str = r#"
[[upstreams]]
name = "chat"
url = "https://chat.example.com"
service = { KEY = { value = "service-key" } }
"#;

/// An app with these lines; line 7 is `[[apps]]`, line 12 the first of them.
fn with_app(lines: &str) -> Program {
    let app = format!(
        r#"
[[apps]]
id = "wapp_1"
dialect = "sigmic"
upstream = "chat"
token.key = {{ value = "signing-key-0123456789abcdef0123456789" }}
{lines}
"#
    );
    program(&["check"]).config(&format!("{UPSTREAM}{app}"))
}

/// Fails unless `check` refuses, with exactly these lines.
fn assert_mistakes(check: Program, expected: &[&str]) {
    let run = check.run();
    let lines: Vec<_> = run.err.lines().collect();
    assert_eq!(lines, expected);
    assert_eq!((run.code, run.out.as_str()), (2, ""));
}

const TRADING: &str = r#"
[[apps]]
id = "a"
dialect = "orcheo"
authority = "upstream"
vendor = "acme"
upstream = "chat"
hosts = ["shop.example.com:8080"]
workflows = [{ id = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1" }]
token.ttl = "5m"
trade = { credential = { value = "with a space" }, timeout = "soon" }
authorize = { kind = "request", upstream = "shop", path = "whoami?x", cookie = "a b" }

[[apps]]
id = "b"
dialect = "orcheo"
upstream = "chat"
trade = {}
workflows = [{ id = "1b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1", require_login = true }]
token.key = { value = "signing-key-0123456789abcdef0123456789" }
allow_missing_origin = true
authorize = { kind = "secret", header = "X-A", cookie = "a", secret_digests = [] }

[[apps]]
id = "c"
dialect = "orcheo"
upstream = "chat"
workflows = [{ id = "2b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1" }]
origins = ["*"]
token.key = { value = "signing-key-0123456789abcdef0123456789" }
authorize = { kind = "jwt", cookie = "login", algorithm = "HS256", keys = [{ value = "signing-key-0123456789abcdef0123456789" }, { value = "short" }] }

[[apps]]
id = "d"
dialect = "sigmic"
upstream = "chat"
authority = "upstream"
trade = {}
authorize = { kind = "anonymous" }

[[apps]]
id = "e"
dialect = "orcheo"
upstream = "chat"
workflows = [{ id = "3b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1", published = true, require_login = true }]
token.key = { value = "signing-key-0123456789abcdef0123456789" }
"#;

#[test]
fn mistakes_about_who_makes_tokens_and_who_gets_one() {
    let check = program(&["check"]).config(&format!("{UPSTREAM}{TRADING}"));
    assert_mistakes(
        check,
        &[
            "FILE1:11: apps[0].vendor: must be one of \"orcheo\", \"openai\"",
            "FILE1:13: apps[0].hosts[0]: must be a host name without a port",
            "FILE1:15: apps[0].token: is for authority = \"local\": the upstream makes the tokens",
            "FILE1:16: apps[0].trade.credential: must be a token as it stands behind `Bearer`: letters, digits and punctuation, no spaces",
            "FILE1:16: apps[0].trade.timeout: must be a duration such as \"30s\" (units ms, s, m, h, d), above zero and at most 36500d",
            "FILE1:17: apps[0].authorize.cookie: must be the name of a cookie",
            "FILE1:17: apps[0].authorize.path: must be a path that begins with `/`, without a query",
            "FILE1:17: apps[0].authorize.upstream: is not the name of one of the [[upstreams]]",
            "FILE1:23: apps[1].trade: is for authority = \"upstream\"",
            "FILE1:24: apps[1].workflows[0].require_login: is for a workflow with published = true: without a token",
            "FILE1:27: apps[1].authorize.cookie: must not stand beside `header`: it is in the one or the other",
            "FILE1:27: apps[1].authorize.secret_digests: must be one digest, or two during a rotation",
            "FILE1:34: apps[2].origins: must be listed one by one, without wildcards and null, where cookies decide who a visitor is",
            "FILE1:36: apps[2].authorize.keys: entry 2: must be at least 32 bytes long (RFC 7518 section 3.2); `sidegate keys generate` makes one",
            "FILE1:36: apps[2].authorize.keys: the same key also serves upstream chat; give each its own",
            "FILE1:42: apps[3].authority: \"upstream\" is for dialects \"orcheo\" and \"chatbotkit\"",
            "FILE1:43: apps[3].trade.credential: is required",
            "FILE1:44: apps[3].authorize: is for dialect \"orcheo\"",
            "FILE1:46: apps[4].authorize: must say who a visitor is: a workflow has require_login",
        ],
    );
}

const PUBLISHING: &str = r#"
[[apps]]
id = "a"
dialect = "orcheo"
upstream = "chat"
origins = ["https://*.shop.example.com", "null"]
workflows = [{ id = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1", published = true, require_login = true }]
token = { key = { value = "signing-key-0123456789abcdef0123456789" }, single_use = true }
pass = ["token", "cookies"]
limits.authorize = "1/s per end_user"
authorize = { kind = "secret", cookie = "a", secret_digests = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"], end_user_header = "Cookie" }

[[apps]]
id = "b"
dialect = "orcheo"
upstream = "chat"
workflows = [{ id = "1b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1", published = true, require_login = true }]
token.key = { value = "signing-key-0123456789abcdef0123456789" }
authorize = { kind = "jwt", algorithm = "HS256", keys = [{ value = "login-key-0123456789abcdef0123456789" }] }

[[apps]]
id = "c"
dialect = "orcheo"
authority = "upstream"
vendor = "openai"
upstream = "chat"
trade.credential = { value = "sk-1" }
workflows = [{ id = "wf_1", published = true }]
"#;

#[test]
fn mistakes_about_what_is_published() {
    let check = program(&["check"]).config(&format!("{UPSTREAM}{PUBLISHING}"));
    assert_mistakes(
        check,
        &[
            "FILE1:11: apps[0].origins: must be listed one by one, without wildcards and null, where cookies decide who a visitor is",
            "FILE1:13: apps[0].token: single_use is for apps without published workflows, which need no token",
            "FILE1:14: apps[0].pass: must not have \"cookies\" where a workflow is published: the upstream would take them for a login",
            "FILE1:15: apps[0].limits.authorize: may be per address or per app: who the visitor is, is not known yet",
            "FILE1:16: apps[0].authorize: must say who a visitor is: a workflow has require_login",
            "FILE1:16: apps[0].authorize.end_user_header: must not be a field that browsers or connections use themselves; for a cookie there is `cookie`",
            "FILE1:24: apps[1].authorize: must not look at Authorization: a workflow has require_login, and there a token stands in it",
            "FILE1:33: apps[2].workflows: are published at OpenAI itself; the gate does not stand before its chats",
        ],
    );
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let config = r#"
[listen]
publik = "0.0.0.0:80"
workers = -1

[log]
level = "chatty"

[[apps]]
id = "no spaces please"
dialect = "sigmik"
upstream = "chat"
orgins = ["https://shop.example.com"]

[reload]
watch = "always"
"#;
    assert_mistakes(
        program(&["check"]).config(config),
        &[
            "FILE1:3: listen.publik: unknown key; did you mean \"public\"?",
            "FILE1:4: listen.workers: must be an integer from 0 to 1024",
            "FILE1:7: log.level: must be one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
            "FILE1:10: apps[0].id: must be 1 to 64 letters, digits, '_' or '-'",
            "FILE1:11: apps[0].dialect: must be one of \"sigmic\", \"orcheo\", \"chat9\", \"mitigate\", \"chatbotkit\"; did you mean \"sigmic\"?",
            "FILE1:12: apps[0].upstream: is not the name of one of the [[upstreams]]",
            "FILE1:13: apps[0].orgins: unknown key; did you mean \"origins\"?",
            "FILE1:16: reload.watch: must be true or false",
        ],
    );
}

#[test]
fn mistakes_name_the_file_the_variable_or_the_flag() {
    let check = program(&["check"]).config("[listen]\nworkers = \"x\"").config("[cors]\nmax_age = 3");
    let check = check.env("SIDEGATE__LISTEN__MAX_HEAD", "1").set("listen.publik=1");
    let run = check.run();
    assert_eq!(run.code, 2);
    for place in [
        "FILE1:2: listen.workers: ",
        "FILE2:2: cors.max_age: ",
        "environment SIDEGATE__LISTEN__MAX_HEAD: ",
        "--set listen.publik=…: ",
    ] {
        assert!(run.err.lines().any(|line| line.starts_with(place)), "no {place} in {}", run.err);
    }
}

#[test]
fn a_file_that_is_no_toml_is_named_with_the_line() {
    let run = program(&["check"]).config("[listen]\nworkers = = 1\n").run();
    assert!(run.code == 2 && run.err.starts_with("FILE1:2: "), "{}", run.err);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let run = program(&["check", "-c", "/nowhere/sidegate.toml"]).run();
    assert!(run.code == 2 && run.err.starts_with("/nowhere/sidegate.toml: cannot be read: "), "{}", run.err);
}

#[test]
fn unknown_keys_are_found_in_every_table() {
    let run =
        with_app("[apps.limits]\nexchanges = \"1/s\"\n[apps.inject]\nheader = {}\n[apps.token2]\n[surprise]").run();
    for key in ["apps[0].limits.exchanges: ", "apps[0].inject.header: ", "apps[0].token2: ", "surprise: "] {
        assert!(run.err.lines().any(|line| line.contains(&format!("{key}unknown key"))), "no {key} in {}", run.err);
    }
}

#[test]
fn mistakes_about_streams_are_refused() {
    let upstream = "keep_alive = 0\non_disconnect = \"stay\"\ngrace = \"0s\"\n";
    let app = "dialect = \"sigmic\"\nupstream = \"chat\"\n\
               leash = { stream = \"500ms\", messages = 0, bytes = 0, streams_per_token = -1, streams = 1 }";
    let config =
        format!("[[upstreams]]\nname = \"chat\"\nurl = \"https://c.example\"\n{upstream}[[apps]]\nid = \"a\"\n{app}\n");
    let count = "must be an integer from 1 to 1000000000";
    let span = "must be a duration such as";
    let run = program(&["check"]).config(&config).run();
    for expected in [
        format!("FILE1:4: upstreams[0].keep_alive: {span}"),
        "FILE1:5: upstreams[0].on_disconnect: must be one of".to_owned(),
        format!("FILE1:6: upstreams[0].grace: {span}"),
        "FILE1:11: apps[0].leash.stream: must be 1s or more".to_owned(),
        format!("FILE1:11: apps[0].leash.messages: {count}"),
        "FILE1:11: apps[0].leash.bytes: must be above zero".to_owned(),
        format!("FILE1:11: apps[0].leash.streams_per_token: {count}"),
        "FILE1:11: apps[0].leash.streams: unknown key".to_owned(),
    ] {
        assert!(run.err.lines().any(|line| line.starts_with(&expected)), "no {expected} in {}", run.err);
    }
    assert_eq!((run.code, run.out.as_str()), (2, ""));
}

#[test]
fn bad_origins_are_refused() {
    for bad in ["shop.example.com", "https://shop.example.com/", "ftp://a.example", "https://*.com", "NULL", ""] {
        let run = with_app(&format!("origins = [\"https://ok.example\", \"{bad}\"]")).run();
        assert!(run.code == 2 && run.err.starts_with("FILE1:12: apps[0].origins: entry 2: "), "{bad}: {}", run.err);
    }
}

#[test]
fn more_origins_than_a_token_can_carry_are_refused() {
    let origins = |count: usize| {
        let list = (0..count).map(|index| format!("\"https://{index:0>4}.shop.example\"")).collect::<Vec<_>>();
        with_app(&format!("origins = [{}]", list.join(", ")))
    };
    let fits = 4_096 / "\"https://0000.shop.example\",".len();
    assert_eq!(origins(fits).run().code, 0);
    let expected = "longer than a token can carry: 4096 bytes, with 3 more for each origin";
    assert_mistakes(origins(fits + 1), &[&format!("FILE1:12: apps[0].origins: is {expected}")]);
}

#[test]
fn an_unknown_placeholder_is_refused() {
    for bad in ["{{user.NAME}}", "{{env}}", "{{env.A-B}}", "{{claims.email}}", "{{env.A", "{{}}"] {
        let run = with_app(&format!("inject.headers = {{ X-A = \"{bad}\" }}")).run();
        let place = "FILE1:12: apps[0].inject.headers.X-A: ";
        assert!(run.code == 2 && run.err.contains(place), "{bad}: {}", run.err);
    }
}

#[test]
fn a_bad_template_is_found_where_it_stands() {
    let lines = "[apps.inject]\nquery = { q = \"{{env.A\" }\n[apps.inject.headers]\nX-A = \"ok\"\nX-B = \"{{env.A\"\n\
                 [apps.inject.body]\n\"/a\" = [\n  \"{{env.A\",\n]";
    let fault = "a placeholder `{{` is not closed by `}}`";
    assert_mistakes(
        with_app(lines),
        &[
            &format!("FILE1:13: apps[0].inject.query.q: {fault}"),
            &format!("FILE1:16: apps[0].inject.headers.X-B: {fault}"),
            &format!("FILE1:18: apps[0].inject.body.\"/a\": {fault}"),
        ],
    );
}

#[test]
fn a_service_value_that_the_upstream_does_not_have_is_refused() {
    let run = with_app("inject.headers = { X-A = \"{{service.OTHER}}\" }").run();
    assert!(run.err.contains("`{{service.OTHER}}` is not among the upstream's `service` values"), "{}", run.err);
    assert_eq!(with_app("inject.headers = { X-A = \"{{service.KEY}}\" }").run().code, 0);
}

#[test]
fn a_tokens_value_in_an_upstreams_own_header_is_refused() {
    let config = "[[upstreams]]\nname = \"chat\"\nurl = \"https://a.example\"\nheaders = { X-A = \"{{env.A}}\" }";
    let run = program(&["check"]).config(config).run();
    assert!(run.code == 2 && run.err.contains("only `{{service.X}}` is known here"), "{}", run.err);
}

#[test]
fn a_placeholder_in_a_urls_host_needs_allowed_hosts() {
    let body = "inject.body = { \"/url\" = \"https://{{env.HOST}}/mcp\" }";
    let run = with_app(body).run();
    assert!(run.code == 2 && run.err.contains("allowed_hosts"), "{}", run.err);
    let allowed = with_app(&format!("{body}\ninject.allowed_hosts = [\"mcp.example.com\"]")).run();
    assert_eq!(allowed.code, 0, "{}", allowed.err);
}

#[test]
fn a_header_that_frames_the_message_cannot_be_injected() {
    for name in ["Host", "Content-Length", "transfer-encoding", "Connection", "Upgrade"] {
        let run = with_app(&format!("inject.headers = {{ {name} = \"x\" }}")).run();
        assert!(run.code == 2 && run.err.contains("cannot be injected"), "{name}: {}", run.err);
    }
}

#[test]
fn a_default_lifetime_beyond_the_longest_is_refused() {
    assert_mistakes(
        with_app("token.ttl = \"2h\"\ntoken.max_ttl = \"1h\""),
        &["FILE1:12: apps[0].token.ttl: must not be longer than max_ttl"],
    );
}

#[test]
fn one_key_for_two_apps_is_refused() {
    let other = r#"
[[apps]]
id = "wapp_2"
dialect = "sigmic"
upstream = "chat"
token.key = { value = "signing-key-0123456789abcdef0123456789" }
"#;
    let expected = "apps[1].token.key: the same key also serves app wapp_1; give each its own";
    assert_mistakes(with_app(other), &[&format!("FILE1:17: {expected}")]);
}

#[test]
fn a_signing_key_as_a_seal_key_is_refused() {
    let key = "c2VhbC1rZXktb2YtdGhlLXRlc3RzLTAxMjM0NTY3ODk";
    let check = with_app(&format!("token.retired_keys = [{{ value = \"{key}\" }}]"));
    let run = check.set(&format!("store.seal_keys=[{{ value = \"{key}\" }}]")).run();
    assert!(run.code == 2 && run.err.contains("the same key also serves as a seal key"), "{}", run.err);
    assert!(!run.err.contains(key));
}

#[test]
fn seal_keys_that_cannot_be_told_apart_are_refused() {
    let keys = |second: &str| {
        let first = "dHdvIHNlYWwga2V5cyB3aXRoIG9uZSBpZCAwMjQ3NTY";
        program(&["check"])
            .config(&format!("[store]\nseal_keys = [\n  {{ value = \"{first}\" }},\n  {{ value = \"{second}\" }},\n]"))
    };
    for (second, fault) in [
        ("dHdvIHNlYWwga2V5cyB3aXRoIG9uZSBpZCAwMjQ3NTY", "the same key also serves as a seal key; give each its own"),
        ("dHdvIHNlYWwga2V5cyB3aXRoIG9uZSBpZCAwNzQ0NDE", "has the id of another key; generate a new one"),
        ("canary", "must be 32 bytes in base64url (43 characters), as `sidegate keys generate seal` prints"),
    ] {
        assert_mistakes(keys(second), &[&format!("FILE1:2: store.seal_keys: entry 2: {fault}")]);
    }
    assert_eq!(keys("c2VhbC1rZXktb2YtdGhlLXRlc3RzLTAxMjM0NTY3ODk").run().code, 0);
}

#[test]
fn one_seal_key_by_the_name_of_before_is_refused() {
    let key = "c2VhbC1rZXktb2YtdGhlLXRlc3RzLTAxMjM0NTY3ODk";
    let check = program(&["check"]).config(&format!("[store]\nseal_key = {{ value = \"{key}\" }}"));
    assert_mistakes(check, &["FILE1:2: store.seal_key: unknown key; did you mean \"seal_keys\"?"]);
    let check = program(&["check"]).config(&format!("[store]\nseal_keys = {{ value = \"{key}\" }}"));
    assert_mistakes(check, &["FILE1:2: store.seal_keys: must be an array"]);
}

#[test]
fn a_short_signing_key_is_refused_and_not_repeated() {
    let check = with_app("").set("log.level=info");
    assert_eq!(check.run().code, 0);
    let run = with_app("token.retired_keys = [{ value = \"canary\" }]").run();
    assert!(run.code == 2 && run.err.contains("at least 32 bytes") && !run.err.contains("canary"), "{}", run.err);
}

#[test]
fn a_private_listener_beyond_loopback_needs_mutual_tls() {
    let expected = "FILE1:1: listen.private: beyond loopback needs `listen.private_tls` with `client_ca`";
    assert_mistakes(program(&["check"]).config("listen.private = \"0.0.0.0:8081\""), &[expected]);
    let run = program(&["check"]).config("listen.private = \"[::1]:8081\"").run();
    assert_eq!(run.code, 0, "{}", run.err);
}

#[test]
fn scoping_by_the_upstream_needs_a_header_that_names_the_end_user() {
    let scoping = "scoping = \"upstream\"";
    let run = with_app(scoping).run();
    assert!(run.code == 2 && run.err.starts_with("FILE1:12: apps[0].scoping: "), "{}", run.err);
    assert!(run.err.contains("{{claims.sub}}"), "{}", run.err);
    let named = with_app(&format!("{scoping}\ninject.headers = {{ X-User = \"{{{{claims.sub}}}}\" }}")).run();
    assert_eq!(named.code, 0, "{}", named.err);
}

#[test]
fn two_apps_or_upstreams_of_one_name_are_refused() {
    let app = "[[apps]]\nid = \"wapp_1\"\ndialect = \"sigmic\"\nupstream = \"chat\"\n";
    let run = program(&["check"]).config(&format!("{UPSTREAM}{UPSTREAM}{app}{app}")).run();
    assert!(run.code == 2, "{}", run.err);
    for expected in ["apps: `wapp_1` stands there twice", "upstreams: `chat` stands there twice"] {
        assert!(run.err.contains(expected), "no {expected} in {}", run.err);
    }
}

#[test]
fn a_secret_digest_of_another_form_is_refused() {
    for bad in ["[]", "[\"sha256:00\"]", "[\"wsec_canary\"]"] {
        let run = with_app(&format!("secret_digests = {bad}")).run();
        assert!(run.code == 2 && run.err.starts_with("FILE1:12: apps[0].secret_digests"), "{bad}: {}", run.err);
        assert!(!run.err.contains("canary"), "{}", run.err);
    }
}

#[test]
fn bad_rates_sizes_and_spans_are_refused() {
    for (lines, place) in [
        ("limits.chat = \"0/s\"", "apps[0].limits.chat: "),
        ("limits.exchange = \"5 per second\"", "apps[0].limits.exchange: "),
        ("limits.chat = [\"1/s\", \"often\"]", "apps[0].limits.chat[1]: must be COUNT/s"),
        ("limits.chat = [\"1/s\", \"5/h per app\"]", "apps[0].limits.chat: two of the rates count by the same key"),
        ("limits.chat = 5", "apps[0].limits.chat: must be a string"),
        ("limits.chat = [\"1/s per workflow\"]", "apps[0].limits.chat: `per workflow` is for dialect \"orcheo\""),
        ("limits.exchange = \"1/s per workflow\"", "apps[0].limits.exchange: `per workflow` is for dialect"),
        (
            "limits.exchange = \"1/s per session\"",
            "apps[0].limits.exchange: cannot be `per session`: these requests have none",
        ),
        (
            "limits.exchange = \"1/s per route\"",
            "apps[0].limits.exchange: cannot be `per route`: only `chat` is for several",
        ),
        ("limits.publish = \"1/s\"", "apps[0].limits.publish: is for dialect \"orcheo\""),
        ("limits.upload = \"1MiB\"", "apps[0].limits.upload: is for dialect \"orcheo\""),
        ("token.ttl = \"1w\"", "apps[0].token.ttl: "),
        ("token.max_ttl = \"0s\"", "apps[0].token.max_ttl: "),
        ("[limits]\njson_body = \"1 fortnight\"", "limits.json_body: "),
        ("[listen]\nhead_timeout = \"soon\"", "listen.head_timeout: "),
        ("[listen]\nmax_requests = 0", "listen.max_requests: "),
        ("[listen]\nmax_lag = \"late\"", "listen.max_lag: "),
        ("[listen]\nmax_lag = \"1ms\"", "listen.max_lag: must be 0s, which is never, or 10ms or more"),
        ("[listen]\nmax_head = \"1KiB\"", "listen.max_head: must be from 8KiB to 1MiB"),
        ("[listen]\npublic = \"nowhere\"", "listen.public: "),
        ("[listen]\ncontrol = \"/run/sidegate/\"", "listen.control: must name a file"),
        (&format!("[listen]\ncontrol = \"/{}\"", "x".repeat(90)), "listen.control: must be a path of at most 90 bytes"),
        ("[listen]\ncontrol = 7", "listen.control: must be a string"),
        ("[listen]\ntrusted_proxies = [\"10.0.0.0/33\"]", "listen.trusted_proxies"),
        ("[listen]\npublic_url = \"https://a.example/path\"", "listen.public_url: "),
        ("[listen.tls]\ncert = \"a\"", "listen.tls.key: "),
    ] {
        let run = with_app(lines).run();
        assert!(run.code == 2 && run.err.contains(place), "{lines}: {}", run.err);
    }
}

/// Lines of an upstream, and what is said of them.
fn assert_upstream_mistakes(rows: &[(&str, &str)]) {
    for (lines, place) in rows {
        let run = program(&["check"]).config(&format!("[[upstreams]]\nname = \"chat\"\n{lines}\n")).run();
        assert!(run.code == 2 && run.err.contains(place), "{lines}: {}", run.err);
    }
}

#[test]
fn addresses_of_an_upstream_that_do_not_belong_together_are_refused() {
    let many: Vec<_> = (0..65).map(|port| format!("http://a:{}", port + 1)).collect();
    assert_upstream_mistakes(&[
        ("", "upstreams[0].url: is required"),
        ("urls = []", "upstreams[0].urls: must not be empty"),
        ("urls = [\"http://a\"]\nurl = \"http://b\"", "upstreams[0].url: and `urls` cannot both be given"),
        ("urls = [\"http://a\", \"b\"]", "upstreams[0].urls[1]: must be http:// or https://"),
        ("urls = [\"http://a\", \"https://a\"]", "upstreams[0].urls: must all have the same scheme and path"),
        ("urls = [\"http://a/v1\", \"http://b/v2\"]", "upstreams[0].urls: must all have the same scheme and path"),
        ("urls = [\"http://a\", \"http://a/\"]", "upstreams[0].urls: must not have an address twice"),
        (&format!("urls = {many:?}"), "upstreams[0].urls: must not be more than 64"),
    ]);
}

#[test]
fn a_circuit_that_makes_no_sense_is_refused() {
    assert_upstream_mistakes(&[
        ("url = \"http://a\"\ncircuit.failures = -1", "upstreams[0].circuit.failures: "),
        ("url = \"http://a\"\ncircuit.wait = \"2m\"", "upstreams[0].circuit.longest: must not be shorter than `wait`"),
        ("url = \"http://a\"\ncircuit.waits = \"1s\"", "upstreams[0].circuit.waits: "),
    ]);
}

#[test]
fn checks_of_an_upstream_need_a_path() {
    assert_upstream_mistakes(&[
        ("url = \"http://a\"\nhealth = {}", "upstreams[0].health.path: is required"),
        (
            "url = \"http://a\"\nhealth.path = \"healthz\"",
            "upstreams[0].health.path: must be a path such as \"/healthz\"",
        ),
        ("url = \"http://a\"\nhealth.path = \"/healthz?x\"", "upstreams[0].health.path: must be a path"),
        ("url = \"http://a\"\nhealth = { path = \"/\", healthy = 0 }", "upstreams[0].health.healthy: "),
    ]);
}

#[test]
fn assets_need_room_and_a_base_url() {
    const SHAPE: &str = "must be http:// or https://, a host, and a port and a path if need be; no query";
    let config =
        "[assets]\nenabled = 1\nbase_url = \"cdn.example\"\nmemory = \"1MiB\"\nmax_asset = \"513KiB\"\nsize = 1";
    assert_mistakes(
        program(&["check"]).config(config),
        &[
            "FILE1:2: assets.enabled: must be true or false",
            &format!("FILE1:3: assets.base_url: {SHAPE}"),
            "FILE1:5: assets.max_asset: must not be larger than half of assets.memory",
            "FILE1:6: assets.size: unknown key",
        ],
    );
    let run = program(&["check"]).env("ORCHEO_CHATKIT_CDN_BASE_URL", "https://cdn.example/?canary").run();
    assert!(run.err.contains(&format!("assets.base_url: ORCHEO_CHATKIT_CDN_BASE_URL {SHAPE}")), "{}", run.err);
    assert!(run.code == 2 && !run.err.contains("canary"), "{}", run.err);
}

#[test]
fn certificates_that_are_not_there_are_found_by_check() {
    let run = program(&["check"]).config("[listen.tls]\ncert = \"/nowhere/a.crt\"\nkey = \"/nowhere/a.key\"").run();
    assert!(run.code == 2 && run.err.contains("/nowhere/a.crt"), "{}", run.err);
}

#[test]
fn serve_refuses_a_wrong_configuration_as_check_does() {
    let run = program(&["serve"]).config("[listen]\npublik = 1").run();
    assert_eq!((run.code, run.err.as_str()), (2, "FILE1:2: listen.publik: unknown key; did you mean \"public\"?\n"));
}

#[test]
fn a_workspace_is_for_apps_of_orcheo() {
    assert_mistakes(with_app("workspace = \"acme\""), &["FILE1:12: apps[0].workspace: is for dialect \"orcheo\""]);
    let run = with_app("workspace = \"no spaces\"").run();
    let expected = "FILE1:12: apps[0].workspace: must be 1 to 64 letters, digits, '_' or '-'";
    assert!(run.code == 2 && run.err.lines().any(|line| line == expected), "{}", run.err);
}
