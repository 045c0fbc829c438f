//! A WebSocket: who it is for comes first, then everything comes back.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::fault::{Fault, HEADER};
use super::run::{Done, End, Run};
use super::sigmic::{task, token};
use crate::support::gate::SHOP;

pub async fn talk(run: Run<'_>) -> Done {
    let token = token(&run).await?;
    let id = task(&run, &token).await?;
    let fault = run.fault().filter(|fault| [Fault::Reset, Fault::Close, Fault::Garbage].contains(fault));
    let mut request =
        format!("ws://{}/api/v1/tasks/{id}/stream", run.world.gate.public).into_client_request().expect("a request");
    let bearer = format!("Bearer {token}");
    let fields = [("origin", SHOP), ("authorization", &*bearer), (HEADER, fault.map_or("none", Fault::name))];
    for (name, value) in fields {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let Ok(socket) = TcpStream::connect(run.world.gate.public).await else { return run.wrong("no connection") };
    let begun = Instant::now();
    let opened = client_async(request, socket).await;
    let status = match &opened {
        Ok((_, answer)) => answer.status().as_u16(),
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(fault) => return run.wrong(format!("no handshake: {fault:?}")),
    };
    run.world.tally.answer(run.name, status, begun.elapsed(), false);
    match (opened, fault) {
        (Ok((mut socket, _)), None) => echo(&run, &mut socket).await,
        (Err(_), Some(_)) if status == 502 => Ok(()),
        (Err(_), None) if status == 503 && run.world.outages.touch(begun) => Err(End::Excused("no store")),
        (_, fault) => run.wrong(format!("{status} after {fault:?}")),
    }
}

async fn echo(run: &Run<'_>, socket: &mut WebSocketStream<TcpStream>) -> Done {
    expect(run, socket, &run.mark).await?;
    for n in 0..4 {
        let text = format!("{n} {} {}", run.mark, "x".repeat(run.chance.below(20_000)));
        if socket.send(Message::text(&*text)).await.is_err() {
            return run.wrong("it was closed");
        }
        expect(run, socket, &text).await?;
        run.pause(Duration::from_millis(60)).await;
    }
    // Half of them say goodbye.
    if run.chance.one_in(2) {
        let _ = socket.close(None).await;
    }
    Ok(())
}

async fn expect(run: &Run<'_>, socket: &mut WebSocketStream<TcpStream>, text: &str) -> Done {
    match tokio::time::timeout(Duration::from_secs(30), socket.next()).await {
        Ok(Some(Ok(message))) if message.to_text().is_ok_and(|got| got == text) => Ok(()),
        other => run.wrong(format!("not what was to come back: {other:?}")),
    }
}
