//! Listening sockets that somebody else has bound: systemd (`LISTEN_FDS`), or the gate that this one takes over from.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use crate::config::{HandedSockets, ListenSettings};

/// Sockets that need not be bound any more.
#[derive(Debug, Default)]
pub struct Inherited {
    /// For `listen.public`.
    pub public: Option<TcpListener>,
    /// For `listen.private`.
    pub private: Option<TcpListener>,
    /// For `listen.ops`.
    pub ops: Option<TcpListener>,
    /// For `listen.control`; only another gate hands one over.
    pub control: Option<UnixListener>,
}

impl Inherited {
    /// Takes what systemd has handed to this process, each by the name that its unit gives it: `public`,
    /// `private` or `ops`. Removes `LISTEN_FDS` and `LISTEN_PID` from the environment, and so comes before there are
    /// other threads.
    ///
    /// # Errors
    /// A message, for a name that is none of these or comes twice, and for what is no listening TCP socket.
    pub fn from_service_manager(handed: &HandedSockets) -> Result<Self, String> {
        let mut inherited = Self::default();
        if handed.count == 0 {
            return Ok(inherited);
        }
        let mut sockets = ListenFd::from_env();
        if sockets.len() != handed.names.len() {
            let (sockets, names) = (sockets.len(), handed.names.len());
            return Err(format!("LISTEN_FDS: {sockets} sockets are handed over, and LISTEN_FDNAMES has {names} names"));
        }
        for (index, name) in handed.names.iter().enumerate() {
            let fault = |fault: io::Error| format!("LISTEN_FDS: socket {index}, {name:?}: {fault}");
            let socket = sockets.take_tcp_listener(index).map_err(fault)?;
            inherited.put(name, socket.ok_or("is not there").map_err(|text| fault(io::Error::other(text)))?.into())?;
        }
        Ok(inherited)
    }

    /// Takes what another gate sends, each with its name.
    ///
    /// # Errors
    /// As [`Inherited::from_service_manager`].
    pub fn from_gate(names: &[String], sockets: Vec<OwnedFd>) -> Result<Self, String> {
        let mut inherited = Self::default();
        if names.len() != sockets.len() {
            return Err(format!("{} sockets came with {} names", sockets.len(), names.len()));
        }
        for (name, socket) in names.iter().zip(sockets) {
            match name.as_str() {
                "control" => inherited.control = Some(UnixListener::from(checked(name, socket)?)),
                name => inherited.put(name, socket)?,
            }
        }
        Ok(inherited)
    }

    fn put(&mut self, name: &str, socket: OwnedFd) -> Result<(), String> {
        let place = match name {
            "public" => &mut self.public,
            "private" => &mut self.private,
            "ops" => &mut self.ops,
            _ => return Err(format!("a socket {name:?} is handed over, but only public, private and ops are known")),
        };
        let socket = TcpListener::from(checked(name, socket)?);
        socket.local_addr().map_err(|_| format!("the socket {name:?} that is handed over is no TCP socket"))?;
        match place.replace(socket) {
            None => Ok(()),
            Some(_) => Err(format!("two sockets {name:?} are handed over")),
        }
    }

    /// Leaves out what the configuration wants elsewhere: it is bound anew there. Port 0 is any port.
    #[must_use]
    pub fn only_where(self, listen: &ListenSettings) -> Self {
        let only = |socket: Option<TcpListener>, wanted: SocketAddr| {
            socket.filter(|socket| socket.local_addr().is_ok_and(|at| is_same(at, wanted)))
        };
        Self {
            public: only(self.public, listen.public),
            private: only(self.private, listen.private),
            ops: only(self.ops, listen.ops),
            control: self.control,
        }
    }
}

fn is_same(at: SocketAddr, wanted: SocketAddr) -> bool {
    at == wanted || (wanted.port() == 0 && at.ip() == wanted.ip())
}

fn checked(name: &str, socket: OwnedFd) -> Result<OwnedFd, String> {
    match socket_acceptconn(socket.as_fd()) {
        Ok(true) => Ok(socket),
        Ok(false) | Err(_) => Err(format!("what is handed over as {name:?} is no listening socket")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening() -> OwnedFd {
        TcpListener::bind("127.0.0.1:0").expect("bound").into()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn sockets_come_by_their_names() {
        let inherited =
            Inherited::from_gate(&names(&["ops", "public"]), vec![listening(), listening()]).expect("taken");
        assert!(inherited.public.is_some() && inherited.ops.is_some() && inherited.private.is_none());
    }

    #[test]
    fn what_is_no_socket_of_ours_is_refused() {
        let refused =
            |names: &[&str], sockets| Inherited::from_gate(&self::names(names), sockets).expect_err("refused");
        assert!(refused(&["web"], vec![listening()]).contains("\"web\""));
        assert!(refused(&["ops", "ops"], vec![listening(), listening()]).contains("two sockets \"ops\""));
        assert!(refused(&["ops"], vec![]).contains("0 sockets came with 1 names"));
        let file = std::fs::File::open("/dev/null").expect("open");
        assert!(refused(&["public"], vec![file.into()]).contains("no listening socket"));
        let (one, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert!(refused(&["control"], vec![one.into()]).contains("no listening socket"));
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixListener::bind(folder.path().join("a.sock")).expect("bound");
        assert!(refused(&["public"], vec![socket.into()]).contains("no TCP socket"));
    }

    #[test]
    fn port_0_is_any_port_of_the_address() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert!(is_same(at("127.0.0.1:80"), at("127.0.0.1:0")) && is_same(at("127.0.0.1:80"), at("127.0.0.1:80")));
        assert!(!is_same(at("127.0.0.1:80"), at("0.0.0.0:0")) && !is_same(at("127.0.0.1:80"), at("127.0.0.1:81")));
    }
}
