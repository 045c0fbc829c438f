//! Web pages that reach for the listeners of servers and operators: by a name that leads there, from an origin
//! that says what it likes. (Some by a client library: `private` and `ops` in `tests/it`.)

use std::net::SocketAddr;

use serde_json::json;

use crate::siege::{Faults, Siege, TIMES};
use crate::support::admin::BOOTSTRAP;
use crate::support::gate::{APP, SECRET};
use crate::support::raw::{Raw, RawAnswer};

/// Hosts that are not of this machine, or of nobody.
const HOSTS: [&str; 32] = [
    "Host: evil.example",
    "Host: evil.example:8081",
    "Host: localhost.evil.example",
    "Host: 127.0.0.1.evil.example",
    "Host: evil.example.localhost",
    "Host: localhost.",
    "Host: localhostt",
    "Host: xlocalhost",
    "Host: localhost%00",
    "Host: localhost%2eevil.example",
    "Host: localhost\u{0}",
    "Host: localhost evil.example",
    "Host: localhost,evil.example",
    "Host: localhost/evil.example",
    "Host: evil.example/localhost",
    "Host: evil.example#localhost",
    "Host: evil.example?localhost",
    "Host: localhost@evil.example",
    "Host: evil.example@localhost",
    "Host: localhost:80@evil.example",
    "Host: 2130706433",
    "Host: 0x7f000001",
    "Host: 0x7f.0.0.1",
    "Host: 127.1",
    "Host: 0177.0.0.1",
    "Host: 127.0.0.1.nip.io",
    "Host: [::1].evil.example",
    "Host: ::1",
    "Host:",
    "X-Host: localhost",
    "Host: localhost\r\nHost: evil.example",
    "Host: evil.example\r\nHost: localhost",
];

/// What makes a request to a host that is known one of a page.
const PAGES: [&str; 10] = [
    "Origin: https://evil.example",
    "Origin: null",
    "Origin:",
    "Origin: http://localhost",
    "Origin: http://127.0.0.1:8081",
    "origin: file://",
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Site: none",
    "Sec-Fetch-Site: x",
];

/// What a proxy would say, which nobody here is.
const LIES: [&str; 4] = [
    "X-Forwarded-Host: localhost",
    "Forwarded: host=localhost",
    "X-Original-Host: localhost",
    "X-Forwarded-For: 127.0.0.1",
];

/// Requests that would do something, with `{FIELDS}` for a host and more.
fn requests() -> Vec<String> {
    let exchange = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "eve" }).to_string();
    let token = json!({ "scopes": ["admin:tokens:read"] }).to_string();
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\n{{FIELDS}}\r\nAuthorization: Bearer {BOOTSTRAP}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n{{FIELDS}}\r\nAuthorization: Bearer {BOOTSTRAP}\r\n\r\n");
    vec![
        post("/api/v1/auth/token", &exchange),
        post("/admin/v1/service-tokens", &token),
        post("/admin/v1/service-tokens", &token).replace("application/json", "text/plain"),
        get("/admin/v1/apps"),
        get("/nothing"),
    ]
}

async fn ask(to: SocketAddr, request: &str) -> RawAnswer {
    let mut raw = Raw::connect(to).await;
    raw.send(request).await;
    raw.answer().await
}

fn is_refused(answer: &RawAnswer) -> bool {
    let readable = answer.head.to_ascii_lowercase().contains("access-control-");
    matches!(answer.status, 400 | 403 | 421) && !readable && !answer.body.contains("\"token\"")
}

async fn siege() -> Siege {
    Siege::with(|gate| gate.toml(&format!("[admin]\nbootstrap_token = {{ value = \"{BOOTSTRAP}\" }}"))).await
}

#[tokio::test]
async fn no_page_drives_the_private_listener() {
    let siege = siege().await;
    let mut faults = Faults::default();
    let known = format!("Host: {}", siege.gate.private);
    assert_eq!(ask(siege.gate.private, &requests()[0].replace("{FIELDS}", &known)).await.status, 200, "a server");
    let hosts = HOSTS.iter().map(|host| (*host).to_owned());
    let lies = LIES.iter().map(|lie| format!("Host: evil.example\r\n{lie}"));
    let pages = PAGES.iter().map(|page| format!("{known}\r\n{page}"));
    let rows: Vec<String> = hosts.chain(lies).chain(pages).collect();
    siege
        .rounds(async || {
            for fields in &rows {
                for request in requests() {
                    let answer = ask(siege.gate.private, &request.replace("{FIELDS}", fields)).await;
                    faults.check(is_refused(&answer), || format!("{fields:?}: {answer:?}"));
                }
            }
        })
        .await;
    faults.none();
    let made = siege.gate.output().matches("\"issued\"").count();
    assert_eq!(made, 0, "{}", siege.gate.output());
}

#[tokio::test]
async fn no_page_reads_the_ops_listener() {
    let siege = siege().await;
    let mut faults = Faults::default();
    let known = format!("Host: {}", siege.gate.ops);
    let rows: Vec<String> = HOSTS
        .iter()
        .map(|host| (*host).to_owned())
        .chain(PAGES.iter().map(|page| format!("{known}\r\n{page}")))
        .chain(LIES.iter().map(|lie| format!("Host: evil.example\r\n{lie}")))
        .collect();
    siege
        .rounds(async || {
            for fields in rows.iter().flat_map(|fields| std::iter::repeat_n(fields, TIMES / 4)) {
                for path in ["/metrics", "/livez", "/readyz", "/"] {
                    let request = format!("GET {path} HTTP/1.1\r\n{fields}\r\nConnection: close\r\n\r\n");
                    let answer = ask(siege.gate.ops, &request).await;
                    let told = answer.body.contains("sidegate_") || answer.body.contains("checks");
                    faults.check(is_refused(&answer) && !told, || format!("{path}, {fields:?}: {answer:?}"));
                }
            }
        })
        .await;
    faults.none();
}

/// A target that names another host than `Host` does, or the other way round.
#[tokio::test]
async fn a_target_names_no_other_host() {
    let siege = siege().await;
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for address in [siege.gate.public, siege.gate.private] {
                for (target, host) in [
                    ("http://evil.example{}".to_owned(), address.to_string()),
                    (format!("http://{address}{{}}"), "evil.example".to_owned()),
                    (format!("http://{address}@evil.example{{}}"), address.to_string()),
                    (format!("http://evil.example@{address}{{}}"), address.to_string()),
                    (format!("https://evil.example:{}{{}}", address.port()), address.to_string()),
                    ("//evil.example{}".to_owned(), address.to_string()),
                    (address.to_string(), address.to_string()),
                    ("evil.example:443".to_owned(), address.to_string()),
                    ("evil.example:443".to_owned(), "evil.example:443".to_owned()),
                    ("*".to_owned(), address.to_string()),
                    ("file:///etc/passwd".to_owned(), address.to_string()),
                    ("http:{}".to_owned(), address.to_string()),
                    ("http:///{}".to_owned(), address.to_string()),
                    ("\\\\evil.example{}".to_owned(), address.to_string()),
                ] {
                    for method in ["GET", "POST", "CONNECT", "OPTIONS"] {
                        let target = target.replace("{}", "/api/v1/tasks");
                        let token = &siege.token;
                        let request = format!(
                            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
                             Origin: https://shop.example.com\r\nContent-Length: 0\r\n\r\n"
                        );
                        let answer = ask(address, &request).await;
                        let refused = (400..500).contains(&answer.status);
                        faults.check(refused, || format!("{method} {target} at {host}: {answer:?}"));
                    }
                }
            }
        })
        .await;
    faults.none();
}
