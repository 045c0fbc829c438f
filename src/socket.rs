//! Options of every TCP socket: listeners, and connections with clients and upstreams.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`). With the
/// usual 128, the browsers that reconnect after a restart would lose their first packet, and wait a
/// second before they send another.
const BACKLOG: u32 = 4_096;

/// Listens on `address`.
///
/// # Errors
/// Those of the operating system: the address is taken, or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier run may linger; they do not listen.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Bytes that wait in a socket and are not sent yet: with more it would take a client long to show that it reads.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

/// Its end is to be no end of what was sent: the other side gets a reset instead.
pub fn reset_at_close(socket: &TcpStream) {
    // One that is gone already has no end to mistake.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// Sends small messages at once, keeps little for who is slow, and finds out within two minutes when the other end has vanished
/// without a word: a silent stream or WebSocket would hold its places until its token ends.
pub fn prepare(socket: &TcpStream) {
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    // A socket without these options works, only not as well.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(socket).set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(socket).set_tcp_notsent_lowat(UNSENT);
}
