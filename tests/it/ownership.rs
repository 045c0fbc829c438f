//! Whatever has an id in its path is its end user's alone, in every dialect: the table of routes says which have one.

use reqwest::{Method, Response};
use serde_json::{Value, json};
use sidegate_core::dialect::{Operation, chatbotkit as wire};

use crate::chatbotkit;
use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::{mitigate, orcheo};

/// Every route with an id in its path, with the id and what else the path needs filled in.
fn routes(dialect: &str, id: &str) -> Vec<(Operation, Method, String)> {
    let of_dialect = Operation::all().filter(|operation| operation.dialect().name() == dialect);
    let with_id = of_dialect.filter(|operation| operation.template().contains('{'));
    let filled = |operation: Operation| {
        let method = operation.method().split(", ").next().expect("a method").parse().expect("a method");
        let path = operation.template().replace("{id}", id).replace("{message}", "m_1");
        (operation, method, path.replace("{channel}", &format!("{id}-f1")))
    };
    with_id.map(filled).collect()
}

async fn ask(gate: &Gate, method: &Method, path: &str, token: &str) -> Response {
    let request = gate.chat(method.clone(), path, token);
    let request = if method == Method::POST { request.json(&json!({ "message": "hi" })) } else { request };
    request.send().await.expect("an answer")
}

/// Asserts that it exists for its owner, and neither for another one nor upstream then.
async fn assert_owned(
    upstream: &Upstream,
    gate: &Gate,
    routes: &[(Operation, Method, String)],
    owner: &str,
    other: &str,
) {
    for (_, method, path) in routes {
        upstream.take();
        assert_eq!(ask(gate, method, path, other).await.status(), 404, "{method} {path} of somebody else");
        assert_eq!(upstream.take().len(), 0, "{method} {path} was forwarded");
        assert_eq!(ask(gate, method, path, owner).await.status(), 200, "{method} {path} of its owner");
        assert_eq!(upstream.take().len(), 1, "{method} {path}");
    }
}

#[tokio::test]
async fn a_task_of_sigmics_is_its_creators() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (ada, eve) = (gate.token("ada").mint().await, gate.token("eve").mint().await);
    let id = gate.create_task(&ada).await;
    let of_ada = routes("sigmic", &id);
    assert_eq!(of_ada.len(), 4, "{of_ada:?}");
    assert_owned(&upstream, &gate, &of_ada, &ada, &eve).await;
    // One that nobody has created is nobody's.
    for unknown in ["task_unknown", "..", "task%5f1"] {
        for (_, method, path) in routes("sigmic", unknown) {
            assert_eq!(ask(&gate, &method, &path, &ada).await.status(), 404, "{path}");
        }
    }
}

#[tokio::test]
async fn a_conversation_of_chatbotkits_is_its_sessions() {
    let (upstream, gate) = chatbotkit::started().await;
    upstream.always(Behaviour::answer(Reply::json(200, &json!({ "text": "Hello" }))));
    let widget = chatbotkit::shop(&gate, json!({ "contactCollection": true, "attachments": true })).await;
    let (ada, eve) =
        (chatbotkit::opened(&gate, &widget, &json!({})).await, chatbotkit::opened(&gate, &widget, &json!({})).await);
    let (token, other) = (chatbotkit::text(&ada["token"]), chatbotkit::text(&eve["token"]));
    let routes = routes("chatbotkit", &chatbotkit::text(&ada["conversationId"]));
    // A frame is everybody's, and its id a widget's.
    let frames = |operation: &Operation| *operation == Operation::ChatBotKit(wire::Operation::Frame);
    let routes: Vec<_> = routes.into_iter().filter(|(operation, ..)| !frames(operation)).collect();
    assert!(routes.len() >= 10, "{routes:?}");
    for (operation, method, path) in &routes {
        upstream.take();
        assert_eq!(ask(&gate, method, path, &other).await.status(), 404, "{path} of somebody else");
        assert_eq!(upstream.take().len(), 0, "{path} was forwarded");
        assert_eq!(ask(&gate, method, path, &token).await.status(), 200, "{operation:?} {path} of its owner");
    }
}

#[tokio::test]
async fn a_chat_of_mitigates_is_its_visitors() {
    let (upstream, gate) = mitigate::started().await;
    let (ada, eve) = (mitigate::known(&gate, "ada").await, mitigate::known(&gate, "eve").await);
    // No path has an id; the body does.
    assert_eq!(routes("mitigate", "x").len(), 0);
    upstream.once(mitigate::CHATS, Behaviour::answer(Reply::json(200, &json!({ "response": "hi", "chat_id": "c_1" }))));
    assert_eq!(mitigate::chat(&gate, &ada, &json!({ "prompt": "hi" })).await.status(), 200);
    upstream.take();
    let of_chat = json!({ "prompt": "hi", "chat_id": "c_1" });
    assert_eq!(mitigate::chat(&gate, &eve, &of_chat).await.status(), 404);
    assert_eq!(upstream.take().len(), 0);
    assert_eq!(mitigate::chat(&gate, &ada, &of_chat).await.status(), 200);
}

#[tokio::test]
async fn a_thread_of_orcheos_is_its_users() {
    let (upstream, gate) = orcheo::started().await;
    let (ada, eve) =
        (orcheo::token(&gate, "ada", orcheo::WORKFLOW).await, orcheo::token(&gate, "eve", orcheo::WORKFLOW).await);
    assert_eq!(routes("orcheo", "x").len(), 0);
    let created = "data: {\"type\":\"thread.created\",\"thread\":{\"id\":\"thr_1\"}}\n\n";
    let reply = Reply::new(200, created).header("content-type", "text/event-stream");
    upstream.once(orcheo::GATEWAY, Behaviour::answer(reply));
    let create = orcheo::create();
    let sent = async |token: &str, body: &Value| orcheo::page(&gate, token, body).send().await.expect("an answer");
    assert_eq!(sent(&ada, &create).await.text().await.expect("events"), created);
    upstream.take();
    let get = json!({ "type": "threads.get_by_id", "params": { "thread_id": "thr_1" } });
    assert_eq!(sent(&eve, &get).await.status(), 404);
    assert_eq!(upstream.take().len(), 0);
    upstream.once(orcheo::GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "id": "thr_1" }))));
    assert_eq!(sent(&ada, &get).await.status(), 200);
}

/// A session's id is its visitor's key: who has it has the session. One of another bot is none.
#[tokio::test]
async fn a_session_of_chat9s_is_its_bots() {
    use crate::chat9::{BOT, OTHER, anonymous, page, sent, started};
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    assert_eq!(routes("chat9", "x").len(), 0);
    for (method, leaf) in [(Method::POST, "chat"), (Method::GET, "history"), (Method::POST, "escalate")] {
        let path = |bot: &str| format!("/widget/{leaf}?bot_id={bot}&session_id={session}");
        let ask = async |bot: &str| {
            let request = page(&gate, method.clone(), &path(bot));
            let request = if method == Method::POST { request.json(&json!({ "message": "hi" })) } else { request };
            sent(request).await.status().as_u16()
        };
        upstream.take();
        assert!([404, 409].contains(&ask(OTHER).await), "{leaf}");
        assert_eq!(upstream.take().len(), 0, "{leaf} was forwarded");
        assert_eq!(ask(BOT).await, 200, "{leaf}");
    }
}
