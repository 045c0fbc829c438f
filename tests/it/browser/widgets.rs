//! A page with a ChatBotKit widget: it opens a session, chats, and is refused elsewhere and when the widget is gone.

use axum::Router;
use axum::response::Html;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::driver::Browser;
use crate::chatbotkit::{OPEN, WIDGETS, answers, api, json_of, widget, with_lines};
use crate::support::gate::Gate;
use crate::support::upstream::Upstream;

const PAGE: &str = r##"<!doctype html><title>shop</title><pre id="said"></pre><script>
const call = async (path, body, token) => {
  const headers = {
    "content-type": "application/json", "idempotency-key": crypto.randomUUID(), ...(token && { authorization: `Bearer ${token}` }),
  };
  const answer = await fetch("@gate@/api/v1/" + path, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: answer.status, failure: answer.headers.get("x-failure-code"), body: await answer.json() };
};
const chat = async () => {
  const kept = sessionStorage.getItem("session");
  const opened = kept ? JSON.parse(kept) : await call("integration/widget/@widget@/session/create", {});
  if (opened.status !== 200) return { opened: opened.status, failure: opened.failure };
  sessionStorage.setItem("session", JSON.stringify(opened));
  const { conversationId, token, messages } = opened.body;
  const said = await call(`conversation/${conversationId}/complete`, { text: "hi" }, token);
  return { messages, said: said.status, text: said.body.text };
};
chat().catch(fault => fault.name).then(told => {
  const said = document.querySelector("#said");
  said.textContent = JSON.stringify(told);
  said.dataset.done = "yes";
});
</script>"##;

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, origin)
}

fn serve(listener: TcpListener, gate: &Gate, widget: &str) {
    let html = PAGE.replace("@gate@", &format!("http://{}", gate.public)).replace("@widget@", widget);
    let page = Router::new().fallback(move || async move { Html(html) });
    tokio::spawn(async move { axum::serve(listener, page).await });
}

async fn told(browser: &Browser) -> Value {
    serde_json::from_str(&browser.wait_for("#said[data-done]").await).expect("JSON")
}

#[tokio::test]
async fn a_page_chats_with_its_widget_and_is_refused_elsewhere_and_afterwards() {
    let upstream = Upstream::start().await;
    answers(&upstream, "Hello from the bot");
    let gate = with_lines(&upstream, OPEN).start().await;
    let ((listed, shop), (other, elsewhere)) = (listener().await, listener().await);
    let id = widget(&gate, json!({ "botId": "bot_1", "origin": shop, "initial": "Welcome" })).await;
    serve(listed, &gate, &id);
    serve(other, &gate, &id);
    let browser = Browser::open(&shop).await;
    let welcome = json!([{ "type": "bot", "text": "Welcome" }]);
    let chatted = json!({ "messages": welcome, "said": 200, "text": "Hello from the bot" });
    assert_eq!(told(&browser).await, chatted);
    upstream.take();
    assert_eq!(told(&Browser::open(&elsewhere).await).await, json!("TypeError"), "the browser shows it nothing");
    assert_eq!(upstream.take().len(), 0);
    json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{id}/delete"), json!({})).await).await;
    // The same page with the session that it has, and one that comes anew.
    browser.client.goto(&shop).await.expect("the page loads");
    let ended = told(&browser).await;
    assert_eq!((&ended["said"], &ended["text"]), (&json!(401), &Value::Null));
    let anew = told(&Browser::open(&shop).await).await;
    assert_eq!(anew, json!({ "opened": 404, "failure": "NOT_FOUND" }));
    assert_eq!(upstream.take().len(), 0);
}
