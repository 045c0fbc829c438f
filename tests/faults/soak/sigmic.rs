//! What pages of Sigmic's do, and what is done to them.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use tokio::time::Instant;

use super::answers::{EVENTS, LARGE, LARGE_QUERY};
use super::marks::secret;
use super::run::{Done, End, Run, Want};
use super::world::BOOTSTRAP;
use crate::support::gate::{APP, SECRET, SHOP};

const TASKS: &str = "/api/v1/tasks";
pub const EXCHANGE: &str = "/api/v1/auth/token";

/// A token of whom the run is about, with their secret in its context.
pub async fn token(run: &Run<'_>) -> Done<String> {
    token_of(run, &run.mark).await
}

async fn token_of(run: &Run<'_>, mark: &str) -> Done<String> {
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": mark, "expiresIn": "10m",
                       "secrets": { "KEY": secret(mark) } });
    let answer = run.server(EXCHANGE, None, &body).await?;
    match answer["data"]["token"].as_str() {
        Some(token) => Ok(token.to_owned()),
        None => run.wrong(format!("an exchange without a token: {answer}")),
    }
}

/// A new task; its id.
pub async fn task(run: &Run<'_>, token: &str) -> Done<String> {
    let answer = run.page("create", Want::ok(), create(run, token)).await?;
    run.own("create", &answer.text, 1)?;
    Ok(answer.json()["data"]["id"].as_str().unwrap_or_default().to_owned())
}

pub fn create(run: &Run<'_>, token: &str) -> reqwest::RequestBuilder {
    run.chat(Method::POST, TASKS, token).json(&json!({ "message": format!("I am {}", run.mark) }))
}

/// Task, list, history and stream, with a fault now and then.
pub async fn chat(run: Run<'_>) -> Done {
    let token = token(&run).await?;
    run.faulty("create", true, create(&run, &token)).await?;
    let id = task(&run, &token).await?;
    let path = format!("{TASKS}/{id}");
    if let Some(answer) = run.faulty("task", false, run.chat(Method::GET, &path, &token)).await? {
        run.own("task", &answer.text, 1)?;
    }
    if let Some(answer) = run.faulty("list", true, run.chat(Method::GET, TASKS, &token)).await? {
        // The upstream has listed everybody's.
        let tasks = answer.json()["data"].as_array().map_or(0, Vec::len);
        run.own("list", &answer.text, tasks)?;
    }
    let more = run.chat(Method::POST, &format!("{path}/messages"), &token).json(&json!({ "message": run.mark }));
    if let Some(answer) = run.faulty("message", false, more).await? {
        run.own("message", &answer.text, 1)?;
    }
    let stream = run.chat(Method::GET, &format!("{path}/stream"), &token);
    if let Some(answer) = run.faulty("stream", false, stream).await? {
        run.own("stream", &answer.text, EVENTS)?;
    }
    strangers(&run, &path).await
}

/// Somebody else's task is not there.
async fn strangers(run: &Run<'_>, path: &str) -> Done {
    let token = token_of(run, &run.stranger()).await?;
    let want = Want::refusal(404, "NOT_FOUND");
    for leaf in ["", "/history", "/stream"] {
        run.page("a stranger's", want, run.chat(Method::GET, &format!("{path}{leaf}"), &token)).await?;
    }
    Ok(())
}

/// A token that is revoked after it was good: refused within a moment, and from then on.
pub async fn revoked(run: Run<'_>) -> Done {
    let token = token(&run).await?;
    run.page("before", Want::ok(), run.chat(Method::GET, TASKS, &token)).await?;
    run.server("/admin/v1/revocations", Some(BOOTSTRAP), &json!({ "token": token })).await?;
    // Each worker knows it within a second; a busy machine takes longer.
    let mut tries = 0;
    loop {
        let request = run.chat(Method::GET, TASKS, &token).header("origin", SHOP);
        match run.send(request).await?.status {
            401 => break,
            200 if tries < 100 => tokio::time::sleep(Duration::from_millis(100)).await,
            503 => return Err(End::Excused("no store")),
            status => return run.wrong(format!("{status} for a token that was revoked, try {tries}")),
        }
        tries += 1;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        let request = run.chat(Method::GET, TASKS, &token);
        run.page("after", Want::refusal(401, "INVALID_TOKEN"), request).await?;
    }
    Ok(())
}

/// A page that leaves in the middle of a stream, or of its own request.
pub async fn leaver(run: Run<'_>) -> Done {
    let token = token(&run).await?;
    let id = task(&run, &token).await?;
    let path = format!("{TASKS}/{id}/stream?{LARGE_QUERY}");
    let Ok(mut answer) = run.chat(Method::GET, &path, &token).header("origin", SHOP).send().await else {
        return run.wrong("no answer");
    };
    match answer.chunk().await {
        Ok(Some(chunk)) => run.check_text("stream", &String::from_utf8_lossy(&chunk))?,
        other => return run.wrong(format!("no chunk: {other:?}")),
    }
    run.pause(Duration::from_millis(20)).await;
    drop(answer);
    half(&run, &token).await
}

/// Half of a request, by hand; then the connection ends.
async fn half(run: &Run<'_>, token: &str) -> Done {
    let Ok(mut socket) = tokio::net::TcpStream::connect(run.world.gate.public).await else {
        return run.wrong("no connection");
    };
    let whole = format!(
        "POST {TASKS} HTTP/1.1\r\nHost: gate\r\nOrigin: {SHOP}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 400\r\n\r\n{{\"message\":\"never complete"
    );
    let part = run.chance.below(whole.len());
    let _ = socket.write_all(&whole.as_bytes()[..part]).await;
    run.pause(Duration::from_millis(50)).await;
    Ok(())
}

/// A page that takes a large stream slowly gets all of it.
pub async fn slow(run: Run<'_>) -> Done {
    let begun = Instant::now();
    let token = token(&run).await?;
    let id = task(&run, &token).await?;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("a small buffer");
    let Ok(mut socket) = socket.connect(run.world.gate.public).await else { return run.wrong("no connection") };
    let request = format!(
        "GET {TASKS}/{id}/stream?{LARGE_QUERY} HTTP/1.1\r\nHost: gate\r\nOrigin: {SHOP}\r\n\
         Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let _ = socket.write_all(request.as_bytes()).await;
    let mut read = Vec::new();
    while socket.read_buf(&mut read).await.is_ok_and(|got| got > 0) {
        run.pause(Duration::from_millis(8)).await;
    }
    let Some(text) = unchunked(&read) else {
        // By hand: a refusal for want of the store is not told from others by its code.
        let refused = read.starts_with(b"HTTP/1.1 503 ") && run.world.outages.touch(begun);
        return if refused { Err(End::Excused("no store")) } else { run.wrong(String::from_utf8_lossy(&read)) };
    };
    run.check_text("slow", &text)?;
    run.own("slow", &text, LARGE.0)
}

/// The body of an answer in chunks, if it is all there.
fn unchunked(answer: &[u8]) -> Option<String> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (mut rest, mut body) = (&answer[end + 4..], Vec::new());
    loop {
        let line = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        let chunk = rest.get(line + 2..line + 2 + size)?;
        if size == 0 {
            return String::from_utf8(body).ok();
        }
        body.extend_from_slice(chunk);
        rest = rest.get(line + 2 + size + 2..)?;
    }
}

/// Whatever must be refused before the upstream hears of it.
pub async fn refused(run: Run<'_>) -> Done {
    use crate::support::forge;
    let claims = |changes: Value| {
        let mut all = json!({ "sub": run.mark, "allowedOrigins": [SHOP] });
        forge::merge(&mut all, &changes);
        forge::token_with(&all)
    };
    let get = |token: &str| run.chat(Method::GET, TASKS, token);
    let invalid = Want::refusal(401, "INVALID_TOKEN");
    run.page("garbage", Want::refusal(401, "INVALID_AUTH_FORMAT"), get("a.b.c")).await?;
    run.page("expired", invalid, get(&claims(json!({ "exp": forge::now() - 60 })))).await?;
    run.page("early", invalid, get(&claims(json!({ "nbf": forge::now() + 600 })))).await?;
    let foreign = forge::token_of(APP, "another-key-of-the-tests-0123456789abcdef", &json!({ "sub": run.mark }));
    run.page("another key", invalid, get(&foreign)).await?;
    run.page("no token", Want::refusal(401, "AUTH_REQUIRED"), run.public(Method::GET, TASKS)).await?;
    // Without a context the app's template cannot be filled.
    run.page("no context", Want::refusal(403, "CONTEXT_UNRESOLVED"), get(&claims(json!({})))).await?;
    let token = token(&run).await?;
    let elsewhere = Want::refusal(403, "ORIGIN_NOT_ALLOWED").from(super::run::ELSEWHERE);
    run.page("elsewhere", elsewhere, get(&token)).await?;
    let nowhere = Want::refusal(404, "NOT_FOUND");
    run.page("nowhere", nowhere, run.chat(Method::GET, "/api/v1/nothing", &token)).await?;
    run.page("method", Want::refusal(405, "METHOD_NOT_ALLOWED"), run.chat(Method::PUT, TASKS, &token)).await?;
    let broken = run.chat(Method::POST, TASKS, &token).header("content-type", "application/json").body("{\"message\":");
    run.page("broken", Want::refusal(400, "INVALID_REQUEST"), broken).await?;
    let typed = run.chat(Method::POST, TASKS, &token).header("content-type", "text/plain").body("hello");
    run.page("type", Want::refusal(415, "UNSUPPORTED_MEDIA_TYPE"), typed).await?;
    let wrong = json!({ "appId": APP, "appSecret": "wsec_wrong", "endUserId": run.mark });
    let wrong = run.world.http1.post(format!("http://{}{EXCHANGE}", run.world.gate.private)).json(&wrong);
    match run.send(wrong).await? {
        answer if answer.status == 401 => Ok(()),
        answer => run.wrong(format!("a wrong secret: {answer:?}")),
    }
}

/// Asks first, as browsers do.
pub async fn preflight(run: Run<'_>) -> Done {
    let ask = || {
        let request = run.public(Method::OPTIONS, TASKS).header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "authorization,content-type")
    };
    let answer = run.page("preflight", Want { status: 204, ..Want::ok() }, ask()).await?;
    if !answer.header("access-control-allow-headers").contains("authorization") {
        return run.wrong(format!("{answer:?}"));
    }
    let elsewhere = Want::refusal(403, "ORIGIN_NOT_ALLOWED").from(super::run::ELSEWHERE);
    run.page("preflight elsewhere", elsewhere, ask()).await?;
    Ok(())
}
