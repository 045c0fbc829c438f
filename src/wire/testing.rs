//! Sockets for unit tests.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

/// Two connected sockets.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("connected"), far.expect("accepted").0)
}

/// Closes a socket so that the other end sees a reset.
pub(crate) fn reset(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("an option of every socket");
    drop(socket);
}

/// Uses up what a task may do on sockets and timers before it lets others run.
pub(crate) fn use_up_budget(cx: &mut std::task::Context<'_>) {
    while let std::task::Poll::Ready(budget) = tokio::task::coop::poll_proceed(cx) {
        budget.made_progress();
    }
}
