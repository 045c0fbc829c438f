//! A closed loop in which each request shows a token of its own.

use crate::Result;
use crate::connection::Connection;
use crate::load::Load;
use crate::stats::{micros, percentiles};
use crate::token::ORIGIN;
use futures_util::future::try_join_all;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

const PATH: &str = "/api/v1/workspaces/ws_bench/session";
const CONNECTIONS: usize = 64;

/// Fails unless a token is taken once and no more.
pub(super) fn check(address: SocketAddr, token: &str) -> Result<()> {
    run(address, &[token.to_owned()])?;
    match run(address, &[token.to_owned()]) {
        Ok(_) => Err("a token was taken twice".into()),
        Err(_) => Ok(()),
    }
}

/// Shows all tokens, each once; fails if any is refused.
pub(super) fn run(address: SocketAddr, tokens: &[String]) -> Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let count = u32::try_from(tokens.len())?;
    let connections = CONNECTIONS.min(tokens.len());
    // All are written before the load.
    let requests: Vec<_> = tokens.iter().map(|token| request(address, token)).collect();
    let requests = RefCell::new(requests.into_iter());
    let begin = Instant::now();
    let waits = runtime.block_on(try_join_all((0..connections).map(|_| call(address, &requests))))?;
    let seconds = begin.elapsed().as_secs_f64();
    let mut waits_us: Vec<f64> = waits.concat();
    let [p50_us, p99_us, p999_us] = percentiles(&mut waits_us, [500, 990, 999]);
    Ok(Load { requests: count.into(), seconds, p50_us, p99_us, p999_us, late_us: 0.0 })
}

async fn call(address: SocketAddr, requests: &RefCell<impl Iterator<Item = Arc<str>>>) -> io::Result<Vec<f64>> {
    let mut waits_us = Vec::new();
    let mut connection = Connection::open(address, "".into()).await?;
    loop {
        let Some(next) = requests.borrow_mut().next() else { return Ok(waits_us) };
        connection.repeat(next);
        let asked = Instant::now();
        connection.ask().await?;
        waits_us.push(micros(asked.elapsed()));
    }
}

fn request(address: SocketAddr, token: &str) -> Arc<str> {
    let body = format!(r#"{{"token":"{token}"}}"#);
    let length = body.len();
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nOrigin: {ORIGIN}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into()
}
