//! From a request to a response: reads the body, records, and does as the behaviour says.

use std::{
    future::pending,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, request::Parts};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio::sync::mpsc;

use super::{
    Order, Shared,
    behaviour::{Behaviour, Doing, Reading, Reply, Step},
    record::{Pledge, Record},
    websocket,
};

type Answer = Response<BoxBody<Bytes, io::Error>>;
type Orders = mpsc::UnboundedSender<Order>;

/// The service of one connection.
pub(super) fn to(
    connection: usize,
    orders: Orders,
    shared: Arc<Shared>,
) -> impl Fn(Request<Incoming>) -> BoxFuture<'static, io::Result<Answer>> {
    move |request| {
        let (orders, shared) = (orders.clone(), Arc::clone(&shared));
        Box::pin(respond(request, connection, orders, shared))
    }
}

async fn respond(
    mut request: Request<Incoming>,
    connection: usize,
    orders: Orders,
    shared: Arc<Shared>,
) -> io::Result<Answer> {
    shared.advance(|seen| seen.heads += 1);
    let pledge = Pledge::new(&shared);
    let behaviour = shared.behaviour(request.uri().path());
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let mut record = Record::new(&head, connection, Arc::clone(&shared));
    read(body, &behaviour, &mut record).await;
    // Recorded before it is answered, so whoever has the answer finds the record.
    drop(record);
    act(behaviour, &head, upgrade, pledge, orders).await
}

/// Reads the body into the record, as fast as the behaviour allows.
async fn read(mut body: Incoming, behaviour: &Behaviour, record: &mut Record) {
    loop {
        if let Reading::Permitted(permits) = &behaviour.reading {
            permits.acquire().await.unwrap().forget();
        }
        match body.frame().await {
            Some(Ok(frame)) => record.take(frame),
            Some(Err(_)) => return,
            None => return record.complete = true,
        }
    }
}

async fn act(
    behaviour: Behaviour,
    head: &Parts,
    upgrade: OnUpgrade,
    pledge: Pledge,
    orders: Orders,
) -> io::Result<Answer> {
    match behaviour.doing {
        Doing::Sigmic if websocket::wanted(head) => {
            Ok(fixed(&websocket::accept(head, upgrade, &pledge.shared), pledge))
        }
        Doing::Sigmic => {
            let reply = pledge.shared.sigmic.answer(&head.method, head.uri.path());
            Ok(fixed(&reply, pledge))
        }
        Doing::Answer(reply) => Ok(fixed(&reply, pledge)),
        Doing::Hold(mut released, reply) => {
            // An error means that the handle was dropped, which also lets go.
            let _ = released.wait_for(|released| *released).await;
            Ok(fixed(&reply, pledge))
        }
        Doing::Script(reply, script) => {
            let steps = script.lock().unwrap().take();
            let steps = steps.ok_or_else(|| io::Error::other("this script was used before"))?;
            Ok(response(&reply, Scripted { steps, orders, pledge }.boxed()))
        }
        Doing::WebSocket => Ok(fixed(&websocket::accept(head, upgrade, &pledge.shared), pledge)),
        Doing::Reset => give(&orders, Order::Reset, pledge).await,
        Doing::Raw(bytes) => give(&orders, Order::Raw(bytes), pledge).await,
    }
}

/// Hands the connection over to its task, which will end it and this future with it.
async fn give(orders: &Orders, order: Order, mut pledge: Pledge) -> io::Result<Answer> {
    pledge.keep();
    let _ = orders.send(order);
    pending().await
}

fn fixed(reply: &Reply, mut pledge: Pledge) -> Answer {
    pledge.keep();
    let body = Full::new(reply.body.clone()).map_err(|never| match never {}).boxed();
    response(reply, body)
}

fn response(reply: &Reply, body: BoxBody<Bytes, io::Error>) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    response.headers_mut().clone_from(&reply.headers);
    response
}

/// A body whose steps the test takes.
struct Scripted {
    steps: mpsc::UnboundedReceiver<Step>,
    orders: Orders,
    pledge: Pledge,
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let step = ready!(self.steps.poll_recv(cx));
        if let Some(Step::Chunk(bytes)) = step {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        self.pledge.keep();
        match step {
            Some(Step::Abort) => Poll::Ready(Some(Err(io::Error::other("told to abort")))),
            Some(Step::Reset) => {
                let _ = self.orders.send(Order::Reset);
                Poll::Pending
            }
            Some(Step::Chunk(_) | Step::End) | None => Poll::Ready(None),
        }
    }
}
