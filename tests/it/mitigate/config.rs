//! What a configuration may say of workspaces.

use super::{keys, private, public, value};
use crate::support::program::program;

/// What `sidegate check` says of an app with these lines.
fn said(lines: &str) -> (i32, String) {
    let config = format!(
        "[store]\nseal_keys = [{{ value = \"{}\" }}]\n[[upstreams]]\nname = \"chat\"\nurl = \"http://127.0.0.1:1\"\n\
         [[apps]]\nid = \"ws_1\"\nupstream = \"chat\"\n{lines}\n",
        crate::support::gate::SEAL_KEY
    );
    let run = program(&["check"]).config(&config).run();
    (run.code, format!("{}{}", run.out, run.err))
}

const BARE: &str = "dialect = \"mitigate\"\ntoken.key = { value = \"a-key-of-the-tests-0123456789abcdef0123\" }";

#[test]
fn a_workspace_needs_keys_or_takes_others() {
    for lines in [format!("{BARE}\n{}", keys()), format!("{BARE}\nwidget.modes = [\"guest\"]")] {
        let (code, said) = said(&lines);
        assert_eq!(code, 0, "{lines}: {said}");
    }
}

#[test]
fn each_mistake_is_told() {
    let (opens, checks) = (value(private(1)), value(public(0)));
    for (lines, expected) in [
        (String::new(), "modes"),
        ("widget.modes = []".to_owned(), "must have one or more"),
        ("widget.modes = [\"vip\"]".to_owned(), "\"identified\", \"guest\""),
        ("widget.modes = [\"identified\"]".to_owned(), "needs the keys"),
        (format!("identity.encryption_keys = [{opens}]"), "must be there where encryption_keys are"),
        (format!("identity.signing_keys = [{checks}]"), "must be there where signing_keys are"),
        (
            format!("identity.encryption_keys = [{opens},{opens},{opens}]\nidentity.signing_keys = [{checks}]"),
            "two during a rotation",
        ),
        (format!("identity.encryption_keys = [{checks}]\nidentity.signing_keys = [{checks}]"), "private"),
        (
            format!("identity.encryption_keys = [{}]\nidentity.signing_keys = [{checks}]", value(private(0))),
            "identity.signing_keys",
        ),
        (format!("{}\nidentity.management = \"RSA1_5\"", keys()), "\"RSA-OAEP\""),
        (
            format!("{}\nidentity.mint_signing_key = {}", keys(), value(private(0))),
            "must be there beside mint_signing_key",
        ),
        (format!("{}\nwidget.locale = \"de\"", keys()), "\"en\""),
        (format!("{}\nwidget.privacy_policy_url = \"javascript:alert(1)\"", keys()), "must be a URL with https"),
        (format!("{}\nwidget.colour = \"red\"", keys()), "unknown key"),
        (format!("{}\nchallenge.upstream = \"chat\"", keys()), "secret"),
        (
            format!("{}\nchallenge = {{ upstream = \"nowhere\", secret = {{ value = \"s\" }} }}", keys()),
            "is not the name of one of the [[upstreams]]",
        ),
        (format!("{}\ntoken.single_use = true", keys()), "is for dialects without sessions"),
        (
            format!("{}\nworkflows = [{{ id = \"7f1f4c52-6f0e-4f0b-9a3c-0d5f5a1f2b3c\" }}]", keys()),
            "are for dialect \"orcheo\"",
        ),
        (format!("{}\nlimits.escalate = \"1/s\"", keys()), "is for dialect \"chat9\""),
        (format!("{}\ninject.headers.X = \"{{{{user.phone}}}}\"", keys()), "of visitors are known user_id"),
    ] {
        let (code, said) = said(&format!("{BARE}\n{lines}"));
        assert_eq!(code, 2, "{lines}: {said}");
        assert!(said.contains(expected), "{expected}: {said}");
    }
    for lines in ["widget.modes = [\"guest\"]", "challenge.upstream = \"chat\"", "limits.guest = \"1/s\""] {
        let (code, said) = said(&format!("dialect = \"chat9\"\n{lines}"));
        assert_eq!((code, said.contains("is for dialect \"mitigate\"")), (2, true), "{lines}: {said}");
    }
}
