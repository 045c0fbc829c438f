//! A headless Chromium behind Debian's chromedriver, one for each test, gone with it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::support::gate::PATIENCE;

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const DRIVERS: [&str; 2] = ["chromedriver", "chromium.chromedriver"];

/// The line with which chromedriver tells its port.
const STARTED: &str = "started successfully on port ";

/// A page under the test's control.
pub struct Browser {
    /// WebDriver's own commands.
    pub client: Client,
    // In the order of the end: driver and browser first, then what they wrote.
    _driver: Driver,
    _profile: tempfile::TempDir,
}

/// chromedriver and the browser that it started.
struct Driver {
    child: Child,
    browser: Option<u64>,
}

impl Browser {
    /// Opens `url` in a fresh browser that logs its network.
    pub async fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let (mut driver, port) = tokio::task::spawn_blocking(Driver::start).await.expect("joined");
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(&find(&BROWSERS), profile.path()));
        let client = builder.connect(&format!("http://127.0.0.1:{port}")).await;
        let client = client.expect("chromedriver starts the browser");
        driver.browser = client.capabilities().and_then(|known| known.get("goog:processID")).and_then(Value::as_u64);
        client.goto(url).await.expect("the page loads");
        Self { client, _driver: driver, _profile: profile }
    }

    /// Waits until something matches the CSS selector; its text.
    pub async fn wait_for(&self, selector: &str) -> String {
        let wait = self.client.wait().at_most(PATIENCE).every(Duration::from_millis(50));
        match wait.for_element(Locator::Css(selector)).await {
            Ok(element) => element.text().await.expect("a text"),
            Err(fault) => panic!("no {selector}: {fault}; the page says: {}", self.text("body").await),
        }
    }

    /// Notes from now on whether something matches the CSS selector, however briefly: see [`Self::noted`].
    pub async fn note(&self, selector: &str) {
        let script = "
            window.noted = false;
            const look = () => { window.noted ||= document.querySelector(arguments[0]) !== null; };
            new MutationObserver(look).observe(document, { attributes: true, childList: true, subtree: true });";
        self.client.execute(script, vec![json!(selector)]).await.expect("the script runs");
    }

    /// Whether something has matched since [`Self::note`].
    pub async fn noted(&self) -> bool {
        self.run("return window.noted").await == json!(true)
    }

    /// Waits until a JavaScript expression is true.
    pub async fn wait_until(&self, expression: &str) {
        let script = format!("return !!({expression})");
        let holds = async {
            while self.run(&script).await != json!(true) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, holds).await.unwrap_or_else(|_| panic!("never: {expression}"));
    }

    /// The text of the one element that matches.
    pub async fn text(&self, selector: &str) -> String {
        let element = self.client.find(Locator::Css(selector)).await.expect("the element is there");
        element.text().await.expect("a text")
    }

    /// The texts of all elements that match.
    pub async fn texts(&self, selector: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map(one => one.innerText)";
        let texts = self.client.execute(script, vec![json!(selector)]).await.expect("the script runs");
        serde_json::from_value(texts).expect("texts")
    }

    pub async fn click(&self, selector: &str) {
        let element = self.client.find(Locator::Css(selector)).await.expect("the element is there");
        element.click().await.expect("a click");
    }

    pub async fn choose(&self, selector: &str, value: &str) {
        let element = self.client.find(Locator::Css(selector)).await.expect("the element is there");
        element.select_by_value(value).await.expect("the option is there");
    }

    pub async fn write(&self, selector: &str, text: &str) {
        let element = self.client.find(Locator::Css(selector)).await.expect("the element is there");
        element.send_keys(text).await.expect("typed");
    }

    /// Runs a script's body and hands back what it returns.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("the script runs")
    }

    /// Runs a script that calls its last argument with the result.
    pub async fn run_async(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute_async(script, arguments).await.expect("the script runs")
    }

    /// The DevTools events since the last call: requests, answers, failures.
    pub async fn network_log(&self) -> Vec<Value> {
        let entries = self.post("se/log", json!({ "type": "performance" })).await.expect("a log");
        let text = |entry: &Value| serde_json::from_str::<Value>(entry["message"].as_str()?).ok();
        let events = entries.as_array().expect("a list").iter().filter_map(text);
        events.map(|mut event| event["message"].take()).collect()
    }

    /// The body of an answer in the log; `None` if it has none.
    pub async fn body_of(&self, request: &Value) -> Option<String> {
        let params = json!({ "requestId": request });
        let command = json!({ "cmd": "Network.getResponseBody", "params": params });
        let answer = self.post("goog/cdp/execute", command).await.ok()?;
        let body = answer["body"].clone();
        if answer["base64Encoded"] == false {
            return body.as_str().map(str::to_owned);
        }
        let decoded = self.client.execute("return atob(arguments[0])", vec![body]).await;
        decoded.expect("base64").as_str().map(str::to_owned)
    }

    /// A picture of the page, for people: written where `SIDEGATE_SCREENSHOTS` says.
    #[expect(clippy::disallowed_methods, reason = "a wish of whoever runs the tests, not a setting of the program")]
    pub async fn screenshot(&self, name: &str) {
        let Ok(folder) = std::env::var("SIDEGATE_SCREENSHOTS") else { return };
        let picture = self.client.screenshot().await.expect("a picture");
        std::fs::write(Path::new(&folder).join(name).with_extension("png"), picture).expect("it is written");
    }

    async fn post(&self, path: &'static str, body: Value) -> Result<Value, fantoccini::error::CmdError> {
        self.client.issue_cmd(Post { path, body }).await
    }
}

/// A command of chromedriver's own.
#[derive(Debug)]
struct Post {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Post {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

fn capabilities(browser: &Path, profile: &Path) -> Capabilities {
    let profile = format!("--user-data-dir={}", profile.display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1200,860",
        &profile,
    ];
    let wanted = json!({
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": browser, "args": arguments },
        "goog:loggingPrefs": { "performance": "ALL" },
    });
    serde_json::from_value(wanted).expect("an object")
}

impl Driver {
    /// Starts chromedriver on a free port; the port.
    fn start() -> (Self, u16) {
        // It chooses a port of IPv4, and ends if the same of IPv6 is taken.
        (0..20).find_map(|_| Self::try_start()).expect("chromedriver tells its port")
    }

    /// `None` if it ends before it tells its port.
    fn try_start() -> Option<(Self, u16)> {
        let mut command = Command::new(find(&DRIVERS));
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("chromedriver starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let driver = Self { child, browser: None };
        let port = output.find_map(|line| line.split_once(STARTED)?.1.trim_end_matches('.').parse().ok());
        // Reads on, or chromedriver would stall on a full pipe.
        std::thread::spawn(move || output.for_each(drop));
        Some((driver, port?))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The browser outlives its driver, and its own children end with it.
        if let Some(browser) = self.browser {
            let _ = Command::new("kill").args(["-KILL", &browser.to_string()]).status();
        }
    }
}

/// The first of the programs that is on the PATH.
#[expect(clippy::disallowed_methods, reason = "programs are found where the shell would find them")]
fn find(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates =
        names.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    candidates.find(|candidate| candidate.is_file()).unwrap_or_else(|| {
        panic!(
            "the browser tests need one of {names:?} on the PATH; on Debian: apt-get install chromium chromium-driver"
        )
    })
}
