//! Values that would lead a request elsewhere, or become more than a value: through templates of the operator's,
//! into hosts, paths, headers and bodies. (Some one by one: `injection` and `injection_body` in `tests/it`.)

use reqwest::Method;
use serde_json::{Value, json};

use crate::siege::{Faults, Siege, all};
use crate::support::cases::cases;
use crate::support::gate::Gate;

const HOST: &str = "mcp.example.com";

/// Templates with a placeholder in each part of a URL.
const URLS: &str = r#"
[apps.inject]
allowed_hosts = ["mcp.example.com"]
[apps.inject.body]
"/servers" = [{ url = "HERE" }]
"#;

async fn siege(template: &str) -> Siege {
    Siege::with(|gate| gate.app(&URLS.replace("HERE", template))).await
}

/// Creates a task with this token; the status.
async fn create(gate: &Gate, token: &str, body: &Value) -> u16 {
    let request = gate.chat(Method::POST, "/api/v1/tasks", token).json(body);
    request.send().await.expect("an answer").status().as_u16()
}

/// Tokens with these values; `None` where the exchange refuses one.
async fn minted(gate: &Gate, values: &[String]) -> Vec<(String, Option<String>)> {
    let minted = values.iter().map(async |value| {
        let body = json!({ "appId": crate::support::gate::APP, "appSecret": crate::support::gate::SECRET,
            "endUserId": "ada", "env": { "HOST": value, "A": value } });
        let answer: Value = gate.exchange(&body).await.json().await.expect("JSON");
        (value.clone(), answer["data"]["token"].as_str().map(str::to_owned))
    });
    all(minted).await
}

/// Every row is refused, or leads to the one host that is allowed by the most literal reading of the URL.
async fn assert_leads_nowhere(siege: &Siege, values: &[String]) {
    let tokens = minted(&siege.gate, values).await;
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for (value, token) in &tokens {
                let Some(token) = token else { continue };
                let status = create(&siege.gate, token, &json!({})).await;
                let sent = siege.upstream.take().pop().map(|seen| seen.json()["servers"][0]["url"].clone());
                siege.expect(usize::from(sent.is_some()));
                let well = match &sent {
                    None => status == 403,
                    Some(url) => is_literal(url.as_str().unwrap_or_default()),
                };
                faults.check(well, || format!("{value:?}: {status}, {sent:?}"));
            }
        })
        .await;
    faults.none();
}

/// Whether every reader finds the allowed host in a URL: a scheme of the web, the host and at most a port, as they are
/// written, and no character that some drop or take for a slash.
fn is_literal(url: &str) -> bool {
    let Some(rest) = ["https://", "http://", "wss://"].iter().find_map(|scheme| url.strip_prefix(scheme)) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').map_or((authority, "1"), |(host, port)| (host, port));
    let strange = |letter: char| letter.is_control() || letter.is_whitespace() || letter == '\\';
    host.eq_ignore_ascii_case(HOST) && port.parse::<u16>().is_ok() && !url.contains(strange)
}

#[tokio::test]
async fn no_value_leads_to_another_host() {
    let siege = siege("https://{{env.HOST}}/x").await;
    assert_leads_nowhere(&siege, &cases::<String>("attacks/hosts.json")).await;
}

/// A value that is a whole URL is not encoded, so it must be one that all readers read alike.
#[tokio::test]
async fn no_whole_url_leads_to_another_host() {
    let siege = siege("{{env.HOST}}").await;
    let whole = siege.gate.token("ada").env("HOST", "https://mcp.example.com/x?y=1#z").mint().await;
    siege.expect(1);
    assert_eq!(create(&siege.gate, &whole, &json!({})).await, 200, "a plain one passes");
    let hosts: Vec<String> = cases("attacks/hosts.json");
    let urls: Vec<String> = cases("attacks/urls.json");
    let values = hosts.iter().map(|host| format!("https://{host}/x")).chain(urls).collect::<Vec<_>>();
    siege.upstream.take();
    assert_leads_nowhere(&siege, &values).await;
}

/// A value within a path or a query stays there: one segment, one parameter.
#[tokio::test]
async fn no_value_leaves_its_part_of_a_url() {
    let siege = siege("https://mcp.example.com/a/{{env.HOST}}/b?t={{env.A}}&u=1").await;
    let values: Vec<String> = cases("attacks/values.json");
    let tokens = minted(&siege.gate, &values).await;
    siege
        .rounds(async || {
            for (value, token) in &tokens {
                let Some(token) = token else { continue };
                let status = create(&siege.gate, token, &json!({})).await;
                let Some(seen) = siege.upstream.take().pop() else {
                    assert_eq!(status, 403, "{value:?}");
                    continue;
                };
                siege.expect(1);
                let url = seen.json()["servers"][0]["url"].as_str().expect("a URL").to_owned();
                let (path, query) = url.split_once('?').expect("a query");
                let segments: Vec<&str> = path.split('/').collect();
                assert_eq!((&segments[..4], segments[5..].len()), (&["https:", "", HOST, "a"][..], 1), "{url}");
                assert!(query.ends_with("&u=1") && query.matches('&').count() == 1, "{url}");
                assert!(!url.contains(|letter: char| letter.is_control() || "\\ #;".contains(letter)), "{url}");
                assert!(!matches!(segments[4], "." | ".." | ""), "{url}");
            }
        })
        .await;
}

/// The head that the upstream reads has the fields that it should have and no more, whatever a value says.
#[tokio::test]
async fn no_value_becomes_a_field_or_a_parameter() {
    let inject = "[apps.inject]\nheaders = { X-Tenant = \"a {{env.A}} b\", X-User = \"{{claims.sub}}\" }\n\
                  query = { tenant = \"{{env.A}}\" }\n[apps.inject.body]\n\"/tenant\" = \"{{env.A}}\"";
    let siege = Siege::with(|gate| gate.app(inject)).await;
    // Its token has no such value, and an honest page must be served.
    let values: Vec<String> = cases("attacks/values.json");
    let honest = siege.gate.token("ada").env("A", "acme").mint().await;
    let siege = siege.showing(honest);
    let tokens = minted(&siege.gate, &values).await;
    siege
        .rounds(async || {
            for (value, token) in &tokens {
                let Some(token) = token else { continue };
                let status = create(&siege.gate, token, &json!({ "message": value })).await;
                let Some(seen) = siege.upstream.take().pop() else {
                    assert_eq!(status, 403, "{value:?}");
                    continue;
                };
                siege.expect(1);
                assert_eq!(seen.headers["x-tenant"].as_bytes(), format!("a {value} b").as_bytes());
                assert!(!seen.headers.contains_key("x-evil"), "{seen:?}");
                let query = seen.uri.query().expect("a query").to_owned();
                let read: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
                assert_eq!(read, [("tenant".to_owned(), value.clone())], "{query}");
                assert_eq!(seen.json(), json!({ "message": value, "tenant": value }));
            }
        })
        .await;
}

/// What a visitor writes is text, also where it looks like a template of the gate's or of the upstream's.
#[tokio::test]
async fn what_a_visitor_writes_is_never_a_template() {
    let inject = "[apps.inject]\nheaders = { X-User = \"{{claims.sub}}\", X-Env = \"{{env.A}}\" }\n\
                  [apps.inject.body]\n\"/context\" = { key = \"{{secrets.KEY}}\", env = \"{{env.A}}\" }";
    let siege = Siege::with(|gate| gate.app(inject)).await;
    let honest = siege.gate.token("ada").env("A", "acme").secret("KEY", "canary-key").mint().await;
    let siege = siege.showing(honest);
    let texts = [
        "{{secrets.KEY}}",
        "{{env.A}}",
        "{{claims.sub}}",
        "{{service.KEY}}",
        "{{user.id}}",
        "{{mcp.KEY}}",
        "${KEY}",
        "{{{{secrets.KEY}}}}",
        "{{secrets.KEY?}}",
        "{%secrets.KEY%}",
        "{{ secrets.KEY }}",
        "\\{\\{secrets.KEY}}",
    ];
    siege
        .rounds(async || {
            for text in texts {
                let token = siege.gate.token(text).env("A", text).secret("KEY", "canary-key").mint().await;
                let body = json!({ "message": text, text: text, "nested": [{ "a": text }] });
                siege.expect(1);
                let request = siege.gate.chat(Method::POST, "/api/v1/tasks", &token).header("x-text", text);
                let answer = request.json(&body).send().await.expect("an answer");
                assert_eq!(answer.status(), 200, "{text}");
                let seen = siege.upstream.take().pop().expect("a request");
                let mut expected = body;
                expected["context"] = json!({ "key": "canary-key", "env": text });
                assert_eq!(seen.json(), expected);
                assert_eq!([seen.header("x-user"), seen.header("x-env"), seen.header("x-text")], [text; 3]);
            }
        })
        .await;
}
