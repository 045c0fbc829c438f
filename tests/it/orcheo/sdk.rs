//! OpenAI's own ChatKit server SDK as the chat service: threads and streams as the protocol's authors write them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{APP, BOOTSTRAP, KEY, OTHER, WORKFLOW, page, refused, token};
use crate::support::gate::{Gate, SHOP, json_of};

/// `tests/clients/chatkit/server.py`, running; ended when dropped.
pub struct Service {
    child: Child,
    pub url: String,
}

impl Service {
    pub fn start() -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let python = format!("{root}/target/test-clients/chatkit/bin/python");
        let mut command = Command::new(&python);
        command.arg(format!("{root}/tests/clients/chatkit/server.py")).env_clear().stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|fault| panic!("{python}: {fault}; `scripts/setup.sh test` installs it"));
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut port).expect("a line");
        let port: u16 = port.trim().parse().expect("the service prints its port; what went wrong stands above");
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn started() -> (Service, Gate) {
    let service = tokio::task::spawn_blocking(Service::start).await.expect("it starts");
    let app = format!(
        r#"
[[apps]]
id = "{APP}"
dialect = "orcheo"
upstream = "chat"
origins = ["{SHOP}"]
workflows = [{{ id = "{WORKFLOW}", name = "Support" }}, {{ id = "{OTHER}" }}]
token.key = {{ value = "{KEY}" }}

[admin]
bootstrap_token = {{ value = "{BOOTSTRAP}" }}
"#
    );
    let gate = Gate::builder_for(&service.url).toml(&app).start().await;
    (service, gate)
}

fn request(kind: &str, params: impl Into<Value>) -> Value {
    let mut request = json!({ "type": kind, "params": params.into() });
    request["metadata"] = json!({ "page": "/pricing" });
    request
}

fn message(text: &str, attachments: &[&str]) -> Value {
    let content = json!([{ "type": "input_text", "text": text }]);
    json!({ "content": content, "attachments": attachments, "inference_options": {} })
}

async fn asked(gate: &Gate, token: &str, body: &Value) -> Value {
    let answer = page(gate, token, body).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{body}");
    json_of(answer).await
}

/// The events of a stream.
async fn streamed(gate: &Gate, token: &str, body: &Value) -> Vec<Value> {
    let answer = page(gate, token, body).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{body}");
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
    let text = answer.text().await.expect("events");
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    events.map(|event| serde_json::from_str(event.strip_prefix("data: ").expect("data")).expect("JSON")).collect()
}

async fn create(gate: &Gate, token: &str, text: &str) -> String {
    let events = streamed(gate, token, &request("threads.create", json!({ "input": message(text, &[]) }))).await;
    assert_eq!(events[0]["type"], "thread.created");
    let last = events.last().expect("an event");
    assert_eq!(last["item"]["content"][0]["text"], format!("You said: {text}"));
    events[0]["thread"]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_conversation_runs_from_its_first_message_to_its_end() {
    let (_service, gate) = started().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let thread = create(&gate, &ada, "Hello").await;
    let more = json!({ "thread_id": thread, "input": message("And now?", &[]) });
    let events = streamed(&gate, &ada, &request("threads.add_user_message", more)).await;
    assert_eq!(events.last().expect("an event")["item"]["content"][0]["text"], "You said: And now?");

    let items = json!({ "thread_id": thread, "limit": 2, "order": "asc" });
    let first = asked(&gate, &ada, &request("items.list", items)).await;
    assert_eq!((first["data"].as_array().expect("items").len(), &first["has_more"]), (2, &json!(true)));
    let items = json!({ "thread_id": thread, "limit": 20, "order": "asc", "after": first["after"] });
    let rest = asked(&gate, &ada, &request("items.list", items)).await;
    assert_eq!((rest["data"].as_array().expect("items").len(), &rest["has_more"]), (2, &json!(false)));

    let titled = json!({ "thread_id": thread, "title": "Prices" });
    assert_eq!(asked(&gate, &ada, &request("threads.update", titled)).await["title"], "Prices");
    let named = json!({ "thread_id": thread });
    let whole = asked(&gate, &ada, &request("threads.get_by_id", named.clone())).await;
    assert_eq!((&whole["title"], whole["items"]["data"].as_array().expect("items").len()), (&json!("Prices"), 4));
    let liked = json!({ "thread_id": thread, "item_ids": [whole["items"]["data"][1]["id"]], "kind": "positive" });
    asked(&gate, &ada, &request("items.feedback", liked)).await;
    asked(&gate, &ada, &request("threads.delete", named)).await;
    let list = asked(&gate, &ada, &request("threads.list", json!({ "limit": 20 }))).await;
    assert_eq!(list["data"], json!([]));
}

#[tokio::test]
async fn the_service_keeps_nobody_apart_and_the_gate_does() {
    let (_service, gate) = started().await;
    let (ada, bob) = (token(&gate, "ada", WORKFLOW).await, token(&gate, "bob", OTHER).await);
    let (of_ada, of_bob) = (create(&gate, &ada, "I am Ada").await, create(&gate, &bob, "I am Bob").await);
    let list = request("threads.list", json!({ "limit": 20 }));
    for (token, thread) in [(&ada, &of_ada), (&bob, &of_bob)] {
        let listed = asked(&gate, token, &list).await;
        let ids: Vec<_> = listed["data"].as_array().expect("a list").iter().map(|thread| &thread["id"]).collect();
        assert_eq!(ids, [thread]);
    }
    let input = message("Let me in", &[]);
    for foreign in [
        request("threads.get_by_id", json!({ "thread_id": of_ada })),
        request("items.list", json!({ "thread_id": of_ada })),
        request("threads.delete", json!({ "thread_id": of_ada })),
        request("threads.update", json!({ "thread_id": of_ada, "title": "Mine" })),
        request("threads.add_user_message", json!({ "thread_id": of_ada, "input": input })),
    ] {
        let answer = page(&gate, &bob, &foreign).send().await.expect("an answer");
        assert_eq!(refused(answer, 404).await, "sidegate.not_found", "{foreign}");
    }
    assert_eq!(asked(&gate, &ada, &request("threads.get_by_id", json!({ "thread_id": of_ada }))).await["id"], of_ada);
}

#[tokio::test]
async fn an_attachment_is_for_its_makers_messages() {
    let (_service, gate) = started().await;
    let (ada, bob) = (token(&gate, "ada", WORKFLOW).await, token(&gate, "bob", WORKFLOW).await);
    let file = json!({ "name": "bill.pdf", "size": 3, "mime_type": "application/pdf" });
    let made = asked(&gate, &ada, &request("attachments.create", file)).await;
    let id = made["id"].as_str().expect("an id");
    let with_file = request("threads.create", json!({ "input": message("See this", &[id]) }));
    let answer = page(&gate, &bob, &with_file).send().await.expect("an answer");
    assert_eq!(refused(answer, 404).await, "sidegate.not_found");
    let events = streamed(&gate, &ada, &with_file).await;
    assert_eq!(events[1]["item"]["attachments"][0]["id"], id);
    let gone = request("attachments.delete", json!({ "attachment_id": id }));
    let answer = page(&gate, &bob, &gone).send().await.expect("an answer");
    assert_eq!(refused(answer, 404).await, "sidegate.not_found");
    asked(&gate, &ada, &gone).await;
}
