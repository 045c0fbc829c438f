//! What a configuration may say of bots.

use crate::support::program::program;

/// What `sidegate check` says of an app with these lines.
fn said(seal_keys: bool, lines: &str) -> (i32, String) {
    let seal = if seal_keys {
        format!("seal_keys = [{{ value = \"{}\" }}]", crate::support::gate::SEAL_KEY)
    } else {
        String::new()
    };
    let config = format!(
        "[store]\n{seal}\n[[upstreams]]\nname = \"chat\"\nurl = \"http://127.0.0.1:1\"\n\
         [[apps]]\nid = \"ch_1\"\nupstream = \"chat\"\n{lines}\n"
    );
    let run = program(&["check"]).config(&config).run();
    (run.code, format!("{}{}", run.out, run.err))
}

const SECRET: &str = "identity.secret = { value = \"an-identity-secret-0123456789abcdef\" }";

#[test]
fn a_bot_needs_little() {
    let (code, said) = said(true, "dialect = \"chat9\"");
    assert_eq!(code, 0, "{said}");
}

#[test]
fn each_mistake_is_told() {
    for (lines, expected) in [
        ("dialect = \"chat9\"\nidentity.required = true", "needs a `secret` beside it"),
        ("dialect = \"chat9\"\nidentity.secret = { value = \"short\" }", "must have 32 bytes or more"),
        ("dialect = \"chat9\"\nidentity.secrets = []", "unknown key"),
        ("dialect = \"chat9\"\nsessions.idle = \"5s\"", "must be 1m or more"),
        ("dialect = \"chat9\"\nsessions.idel = \"5m\"", "did you mean \"idle\""),
        ("dialect = \"chat9\"\nframe_origins = [\"shop.example.com\"]", "frame_origins"),
        ("dialect = \"chat9\"\ntoken.ttl = \"1h\"", "this one has sessions"),
        ("dialect = \"chat9\"\nscoping = \"gate\"", "this one has sessions"),
        ("dialect = \"chat9\"\nlimits.publish = \"1/s\"", "is for dialect \"orcheo\""),
        ("dialect = \"chat9\"\nlimits.chat = \"1/s per workflow\"", "`per workflow` is for dialect \"orcheo\""),
        ("dialect = \"chat9\"\nauthority = \"upstream\"", "\"upstream\" is for dialects \"orcheo\" and \"chatbotkit\""),
        ("dialect = \"chat9\"\ninject.headers.X = \"{{user.phone}}\"", "of visitors are known user_id, email, name"),
        ("dialect = \"sigmic\"\ninject.headers.X = \"{{user.email}}\"", "which this dialect does not have"),
        ("dialect = \"sigmic\"\nlimits.escalate = \"1/s\"", "is for dialect \"chat9\""),
        ("dialect = \"sigmic\"\nsessions.idle = \"5m\"", "is for dialects \"chat9\", \"mitigate\" and \"chatbotkit\""),
        (&format!("dialect = \"sigmic\"\n{SECRET}"), "is for dialects \"chat9\", \"mitigate\" and \"chatbotkit\""),
        (
            &format!(
                "dialect = \"chat9\"\n{SECRET}\nidentity.previous_secret = {{ value = \"an-identity-secret-0123456789abcdef\" }}"
            ),
            "the same key also serves identity tokens of app ch_1",
        ),
    ] {
        let (code, said) = said(true, lines);
        assert_eq!(code, 2, "{lines}: {said}");
        assert!(said.contains(expected), "{lines}: {said}");
    }
}

#[test]
fn sessions_are_kept_sealed_or_not_at_all() {
    let (code, said) = said(false, "dialect = \"chat9\"");
    assert_eq!(code, 2);
    assert!(said.contains("store: needs seal_keys: app ch_1 has sessions, which are kept sealed"), "{said}");
}
