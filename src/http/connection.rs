//! One client connection: TLS or not, HTTP/1.1 or HTTP/2, until its end or the program's.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::Seat;
use super::io::Patient;
use super::service::{Service, handle};
use super::streams::{State, StreamExecutor, Streams, Watched};
use crate::wire::{ClientBody, Io};

/// An HTTP/2 connection is closed gracefully after this time, so that no worker keeps its
/// heaviest clients for ever.
const HTTP2_MAX_AGE: Duration = Duration::from_secs(3_600);

/// Requests at once on one HTTP/2 connection.
const HTTP2_MAX_STREAMS: u32 = 128;

/// What a connection bears.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// For a head to arrive, TLS to be agreed, and an idle connection to stay open.
    pub head_timeout: Duration,
    /// For a write to be taken.
    pub write_timeout: Duration,
    /// For a request that is on its way when draining begins, on a connection that idles.
    pub leave_timeout: Duration,
    /// Bytes of a head.
    pub max_head: usize,
    /// Whether HTTP/2 without TLS is spoken when the client begins with it.
    pub h2c: bool,
    /// Whether it ends with the first answer.
    pub once: bool,
}

/// A connection whose client has chosen its protocol.
struct Opened {
    io: Io,
    http2: bool,
}

/// Serves a connection until it ends; gracefully once `draining` turns true.
pub async fn serve<S: Service>(
    tcp: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    limits: &ConnectionLimits,
    seat: Rc<Seat>,
    draining: watch::Receiver<bool>,
) {
    let Some(Opened { io, http2 }) = open(tcp, tls, limits).await else { return };
    if !http2 {
        return super::http1::serve::<S>(io, limits, seat, draining).await;
    }
    Box::pin(serve_http2::<S>(Patient::new(io, limits.write_timeout), limits, seat, draining)).await;
}

/// HTTP/2 has no deadlines of its own but for pings, which a client may answer for ever.
async fn serve_http2<S: Service>(
    io: Patient,
    limits: &ConnectionLimits,
    seat: Rc<Seat>,
    mut draining: watch::Receiver<bool>,
) {
    let streams = Streams::new();
    let opened = Rc::clone(&streams);
    let service = service_fn(move |request: Request<Incoming>| {
        let stream = opened.open();
        // In a box: the futures around it would each hold it twice.
        let answer = Box::pin(handle::<S>(&seat, request.map(ClientBody::Http2)));
        async move { Ok::<_, Infallible>(answer.await.map(|body| Watched::new(body, stream))) }
    });
    let mut connection =
        pin!(http2_builder(limits, StreamExecutor(Rc::clone(&streams))).serve_connection(TokioIo::new(io), service));
    let started = Instant::now();
    let mut leaving = limits.once;
    if leaving {
        connection.as_mut().graceful_shutdown();
    }
    loop {
        let tick = limits.head_timeout.min(limits.write_timeout);
        let done = match leaving {
            false => until(connection.as_mut(), &mut draining, tick).await.is_some(),
            true => tokio::time::timeout(tick, connection.as_mut()).await.is_ok(),
        };
        if done {
            return;
        }
        streams.reset_stalled(limits.write_timeout);
        // One that is there to be told that there is no room: a client that asks on and on would keep its place.
        if limits.once && started.elapsed() >= limits.head_timeout + limits.write_timeout {
            return;
        }
        match streams.state(limits.head_timeout) {
            // It was told to leave and nothing holds it.
            State::Idle if leaving => return,
            State::Busy if !*draining.borrow() && started.elapsed() < HTTP2_MAX_AGE => {}
            State::Busy | State::Idle => {
                connection.as_mut().graceful_shutdown();
                leaving = true;
            }
        }
    }
}

/// `None` if the connection was still going when draining began or its age was reached.
async fn until<T>(
    connection: impl Future<Output = T>,
    draining: &mut watch::Receiver<bool>,
    age: Duration,
) -> Option<T> {
    let end = async {
        // An error means that the program's other end is gone: also a reason to drain.
        let _ = draining.wait_for(|draining| *draining).await;
    };
    let end = async { drop(tokio::time::timeout(age, end).await) };
    tokio::select! {
        biased;
        done = connection => Some(done),
        () = end => None,
    }
}

fn http2_builder(limits: &ConnectionLimits, executor: StreamExecutor) -> http2::Builder<StreamExecutor> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(limits.head_timeout)
        .max_concurrent_streams(HTTP2_MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX));
    builder
}

async fn open(tcp: TcpStream, tls: Option<Arc<ServerConfig>>, limits: &ConnectionLimits) -> Option<Opened> {
    let Some(tls) = tls else {
        let http2 = speaks_http2(&tcp, limits).await?;
        return Some(Opened { io: Io::Plain(tcp), http2 });
    };
    let handshake = TlsAcceptor::from(tls).accept(tcp);
    let io = tokio::time::timeout(limits.head_timeout, handshake).await.ok()?.ok()?;
    let http2 = io.get_ref().1.alpn_protocol() == Some(b"h2");
    Some(Opened { io: Io::Tls(Box::new(io.into())), http2 })
}

/// Whether a client without TLS speaks HTTP/2, which only some may; `None` if it says nothing.
async fn speaks_http2(tcp: &TcpStream, limits: &ConnectionLimits) -> Option<bool> {
    if limits.h2c { begins_with_http2(tcp, limits.head_timeout).await } else { Some(false) }
}

/// Whether the client's first bytes are HTTP/2's preface (RFC 9113 section 3.4). Waits for four of
/// them, which tell it from any HTTP/1.1 method, but not for ever.
async fn begins_with_http2(tcp: &TcpStream, patience: Duration) -> Option<bool> {
    let first_bytes = async {
        let mut bytes = [0; 4];
        loop {
            match tcp.peek(&mut bytes).await {
                Ok(4) => return &bytes == b"PRI ",
                Ok(0) | Err(_) => return false,
                Ok(got) if !b"PRI ".starts_with(&bytes[..got]) => return false,
                // The socket stays readable while bytes wait in it, so only time can be waited for.
                Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(patience, first_bytes).await.ok()
}
