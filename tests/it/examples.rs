//! The examples, run as they stand but for the addresses.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::browser::driver::Browser;
use crate::orcheo::sdk::Service;
use crate::support::gate::{Gate, json_of, sidegate};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/orcheo-token-server");
const WORKFLOW: &str = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";
const BOOTSTRAP: &str = "bootstrap-0123456789abcdef0123456789abcdef";
const READY: &str = "openai-chatkit[data-ready]";
const REPLIES: &str = "openai-chatkit .assistant_message";
const THREADS: &str = "openai-chatkit .threads li";

/// The customer's site; ended when dropped.
struct Site(Child);

impl Site {
    /// On a free port, and where that is.
    fn start(arguments: &[&str]) -> (Self, String) {
        let mut command = Command::new("python3");
        command.arg(format!("{FOLDER}/server.py")).args(arguments).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("python3 runs; install the package python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        (Self(child), line.trim().to_owned())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody has now: the site and the gates must know of each other before they start.
fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a socket");
    socket.local_addr().expect("an address").port()
}

/// A gate in the place of an Orcheo backend, and a service token of it.
async fn backend(service: &Service, site: &str) -> (Gate, String) {
    let app = format!(
        r#"
[[apps]]
id = "support"
dialect = "orcheo"
upstream = "chat"
origins = ["{site}"]
workflows = [{{ id = "{WORKFLOW}" }}]
token.key = {{ value = "the-key-of-the-backend-0123456789abcdef" }}

[admin]
bootstrap_token = {{ value = "{BOOTSTRAP}" }}
"#
    );
    let gate = Gate::builder_for(&service.url).toml(&app).start().await;
    let asked = json!({ "scopes": ["chatkit:session"] });
    let request = gate.private(Method::POST, "/admin/v1/service-tokens").bearer_auth(BOOTSTRAP).json(&asked);
    let secret = json_of(request.send().await.expect("an answer")).await["secret"].as_str().expect("text").to_owned();
    (gate, secret)
}

/// The example's gate, with these addresses in the place of its own.
async fn token_server(backend: &Gate, site: &str, service_token: &str) -> Gate {
    let text = std::fs::read_to_string(format!("{FOLDER}/sidegate.toml")).expect("the example's configuration");
    let text = text.replace("http://localhost:8000", &format!("http://{}", backend.private));
    let mut command = sidegate();
    command.env("ORCHEO_SERVICE_TOKEN", service_token);
    Gate::builder_for("unused")
        .whole_config(&text.replace("http://localhost:3000", site))
        .command(command)
        .start()
        .await
}

async fn say(page: &Browser, text: &str) -> String {
    let before = page.texts(REPLIES).await.len();
    page.write("openai-chatkit input", text).await;
    page.click("openai-chatkit form button").await;
    page.wait_until(&format!("document.querySelectorAll(\"{REPLIES}\").length > {before}")).await;
    page.wait_for(READY).await;
    page.texts(REPLIES).await.pop().expect("a reply")
}

async fn log_in(page: &Browser, name: &str) {
    page.run("document.querySelector('openai-chatkit').removeAttribute('data-ready')").await;
    page.click(&format!("#{name}")).await;
    page.wait_for(READY).await;
}

#[tokio::test]
async fn a_page_chats_with_the_token_that_the_gate_fetched_for_its_user() {
    let service = tokio::task::spawn_blocking(Service::start).await.expect("it starts");
    let port = free_port();
    let origin = format!("http://localhost:{port}");
    let (backend, secret) = backend(&service, &origin).await;
    let gate = token_server(&backend, &origin, &secret).await;
    let token_url = format!("http://localhost:{}/chatkit-token", gate.public.port());
    let backend_url = format!("http://localhost:{}", backend.public.port());
    let (_site, at) = Site::start(&[&port.to_string(), &token_url, &backend_url]);
    assert_eq!(at, origin);

    let page = Browser::open(&origin).await;
    page.wait_for(READY).await;
    assert_eq!(
        page.text("#problem").await,
        "401 auth.missing_token",
        "who has not logged in gets no token, and sees why"
    );
    log_in(&page, "ada").await;
    assert_eq!(page.text("#problem").await, "");
    assert_eq!(say(&page, "Hello").await, "You said: Hello");
    assert_eq!(say(&page, "And again").await, "You said: And again");
    assert_eq!(page.texts(THREADS).await.len(), 1);
    page.screenshot("orcheo-token-server").await;

    log_in(&page, "bob").await;
    assert_eq!(page.texts(THREADS).await.len(), 0, "Ada's conversation is hers");
    assert_eq!(say(&page, "I am Bob").await, "You said: I am Bob");
    log_in(&page, "ada").await;
    assert_eq!(page.texts(THREADS).await.len(), 1);

    // Ada has asked for a token twice, and got the same one.
    let metrics = gate.ops("/metrics").send().await.expect("an answer").text().await.expect("text");
    assert!(metrics.contains("sidegate_trades_total{outcome=\"fetched\"} 2"), "{metrics}");
    assert!(metrics.contains("sidegate_trades_total{outcome=\"reused\"} 1"), "{metrics}");
    for event in page.network_log().await {
        assert!(!event.to_string().contains(&secret), "the service token reached the browser");
    }
    assert!(!gate.output().contains(&secret));
    let stranger = gate.public(Method::POST, "/chatkit-token").header("origin", "https://evil.example");
    let refused: Value = stranger.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(refused["detail"]["code"], "sidegate.origin_not_allowed");
}
