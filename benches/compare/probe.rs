//! Before the load: does the row forward, and do what it claims? A broken proxy is fast.

use crate::lab::{Lab, Proxy};
use crate::rows::{Claim, Row};
use crate::token::Tokens;
use crate::{Result, token};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The request that every row is loaded with.
pub(crate) const CHAT_PATH: &str = "/api/v1/tasks/task_1/messages";
/// Creates the task that the load writes to.
const CREATE_PATH: &str = "/api/v1/tasks?task=task_1";
/// Creates the task whose messages the upstream answers with the body that it saw.
const CREATE_ECHO_PATH: &str = "/api/v1/tasks?task=task_echo";
const ECHO_BODY_PATH: &str = "/api/v1/tasks/task_echo/messages";
/// The upstream answers here with the injected headers that it saw.
const ECHO_PATH: &str = "/api/v1/tasks/task_1/history";
const PATIENCE: Duration = Duration::from_secs(5);

/// Creates the task that the load writes to, then checks what the row promises.
pub(crate) fn check(row: &Row, proxy: &Proxy, lab: &Lab) -> Result<()> {
    check_with(row, proxy, lab, &Tokens::usual()?)
}

/// The same with tokens of the row's own.
pub(crate) fn check_with(row: &Row, proxy: &Proxy, lab: &Lab, tokens: &Tokens) -> Result<()> {
    let ask = Ask { name: &row.name, address: proxy.address, body: &lab.request_body, tokens };
    ask.expect(200, "POST", CREATE_PATH, token::ORIGIN, &tokens.valid)?;
    let reply = ask.expect(200, "POST", CHAT_PATH, token::ORIGIN, &tokens.valid)?;
    if !reply.ends_with(&lab.reply_body) {
        return Err(format!("{}: the reply is not the upstream's:\n{reply}", row.name).into());
    }
    for claim in row.claims {
        match claim {
            Claim::Token => checks_tokens(&ask),
            Claim::Origin => checks_origins(&ask),
            Claim::Headers => injects_headers(&ask),
            Claim::Body => injects_fields(&ask),
        }?;
    }
    Ok(())
}

fn checks_tokens(ask: &Ask) -> Result<()> {
    for token in ask.tokens.refused.iter().map(String::as_str).chain([""]) {
        ask.expect(401, "POST", CHAT_PATH, token::ORIGIN, token)?;
    }
    let echo = ask.expect(200, "GET", ECHO_PATH, token::ORIGIN, &ask.tokens.valid)?;
    ask.contains(&echo, "auth=\"")
}

fn checks_origins(ask: &Ask) -> Result<()> {
    ask.expect(403, "POST", CHAT_PATH, "https://shop.example.com.evil.example", &ask.tokens.valid)?;
    ask.expect(204, "OPTIONS", CHAT_PATH, token::ORIGIN, "")?;
    let reply = ask.expect(200, "GET", ECHO_PATH, token::ORIGIN, &ask.tokens.valid)?;
    ask.contains(&reply.to_lowercase(), &format!("access-control-allow-origin: {}", token::ORIGIN))
}

fn injects_headers(ask: &Ask) -> Result<()> {
    let echo = ask.expect(200, "GET", ECHO_PATH, token::ORIGIN, &ask.tokens.valid)?;
    ask.contains(&echo, &format!("tenant=bench user={} app={}", token::END_USER, token::APP))
}

fn injects_fields(ask: &Ask) -> Result<()> {
    ask.expect(200, "POST", CREATE_ECHO_PATH, token::ORIGIN, &ask.tokens.valid)?;
    let echo = ask.expect(200, "POST", ECHO_BODY_PATH, token::ORIGIN, &ask.tokens.valid)?;
    let body = echo.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let mut expected: Value = serde_json::from_str(ask.body)?;
    expected["tenant"] = "bench".into();
    expected["end_user"] = token::END_USER.into();
    if serde_json::from_str::<Value>(body).is_ok_and(|seen| seen == expected) {
        return Ok(());
    }
    Err(format!("{}: the upstream should see two more fields but saw\n{body}", ask.name).into())
}

/// Whom to ask, and what to send.
struct Ask<'a> {
    name: &'a str,
    address: SocketAddr,
    body: &'a str,
    tokens: &'a Tokens,
}

impl Ask<'_> {
    /// The whole response, head and body, if it has the expected status.
    fn expect(&self, status: u16, method: &str, path: &str, origin: &str, token: &str) -> Result<String> {
        let reply = self
            .exchange(method, path, origin, token)
            .map_err(|error| format!("{}: {method} {path}: {error}", self.name))?;
        if reply.starts_with(&format!("HTTP/1.1 {status} ")) {
            return Ok(reply);
        }
        Err(format!("{}: {method} {path} should answer {status} but said\n{reply}", self.name).into())
    }

    fn contains(&self, reply: &str, expected: &str) -> Result<()> {
        if reply.contains(expected) {
            return Ok(());
        }
        Err(format!("{}: expected {expected} in\n{reply}", self.name).into())
    }

    fn exchange(&self, method: &str, path: &str, origin: &str, token: &str) -> Result<String> {
        let body = if method == "POST" { self.body } else { "" };
        let bearer = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let preflight = if method == "OPTIONS" { "Access-Control-Request-Method: POST\r\n" } else { "" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nOrigin: {origin}\r\n{bearer}{preflight}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        roundtrip(self.address, &request)
    }
}

/// Sends a whole request that says `Connection: close`, and reads the whole response.
pub(crate) fn roundtrip(address: SocketAddr, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}
