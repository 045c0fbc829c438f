//! Widgets in a frame of another origin than the page: they come in and chat, and a frame that is not listed does not.

use axum::Router;
use axum::response::Html;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::driver::Browser;
use crate::chat9::{self, BOT};
use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, Reply, Upstream};

const WORKSPACE: &str = "ws_frame";

const FRAME: &str = r#"<!doctype html><title>widget</title><script>
const call = async (path, body, token) => {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch("@gate@" + path, { method: "POST", headers, body: JSON.stringify(body) });
  return answer.json();
};
const chat = async () => {
  const { session_id, mode } = await call("/widget/session/init", { bot_id: "@bot@" });
  const { text } = await call(`/widget/chat?bot_id=@bot@&session_id=${session_id}`, { message: "hi" });
  const guest = { name: "Ada Lovelace", email: "ada@example.com", consent: true };
  const session = await call("/api/v1/workspaces/@workspace@/session", { guest });
  const { response } = await call("/api/v1/chats", { prompt: "hi" }, session.token);
  const again = await call("/api/v1/workspaces/@workspace@/session/refresh", {}, session.token);
  return { chat9: [mode, text], mitigate: [session.mode, response, again.session_id === session.session_id] };
};
chat().catch(fault => fault.name).then(said => parent.postMessage(JSON.stringify(said), "*"));
</script>"#;

const PAGE: &str = r##"<!doctype html><title>shop</title><iframe src="@frame@"></iframe><pre id="said"></pre><script>
addEventListener("message", ({ data }) => {
  const said = document.querySelector("#said");
  said.textContent = data;
  said.dataset.done = "yes";
});
</script>"##;

/// Serves a page; its origin.
async fn serve(listener: TcpListener, html: String) -> String {
    let origin = origin(&listener);
    let page = Router::new().fallback(move || async move { Html(html) });
    tokio::spawn(async move { axum::serve(listener, page).await });
    origin
}

fn origin(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().expect("an address"))
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

async fn started(frames: &str) -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    for (path, answer) in [
        ("/widget/chat", json!({ "text": "Hello from Chat9", "chat_ended": false })),
        ("/api/v1/chats", json!({ "response": "Hello from Mitigate" })),
    ] {
        upstream.on(path, Behaviour::answer(Reply::json(200, &answer)));
    }
    let lines = format!("frame_origins = [\"{frames}\"]");
    let workspace = format!(
        "[[apps]]\nid = \"{WORKSPACE}\"\ndialect = \"mitigate\"\nupstream = \"chat\"\norigins = [\"https://shop.example.com\"]\n\
         {lines}\ntoken.key = {{ value = \"a-key-of-the-frames-0123456789abcdef0123\" }}\nwidget.modes = [\"guest\"]\n"
    );
    let gate = chat9::with_lines(&upstream, &lines).toml(&workspace).start().await;
    (upstream, gate)
}

/// What the frame at this listener tells its page.
async fn told(gate: &Gate, frame: TcpListener) -> Value {
    let html = FRAME.replace("@gate@", &format!("http://{}", gate.public)).replace("@bot@", BOT);
    let frame = serve(frame, html.replace("@workspace@", WORKSPACE)).await;
    let page = serve(listener().await, PAGE.replace("@frame@", &frame)).await;
    let browser = Browser::open(&page).await;
    serde_json::from_str(&browser.wait_for("#said[data-done]").await).expect("JSON")
}

#[tokio::test]
async fn a_frame_that_is_listed_chats_and_another_does_not() {
    let (listed, other) = (listener().await, listener().await);
    let (upstream, gate) = started(&origin(&listed)).await;
    let expected =
        json!({ "chat9": ["anonymous", "Hello from Chat9"], "mitigate": ["guest", "Hello from Mitigate", true] });
    assert_eq!(told(&gate, listed).await, expected);
    assert_eq!(upstream.take().len(), 2);
    assert_eq!(told(&gate, other).await, json!("TypeError"), "the browser shows it nothing");
    assert_eq!(upstream.take().len(), 0);
}
