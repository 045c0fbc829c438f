//! The socket's file: made with its mode before anybody can see it, in place of what a dead gate left, and
//! removed at the end unless it is another's by then.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// For how long another gate that is looking at the same folder is waited for. It holds the lock for a few
/// system calls.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The socket of this process, listening.
#[derive(Debug)]
pub struct ControlSocket {
    /// Accepts.
    pub listener: Arc<UnixListener>,
    /// Its file.
    pub place: Place,
}

/// The socket's file. Dropping it removes the file, if it is this gate's, and still the one that was made.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    id: (u64, u64),
    owner: u32,
    is_ours: bool,
    successor: Arc<Semaphore>,
}

impl ControlSocket {
    /// Listens at `path`. A socket there that nobody listens on is replaced.
    ///
    /// # Errors
    /// A message that names the path: a gate listens there, something else than a socket is there, or what the
    /// operating system says.
    pub async fn bind(path: &Path) -> Result<Self, String> {
        Self::try_bind(path)
            .await
            .map_err(|fault| format!("cannot listen on {} (listen.control): {fault}", path.display()))
    }

    async fn try_bind(path: &Path) -> io::Result<Self> {
        let _lock = lock_folder_of(path).await?;
        check_free(path).await?;
        let hidden = hidden_name(path)?;
        let listener = Arc::new(listen(&hidden)?);
        let made = fs::symlink_metadata(&hidden).and_then(|made| fs::rename(&hidden, path).map(|()| made));
        let made = made.inspect_err(|_| drop(fs::remove_file(&hidden)))?;
        let mut place = Place::of(path, &made);
        place.take();
        Ok(Self { listener, place })
    }

    /// Goes on with the socket of the gate before this one, whose file is at `path`. It stays that one's until this one
    /// has taken over.
    ///
    /// # Errors
    /// A message that names the path.
    pub fn inherit(listener: std::os::unix::net::UnixListener, path: &Path) -> Result<Self, String> {
        let inherit = || -> io::Result<Self> {
            listener.set_nonblocking(true)?;
            let found = fs::symlink_metadata(path)?;
            Ok(Self { listener: Arc::new(UnixListener::from_std(listener)?), place: Place::of(path, &found) })
        };
        let fault = |fault: io::Error| format!("cannot go on with {} (listen.control): {fault}", path.display());
        inherit().map_err(fault)
    }
}

/// Binds, says who may connect, and only then listens: until then nobody can connect.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        // A gate with this process id ended just here.
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::other(format!("{} is in the way", path.display()))),
        Err(fault) if fault.kind() == ErrorKind::NotFound => {}
        Err(fault) => return Err(fault),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(OwnedFd::from(socket).into())
}

/// Where the socket is made before it moves to its place: beside it.
fn hidden_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    Ok(path.with_file_name(format!(".{}.{}", name.display(), std::process::id())))
}

/// Fails unless nothing is at `path`, or the socket of a process that is gone.
async fn check_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(()),
        Err(fault) => return Err(fault),
        Ok(found) if !found.file_type().is_socket() => return Err(io::Error::other("something else is there")),
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(fault) if matches!(fault.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        Ok(_) => Err(io::Error::other("a gate listens there")),
        // A full queue, for one, is that of a living process.
        Err(fault) => Err(io::Error::other(format!("a gate may listen there: {fault}"))),
    }
}

/// Two gates that start or end at once look at the path one after the other: else both might find a dead
/// gate's socket, and the second would replace the first one's.
async fn lock_folder_of(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder)?;
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::Error(fault)) => return Err(fault),
            Err(TryLockError::WouldBlock) if Instant::now() >= end => {
                return Err(io::Error::other("its folder stays locked by another process"));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

impl Place {
    fn of(path: &Path, found: &fs::Metadata) -> Self {
        Self {
            path: path.to_owned(),
            id: (found.dev(), found.ino()),
            owner: found.uid(),
            is_ours: false,
            successor: Arc::new(Semaphore::new(1)),
        }
    }

    /// The gate before this one has left the file to it.
    pub const fn take(&mut self) {
        self.is_ours = true;
    }

    /// Leaves the file to the gate that has taken over.
    pub fn leave(mut self) {
        self.is_ours = false;
    }

    /// The user whose gate this is.
    #[must_use]
    pub const fn owner(&self) -> u32 {
        self.owner
    }

    /// Held by the gate that is about to take over. As long as it is, the file stays whatever happens: that gate
    /// has the socket, too.
    #[must_use]
    pub fn successor(&self) -> Arc<Semaphore> {
        Arc::clone(&self.successor)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let ours = |found: fs::Metadata| (found.dev(), found.ino()) == self.id;
        let may = self.is_ours && self.successor.available_permits() > 0;
        // A file that cannot be removed is replaced by the next gate.
        if may && fs::symlink_metadata(&self.path).is_ok_and(ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[tokio::test]
    async fn the_file_is_for_its_owner_and_alone_and_goes_with_the_socket() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        let socket = ControlSocket::bind(&path).await.expect("bound");
        let found = fs::symlink_metadata(&path).expect("there");
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o7777, 0o600);
        assert_eq!(found.uid(), socket.place.owner());
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 1, "nothing is left beside it");
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_gate_left_is_replaced_and_a_living_one_is_not() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(path.exists(), "nobody listens, the file is there");
        let _living = ControlSocket::bind(&path).await.expect("replaced");
        let refused = ControlSocket::bind(&path).await.expect_err("one listens");
        assert_eq!(refused, format!("cannot listen on {} (listen.control): a gate listens there", path.display()));
        UnixStream::connect(&path).await.expect("the first one still does");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_stays() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        fs::write(&path, "mine").expect("written");
        let refused = ControlSocket::bind(&path).await.expect_err("in the way");
        assert!(refused.ends_with("something else is there"), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("read"), "mine");
    }

    #[tokio::test]
    async fn a_gate_that_never_takes_over_leaves_the_file_to_the_one_that_listens() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        let running = ControlSocket::bind(&path).await.expect("bound");
        let handed = || {
            let listener = std::os::fd::AsFd::as_fd(&*running.listener).try_clone_to_owned().expect("a descriptor");
            ControlSocket::inherit(listener.into(), &path).expect("inherited")
        };
        drop(handed());
        UnixStream::connect(&path).await.expect("it is still there");
        let mut taken = handed();
        taken.place.take();
        drop(taken);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_of_another_in_its_place_is_not_removed() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        let first = ControlSocket::bind(&path).await.expect("bound");
        fs::remove_file(&path).expect("removed");
        let _second = ControlSocket::bind(&path).await.expect("bound");
        drop(first);
        UnixStream::connect(&path).await.expect("the second one is there");
    }

    #[tokio::test]
    async fn of_many_that_start_at_once_one_listens() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        drop(UnixListener::bind(&path).expect("left by a dead gate"));
        let all = futures_util::future::join_all((0..8).map(|_| ControlSocket::bind(&path))).await;
        assert_eq!(all.iter().filter(|bound| bound.is_ok()).count(), 1);
    }
}
