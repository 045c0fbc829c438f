//! The chat service of a soak: it answers with the mark of whom the gate says a request is from, fails as the request asks it
//! to, and holds every request to what the gate promises.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::answers;
use super::fault::{Fault, HEADER};
use super::marks::{marks, secret};

/// An idle connection is closed after it, on purpose shorter than the gate's `pool_idle`: both meet now and then.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Conversations that lists tell of.
const LISTED: usize = 20;

/// The running service. It ends, with all its connections, when dropped.
pub struct Service {
    address: SocketAddr,
    pub known: Arc<Known>,
    acceptor: JoinHandle<()>,
}

/// What it remembers.
#[derive(Default)]
pub struct Known {
    /// What should not have come.
    pub wrong: Mutex<Vec<String>>,
    /// Ids of requests that were read to their end.
    seen: Mutex<HashSet<String>>,
    /// The last conversations, whosever they are: id and mark.
    recent: Mutex<VecDeque<(String, String)>>,
    next: Mutex<u64>,
}

impl Known {
    /// Whether the request of this id arrived as a whole.
    pub fn has_seen(&self, request_id: &str) -> bool {
        self.seen.lock().unwrap().contains(request_id)
    }

    /// A new conversation of somebody's; its id.
    pub fn begin(&self, kind: &str, mark: &str) -> String {
        let mut next = self.next.lock().unwrap();
        *next += 1;
        let id = format!("{kind}_{next}");
        let mut recent = self.recent.lock().unwrap();
        recent.push_front((id.clone(), mark.to_owned()));
        recent.truncate(LISTED);
        id
    }

    /// Everybody's last conversations: the gate must leave the caller's alone.
    pub fn list(&self, kind: &str) -> Vec<Value> {
        let recent = self.recent.lock().unwrap();
        let of_kind = recent.iter().filter(|(id, _)| id.starts_with(kind));
        of_kind.map(|(id, mark)| json!({ "id": id, "title": mark })).collect()
    }

    fn accuse(&self, request: &Request, what: &str) {
        self.wrong.lock().unwrap().push(format!("upstream, {} {}: {what}", request.method, request.path));
    }
}

/// A request as it arrived.
pub struct Request {
    pub method: String,
    pub path: String,
    fields: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Of whom the gate says it is.
    pub fn mark(&self) -> String {
        marks(self.field("x-mark")).next().unwrap_or_default().to_owned()
    }

    pub fn wants_websocket(&self) -> bool {
        self.field("upgrade").eq_ignore_ascii_case("websocket")
    }
}

impl Service {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let known = Arc::<Known>::default();
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&known)));
        Self { address, known, acceptor }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, known: Arc<Known>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("a connection");
        connections.spawn(serve(socket, Arc::clone(&known)));
        while connections.try_join_next().is_some() {}
    }
}

/// Until either side has had enough.
async fn serve(mut socket: TcpStream, known: Arc<Known>) {
    socket.set_nodelay(true).expect("a socket");
    let mut unread = Vec::new();
    loop {
        let next = tokio::time::timeout(KEEP_ALIVE, next(&mut socket, &mut unread, &known)).await;
        let Ok(Some(request)) = next else { return };
        check(&request, &known);
        known.seen.lock().unwrap().insert(request.field("x-request-id").to_owned());
        let fault = Fault::of(request.field(HEADER));
        if request.wants_websocket() && fault.is_none() {
            return answers::websocket(socket, &request).await;
        }
        if !answer(&mut socket, &request, fault, &known).await {
            return;
        }
    }
}

/// The next request with its body; `None` if there is none.
async fn next(socket: &mut TcpStream, unread: &mut Vec<u8>, known: &Known) -> Option<Request> {
    let end = loop {
        if let Some(at) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        fill(socket, unread).await?;
    };
    let head: Vec<u8> = unread.drain(..end).collect();
    let mut request = parse(std::str::from_utf8(&head).ok()?)?;
    if !request.field("transfer-encoding").is_empty() {
        known.accuse(&request, "a body of unknown length, which nobody has sent");
        return None;
    }
    let length = request.field("content-length").parse().unwrap_or(0);
    while unread.len() < length {
        fill(socket, unread).await?;
    }
    request.body = unread.drain(..length).collect();
    Some(request)
}

async fn fill(socket: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    let read = socket.read_buf(unread).await.ok()?;
    (read > 0).then_some(())
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let fields = lines.filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Some(Request { method, path, fields, body: Vec::new() })
}

/// What the gate promises of every request.
fn check(request: &Request, known: &Known) {
    let mark = request.mark();
    if mark.is_empty() {
        return known.accuse(request, "it names nobody");
    }
    let key = request.field("x-key");
    if key != "the-gates-own" {
        known.accuse(request, "without the upstream's own key");
    }
    let (of_tasks, given) = (request.path.starts_with("/api/v1/tasks"), request.field("x-secret"));
    if of_tasks && given != secret(&mark) || !of_tasks && !given.is_empty() {
        known.accuse(request, &format!("{given:?} is not the secret of {mark}"));
    }
    if !request.path.starts_with("/api/chatkit") && !request.field("authorization").is_empty() {
        known.accuse(request, "with the page's token");
    }
    if !request.field("cookie").is_empty() {
        known.accuse(request, "with a cookie");
    }
    let body = String::from_utf8_lossy(&request.body);
    if let Some(other) = marks(&body).chain(marks(&request.path)).find(|found| *found != mark) {
        known.accuse(request, &format!("{other} in a request of {mark}"));
    }
}

/// `false` if the connection is over.
async fn answer(socket: &mut TcpStream, request: &Request, fault: Option<Fault>, known: &Known) -> bool {
    match fault {
        Some(Fault::Reset) => {
            let _ = SockRef::from(&*socket).set_linger(Some(Duration::ZERO));
            false
        }
        Some(Fault::Close) => false,
        Some(Fault::Garbage) => {
            let _ = socket.write_all(b"SMTP 220 ready\r\n\r\n").await;
            false
        }
        Some(Fault::Stall) => {
            // Until the gate has given up.
            let _ = socket.read(&mut [0]).await;
            false
        }
        Some(Fault::Short) => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n";
            let begun = json!({ "success": true, "data": { "user": request.mark() } }).to_string();
            let _ = socket.write_all(format!("{head}{begun}").as_bytes()).await;
            false
        }
        Some(Fault::Refuse) => answers::json(socket, 401, &json!({ "error": "who are you?" })).await,
        Some(Fault::Leave) => {
            answers::usual(socket, request, known).await;
            false
        }
        None => answers::usual(socket, request, known).await,
    }
}
