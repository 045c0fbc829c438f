//! Options of every TCP socket, towards clients and upstreams.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Sends small messages at once, and finds out within two minutes when the other end has vanished
/// without a word: a silent stream or WebSocket would hold its places until its token ends.
pub fn prepare(socket: &TcpStream) {
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    // A socket without these options works, only not as well.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(socket).set_tcp_keepalive(&keepalive);
}
