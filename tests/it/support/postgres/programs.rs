//! The programs of PostgreSQL, as whom they run, and a new server's files.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{ADMIN, PASSWORD};

/// The programs of the newest version that is installed: Debian does not put them on the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        let folder = version.path().join("bin");
        folder.join("initdb").exists().then_some((number, folder))
    });
    let newest = newest.max_by_key(|(number, _)| *number).map(|(_, folder)| folder);
    newest.unwrap_or_else(|| {
        panic!("there is no /usr/lib/postgresql/*/bin/initdb: install Debian's package postgresql, or run `make test`")
    })
}

fn is_root() -> bool {
    let user = Command::new("id").arg("-u").output().expect("id runs");
    user.stdout == b"0\n"
}

/// A program of PostgreSQL, which refuses to run as root: then it runs as the user that Debian's package makes.
fn program(name: &str) -> Command {
    let path = programs().join(name);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Lets the server's user have a folder and what is in it.
pub(super) fn give(folder: &Path) {
    if is_root() {
        run(Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder));
    }
}

pub(super) fn write_privately(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
    run(Command::new("chmod").arg("0600").arg(path));
}

pub(super) fn run(command: &mut Command) {
    let ended = command.stderr(Stdio::piped()).output().unwrap_or_else(|fault| panic!("{command:?}: {fault}"));
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A new server's files, made once for all tests of this checkout: it takes a second or more.
pub(super) fn template() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let version = programs().parent().and_then(Path::file_name).expect("a version").to_owned();
    let path = target.join(format!("postgres-{}", version.display()));
    // Tests run at once, in several processes, too.
    let lock = File::create(path.with_extension("lock")).expect("a file");
    lock.lock().expect("a lock");
    if !path.exists() {
        // Elsewhere, as the server's user may not be let into the target folder.
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("password"), PASSWORD).expect("written");
        give(folder.path());
        let mut initdb = program("initdb");
        initdb.args(["-U", ADMIN, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"]);
        run(initdb.current_dir(folder.path()).args(["--pwfile", "password", "-D", "data"]));
        let unfinished = path.with_extension("new");
        run(Command::new("rm").arg("-rf").arg(&unfinished));
        run(Command::new("cp").arg("-a").arg(folder.path().join("data")).arg(&unfinished));
        std::fs::rename(&unfinished, &path).expect("in place");
    }
    path
}

/// `None` if the port is taken after all, or what a crash left is still in use.
pub(super) fn spawn(port: u16, tls: bool, folder: &Path) -> Option<Child> {
    let mut server = program("postgres");
    server.current_dir(folder).arg("-D").arg(folder.join("data"));
    let settings = [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        format!("unix_socket_directories={}", folder.display()),
        "fsync=off".to_owned(),
        "shared_buffers=2MB".to_owned(),
        format!("ssl={}", if tls { "on" } else { "off" }),
        format!("ssl_cert_file={}", folder.join("server.crt").display()),
        format!("ssl_key_file={}", folder.join("server.key").display()),
    ];
    for setting in settings {
        server.args(["-c", &setting]);
    }
    let mut child = server.stderr(Stdio::piped()).spawn().expect("PostgreSQL starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let ready = lines.any(|line| line.contains("database system is ready to accept connections"));
    // Nobody would read on, and a full pipe stops the server.
    std::thread::spawn(move || lines.for_each(drop));
    if !ready {
        child.wait().expect("it ends");
    }
    ready.then_some(child)
}
