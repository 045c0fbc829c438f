//! Paths that two servers read differently. The gate serves a path as it is written or not at all, on every
//! listener and in every dialect. (Those of Sigmic one by one:
//! `heads`, those of ChatKit's files: `orcheo::assets`, both in `tests/it`.)

use crate::dialects::{BOT, WORKSPACE, lay};
use crate::siege::{Faults, Siege, within_one};
use crate::support::gate::SHOP;
use crate::support::raw::Raw;

/// A way to write a path so that another reader may find another one, or the same.
type Trick = (&'static str, fn(&str) -> String);

const TRICKS: [Trick; 38] = [
    ("a slash behind", |path| format!("{path}/")),
    ("two slashes behind", |path| format!("{path}//")),
    ("two slashes in front", |path| format!("/{path}")),
    ("three slashes in front", |path| format!("//{path}")),
    ("two slashes within", |path| path.replacen('/', "//", 2).replacen("//", "/", 1)),
    ("a dot behind", |path| format!("{path}/.")),
    ("a dot within", |path| format!("/.{path}")),
    ("dots in front", |path| format!("/..{path}")),
    ("dots from elsewhere", |path| format!("/x/..{path}")),
    ("dots behind", |path| format!("{path}/..")),
    ("dots to elsewhere", |path| format!("{path}/../../../admin")),
    ("dots there and back", |path| format!("{path}/x/..")),
    ("encoded dots in front", |path| format!("/%2e%2e{path}")),
    ("encoded dots behind", |path| format!("{path}/%2e%2e/admin")),
    ("dots that are half encoded", |path| format!("{path}/.%2e/admin")),
    ("dots in capitals", |path| format!("{path}/%2E%2E/admin")),
    ("dots encoded twice", |path| format!("{path}/%252e%252e/admin")),
    ("dots in too many bytes", |path| format!("{path}/%c0%ae%c0%ae/admin")),
    ("dots in full width", |path| format!("{path}/%ef%bc%8e%ef%bc%8e/admin")),
    ("an encoded slash", |path| path.replacen('/', "%2f", 2).replacen("%2f", "/", 1)),
    ("an encoded slash behind", |path| format!("{path}%2f")),
    ("an encoded slash and dots", |path| format!("{path}%2f..%2f..%2fadmin")),
    ("a backslash in front", |path| format!("/\\{path}")),
    ("a backslash for a slash", |path| format!("/{}", path[1..].replacen('/', "\\", 1))),
    ("an encoded backslash", |path| format!("{path}%5c..%5cadmin")),
    ("a parameter", |path| format!("{path};v=1")),
    ("a parameter and dots", |path| format!("{path}/..;/admin")),
    ("a parameter in front", |path| format!("/;x{path}")),
    ("an encoded NUL", |path| format!("{path}%00")),
    ("an encoded NUL and an ending", |path| format!("{path}%00.js")),
    ("an encoded line's end", |path| format!("{path}%0d%0aX-Evil:%201")),
    ("an encoded space behind", |path| format!("{path}%20")),
    ("an encoded question mark", |path| format!("{path}%3fa=b")),
    ("an encoded hash", |path| format!("{path}%23")),
    ("an encoded letter", |path| format!("{}%{:02x}", &path[..path.len() - 1], path.as_bytes()[path.len() - 1])),
    ("a letter encoded twice", |path| format!("{}%25{:02x}", &path[..path.len() - 1], path.as_bytes()[path.len() - 1])),
    ("capitals", |path| path.to_ascii_uppercase()),
    ("an ending", |path| format!("{path}.json")),
];

/// Tricks that no target of HTTP has, or that a reader takes for the end of the path.
const BROKEN: [Trick; 9] = [
    ("a NUL", |path| format!("{path}\0")),
    ("a space", |path| format!("{path} x")),
    ("a tab", |path| format!("{path}\tx")),
    ("a bare CR", |path| format!("{path}\rX-Evil: 1")),
    ("a bare LF", |path| format!("{path}\nX-Evil: 1")),
    ("a control character", |path| format!("{path}\u{1}")),
    ("a delete", |path| format!("{path}\u{7f}")),
    ("no slash in front", |path| path[1..].to_owned()),
    ("nothing", |_| String::new()),
];

fn routes() -> Vec<(&'static str, String)> {
    vec![
        ("GET", "/api/v1/tasks".into()),
        ("GET", "/api/v1/tasks/task_1/history".into()),
        ("POST", "/api/v1/tasks/task_1/messages".into()),
        ("POST", "/api/chatkit".into()),
        ("POST", "/api/chatkit/upload".into()),
        ("POST", "/chatkit-token".into()),
        ("POST", "/widget/chat".into()),
        ("POST", "/widget/session/init".into()),
        ("POST", "/api/v1/chats".into()),
        ("POST", format!("/api/v1/workspaces/{WORKSPACE}/session")),
        ("GET", format!("/api/v1/workspaces/{WORKSPACE}/widget-config")),
        ("POST", "/api/v1/conversation/conv_1/complete".into()),
        ("POST", "/api/v1/integration/widget/w_1/session/create".into()),
        ("GET", "/integrations/widget/v2.js".into()),
        ("GET", "/apps/wapp_test/api/v1/tasks".into()),
        ("POST", format!("/apps/{BOT}/widget/chat")),
    ]
}

fn request(siege: &Siege, method: &str, path: &str) -> String {
    let (address, token) = (siege.gate.public, &siege.token);
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nOrigin: {SHOP}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    )
}

#[tokio::test]
async fn no_other_spelling_of_a_path_is_served() {
    let siege = lay(|gate| gate).await;
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for (method, path) in routes() {
                for (name, trick) in TRICKS {
                    let target = trick(&path);
                    if target == path {
                        continue;
                    }
                    let answer = within_one(&siege.gate, request(&siege, method, &target)).await.expect("an answer");
                    faults.check(matches!(answer.status, 400 | 404), || format!("{name}: {target}: {answer:?}"));
                }
                for (name, trick) in BROKEN {
                    let target = trick(&path);
                    let answer = within_one(&siege.gate, request(&siege, method, &target)).await;
                    let status = answer.map_or(0, |answer| answer.status);
                    faults.check(matches!(status, 0 | 400 | 404), || format!("{name}: {target:?}: {status}"));
                }
            }
        })
        .await;
    faults.none();
}

#[tokio::test]
async fn no_other_spelling_of_a_path_is_served_to_servers() {
    let siege = lay(|gate| gate).await;
    let mut faults = Faults::default();
    let routes = ["/api/v1/auth/token", "/admin/v1/apps", "/api/chatkit/session", "/v1/apps/x/identity-tokens"];
    siege
        .rounds(async || {
            for path in routes {
                for (name, trick) in TRICKS.iter().chain(&BROKEN) {
                    let target = trick(path);
                    for method in ["GET", "POST"] {
                        let mut raw = Raw::connect(siege.gate.private).await;
                        raw.send(request(&siege, method, &target)).await;
                        let status = raw.answer_or_end().await.map_or(0, |answer| answer.status);
                        // An `Origin` is refused before the path is looked at, and so says nothing of it.
                        faults.check(matches!(status, 0 | 400 | 403), || format!("{name}: {target:?}: {status}"));
                        let mut raw = Raw::connect(siege.gate.private).await;
                        let server = request(&siege, method, &target).replace(&format!("Origin: {SHOP}\r\n"), "");
                        raw.send(server).await;
                        let status = raw.answer_or_end().await.map_or(0, |answer| answer.status);
                        let refused = matches!(status, 0 | 400 | 401 | 404 | 405);
                        faults.check(refused, || format!("{name}: {target:?}: {status}"));
                    }
                }
            }
        })
        .await;
    faults.none();
}
