//! The program under test: built by `Gate::builder()`, run as a child process, asked over sockets.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sidegate_core::secret::SecretDigest;

use super::upstream::Upstream;

/// The origin that the default app lists.
pub const SHOP: &str = "https://shop.example.com";
/// The default app.
pub const APP: &str = "wapp_test";
/// Its secret.
pub const SECRET: &str = "wsec_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Its signing key.
pub const SIGNING_KEY: &str = "signing-key-of-the-tests-0123456789abcdef";
/// The seal key.
pub const SEAL_KEY: &str = "c2VhbC1rZXktb2YtdGhlLXRlc3RzLTAxMjM0NTY3ODk";

/// How long a test waits for what must come. Nobody waits so long unless it does not: machines may be slow and busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the program is started with.
pub struct Builder {
    /// One or more addresses of the upstream.
    upstream_urls: Vec<String>,
    upstream: Vec<String>,
    origins: Value,
    token: Vec<String>,
    app: Vec<String>,
    toml: Vec<String>,
    set: Vec<String>,
    seal_key: bool,
    command: Command,
    whole: Option<String>,
}

/// The running program.
pub struct Gate {
    pub public: SocketAddr,
    pub private: SocketAddr,
    pub ops: SocketAddr,
    pub client: Client,
    child: Child,
    output: Arc<Output>,
    arguments: Vec<String>,
    directory: Arc<tempfile::TempDir>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Builder {
    /// A line of the upstream's table, such as `first_byte_timeout = "200ms"`.
    pub fn upstream(mut self, line: &str) -> Self {
        self.upstream.push(line.to_owned());
        self
    }

    /// The default app's origins instead of [`SHOP`].
    pub fn origins(mut self, origins: &[&str]) -> Self {
        self.origins = json!(origins);
        self
    }

    /// A line of the default app's token table, instead of [`SIGNING_KEY`].
    pub fn token(mut self, line: &str) -> Self {
        self.token.push(format!("token.{line}"));
        self
    }

    /// Lines of the default app's table; sub-tables such as `[apps.inject.headers]` come last.
    pub fn app(mut self, lines: &str) -> Self {
        self.app.push(lines.to_owned());
        self
    }

    /// Tables behind the default app's, such as another `[[apps]]`.
    pub fn toml(mut self, text: &str) -> Self {
        self.toml.push(text.to_owned());
        self
    }

    /// One setting, as for `--set`.
    pub fn set(mut self, setting: &str) -> Self {
        self.set.push(setting.to_owned());
        self
    }

    /// No seal key.
    pub fn without_seal_key(mut self) -> Self {
        self.seal_key = false;
        self
    }

    /// Runs this instead of the program, with the program's arguments.
    pub fn command(mut self, command: Command) -> Self {
        self.command = command;
        self
    }

    /// This configuration instead of all that is said here; its listeners are at free ports all the same.
    pub fn whole_config(mut self, text: &str) -> Self {
        self.whole = Some(text.to_owned());
        self
    }

    /// The config file's text.
    pub fn config(&self) -> String {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let digest = SecretDigest::of(&SECRET.into());
        let origins = &self.origins;
        let urls = match &*self.upstream_urls {
            [url] => format!("url = \"{url}\""),
            urls => format!("urls = {urls:?}"),
        };
        let (upstream, app, toml) = (self.upstream.join("\n"), self.app.join("\n"), self.toml.join("\n"));
        let signing_key = format!("token.key = {{ value = \"{SIGNING_KEY}\" }}");
        let token = if self.token.is_empty() { signing_key } else { self.token.join("\n") };
        let seal_key =
            if self.seal_key { format!("seal_keys = [{{ value = \"{SEAL_KEY}\" }}]") } else { String::new() };
        format!(
            r#"
[store]
{seal_key}

[[upstreams]]
name = "chat"
{urls}
{upstream}

[[apps]]
id = "{APP}"
dialect = "sigmic"
upstream = "chat"
secret_digests = ["{digest}"]
origins = {origins}
{token}
{app}

{toml}
"#
        )
    }

    /// Starts the program and waits until it listens.
    pub async fn start(mut self) -> Gate {
        // The configuration and, unless a test says otherwise, the store.
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = directory.path().join("sidegate.toml");
        std::fs::write(&config, self.config()).expect("the config is written");
        let mut arguments = vec!["serve".to_owned(), "-c".to_owned(), config.display().to_string()];
        let store = format!("store.path={}", directory.path().join("sidegate.db").display());
        let ports = ["listen.public=127.0.0.1:0", "listen.private=127.0.0.1:0", "listen.ops=127.0.0.1:0"];
        // A machine that is busy with other tests is no overload.
        let fixed = std::iter::once(store.as_str()).chain(ports).chain(["listen.max_lag=0s"]);
        let settings = fixed.chain(self.set.iter().map(String::as_str));
        for setting in settings {
            arguments.extend(["--set".to_owned(), setting.to_owned()]);
        }
        self.command.args(&arguments);
        launch(self.command, arguments, Arc::new(directory)).await
    }
}

/// The program that a command runs, once it listens. It cannot be succeeded.
pub async fn started(command: Command) -> Gate {
    launch(command, Vec::new(), Arc::new(tempfile::tempdir().expect("a temporary directory"))).await
}

/// Runs the program, and waits until it listens.
async fn launch(mut command: Command, arguments: Vec<String>, directory: Arc<tempfile::TempDir>) -> Gate {
    let (child, output) = run(&mut command);
    let waiting = Arc::clone(&output);
    let listening = tokio::task::spawn_blocking(move || waiting.wait_for("\"listening\"")).await.expect("joined");
    let line: Value = serde_json::from_str(&listening).expect("a JSON line");
    let at = |name: &str| line[name].as_str().expect("an address").parse().expect("an address");
    Gate {
        public: at("public"),
        private: at("private"),
        ops: at("ops"),
        client: Client::builder().timeout(PATIENCE).build().expect("a client"),
        child,
        output,
        arguments,
        directory,
    }
}

fn run(command: &mut Command) -> (Child, Arc<Output>) {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    let output = Arc::new(Output::default());
    output.follow(child.stdout.take().expect("piped"));
    output.follow(child.stderr.take().expect("piped"));
    (child, output)
}

impl Output {
    fn follow(self: &Arc<Self>, pipe: impl std::io::Read + Send + 'static) {
        let output = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                output.lines.lock().unwrap().push(line);
                output.grown.notify_all();
            }
        });
    }

    /// The first line that contains `text`.
    fn wait_for(&self, text: &str) -> String {
        let lines = self.lines.lock().unwrap();
        let found = |lines: &Vec<String>| lines.iter().find(|line| line.contains(text)).cloned();
        let missing = |lines: &mut Vec<String>| found(lines).is_none();
        let (lines, _) = self.grown.wait_timeout_while(lines, PATIENCE, missing).unwrap();
        found(&lines).unwrap_or_else(|| panic!("no line with {text} in:\n{}", lines.join("\n")))
    }
}

/// Where the program is: another build if `SIDEGATE_PROGRAM` names one.
#[expect(clippy::disallowed_methods, reason = "a wish of whoever runs the tests, not a setting of the program")]
pub fn program_file() -> OsString {
    std::env::var_os("SIDEGATE_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_sidegate").into())
}

/// The program, with an empty environment but for the path.
pub fn sidegate() -> Command {
    let mut command = Command::new(program_file());
    command.env_clear();
    command
}

impl Gate {
    /// A gate with one app and this upstream.
    pub fn builder(upstream: &Upstream) -> Builder {
        Self::builder_for(&upstream.url())
    }

    /// A gate with one app and the upstream at a URL.
    pub fn builder_for(url: &str) -> Builder {
        Self::builder_for_all(&[url])
    }

    /// A gate with one app and an upstream that has all these URLs.
    pub fn builder_for_all(urls: &[&str]) -> Builder {
        Builder {
            upstream_urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            upstream: Vec::new(),
            origins: json!([SHOP]),
            token: Vec::new(),
            app: Vec::new(),
            toml: Vec::new(),
            set: Vec::new(),
            seal_key: true,
            command: sidegate(),
            whole: None,
        }
    }

    /// A gate with one app, all else as it comes.
    pub async fn start(upstream: &Upstream) -> Self {
        Self::builder(upstream).start().await
    }

    /// A request to the public listener.
    pub fn public(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.public))
    }

    /// A page's request: with a token, from [`SHOP`].
    pub fn chat(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.public(method, path).bearer_auth(token).header("origin", SHOP)
    }

    /// A request to the private listener.
    pub fn private(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.private))
    }

    /// A request to the ops listener.
    pub fn ops(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://{}{path}", self.ops))
    }

    /// An exchange with this body.
    pub async fn exchange(&self, body: &Value) -> Response {
        self.private(Method::POST, "/api/v1/auth/token").json(body).send().await.expect("an answer")
    }

    /// A token for an end user of the default app; `.mint()` gets it.
    pub fn token(&self, end_user: &str) -> Token<'_> {
        let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": end_user });
        Token { gate: self, body }
    }

    /// Creates a task as a page would; its id.
    pub async fn create_task(&self, token: &str) -> String {
        let request = self.chat(Method::POST, "/api/v1/tasks", token).json(&json!({ "message": "Hello" }));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        json_of(answer).await["data"]["id"].as_str().expect("an id").to_owned()
    }

    /// A path in the folder that has its config file, `sidegate.toml`, and unless a test says otherwise its store.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts another config file into the place of the one it was started with.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.path("next"), text).expect("written");
        std::fs::rename(self.path("next"), self.path("sidegate.toml")).expect("renamed");
    }

    /// Everything the program has printed so far.
    pub fn output(&self) -> String {
        self.output.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line of output that contains `text`.
    pub async fn wait_for_line(&self, text: &str) -> String {
        let (output, text) = (Arc::clone(&self.output), text.to_owned());
        tokio::task::spawn_blocking(move || output.wait_for(&text)).await.expect("joined")
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Another gate with the same configuration, which takes over from this one.
    pub async fn successor(&self) -> Gate {
        launch(self.succeeding(&[]), self.arguments.clone(), Arc::clone(&self.directory)).await
    }

    /// The command of one, with more arguments.
    pub fn succeeding(&self, more: &[&str]) -> Command {
        let mut command = sidegate();
        command.args(&self.arguments).arg("--upgrade").args(more);
        command
    }

    /// Where its configuration and store are, as long as this is held: another gate may outlive it.
    pub fn directory(&self) -> Arc<tempfile::TempDir> {
        Arc::clone(&self.directory)
    }

    /// Whether all its threads are in this state (proc(5)).
    pub fn threads_are(&self, state: char) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("a process");
        threads.flatten().all(|thread| {
            // The state follows the name, which may hold anything, and ends with the last parenthesis. A thread that has
            // just ended has none: ask again.
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(state))
        })
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the program to end by itself.
    pub async fn wait(mut self) -> ExitStatus {
        tokio::task::spawn_blocking(move || self.child.wait().expect("it ends")).await.expect("joined")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An exchange in the making.
pub struct Token<'a> {
    gate: &'a Gate,
    body: Value,
}

impl Token<'_> {
    pub fn env(self, name: &str, value: &str) -> Self {
        self.entry("env", name, value)
    }

    pub fn secret(self, name: &str, value: &str) -> Self {
        self.entry("secrets", name, value)
    }

    pub fn expires_in(mut self, text: &str) -> Self {
        self.body["expiresIn"] = text.into();
        self
    }

    /// How much it may be used.
    pub fn leash(mut self, leash: Value) -> Self {
        self.body["leash"] = leash;
        self
    }

    fn entry(mut self, field: &str, name: &str, value: &str) -> Self {
        self.body[field][name] = value.into();
        self
    }

    /// The token.
    pub async fn mint(self) -> String {
        let answer = self.gate.exchange(&self.body).await;
        assert_eq!(answer.status(), 200);
        json_of(answer).await["data"]["token"].as_str().expect("a token").to_owned()
    }
}

/// An answer's body as JSON.
pub async fn json_of(answer: Response) -> Value {
    answer.json().await.expect("JSON")
}

/// Asserts a refusal: status, Sigmic's envelope and code. Hands back the message.
pub async fn assert_refused(answer: Response, status: u16, code: &str) -> String {
    let (got, body) = (answer.status().as_u16(), answer.text().await.expect("a body"));
    assert_eq!(got, status, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["success"], false, "{body}");
    assert_eq!(body["error"]["code"], code, "{body}");
    body["error"]["message"].as_str().expect("a message").to_owned()
}
