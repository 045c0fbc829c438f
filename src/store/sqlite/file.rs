//! The file itself: made for its owner alone, and known for ours before SQLite touches it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Marks a file as ours: "SGAT" at byte 68 (<https://sqlite.org/fileformat.html#application_id>).
pub(super) const APPLICATION_ID: u32 = 0x5347_4154;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const APPLICATION_ID_AT: std::ops::Range<usize> = 68..72;
const HEADER: usize = 100;

/// A file that is ours, or empty and ours to be.
#[derive(Debug)]
pub(super) struct DataFile {
    /// Absolute and without links, so that neither a change of the working directory nor SQLite's own
    /// reading of names (`file:…`, `:memory:`) leads elsewhere.
    path: PathBuf,
    identity: Identity,
    /// SQLite's log, once there is one. The readers keep it in use, so it stays the same.
    log: OnceLock<Identity>,
    /// Nothing has been written to it.
    pub(super) is_new: bool,
}

/// One file, whatever its name.
type Identity = (u64, u64);

impl DataFile {
    /// Opens or creates the file, and looks at its first bytes.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        match fs::metadata(path) {
            // Asked before it is opened: to open a pipe is to wait for its other end.
            Ok(found) if !found.is_file() => return Err("it is not a regular file".to_owned()),
            Ok(_) => {}
            Err(fault) if fault.kind() == ErrorKind::NotFound => create(path)?,
            Err(fault) => return Err(fault.to_string()),
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(|fault| fault.to_string())?;
        let is_new = check_header(&mut file)?;
        let identity = file.metadata().map(identity).map_err(|fault| fault.to_string())?;
        let path = fs::canonicalize(path).map_err(|fault| fault.to_string())?;
        Ok(Self { path, identity, log: OnceLock::new(), is_new })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file and its log still stand under their names. SQLite would go on with one that was
    /// deleted, and acknowledge what nobody will find again.
    pub(super) fn is_in_place(&self) -> bool {
        let same = |path: &Path, known: &Identity| fs::metadata(path).is_ok_and(|found| identity(found) == *known);
        same(&self.path, &self.identity) && self.log.get().is_none_or(|log| same(&self.beside("-wal"), log))
    }

    /// Remembers which file the log is; called when something stands in it.
    pub(super) fn note_log(&self) {
        if self.log.get().is_none()
            && let Ok(found) = fs::metadata(self.beside("-wal"))
        {
            // Another call may have been faster, with the same.
            let _ = self.log.set(identity(found));
        }
    }

    /// Whether a first start was cut off: SQLite undoes it when the file is opened for writing.
    pub(super) fn has_journal(&self) -> bool {
        self.beside("-journal").exists()
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        name.into()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "passed as a function to what hands it over")]
fn identity(found: Metadata) -> Identity {
    (found.dev(), found.ino())
}

/// For its owner alone; SQLite gives the files beside it the same mode.
fn create(path: &Path) -> Result<(), String> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err("its directory does not exist".to_owned());
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // Its name must survive a crash, too.
        Ok(_) => File::open(directory).and_then(|it| it.sync_all()).map_err(|fault| fault.to_string()),
        // Another process was faster.
        Err(fault) if fault.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Whether the file is empty; an error if it is neither empty nor ours.
fn check_header(file: &mut File) -> Result<bool, String> {
    let mut header = Vec::with_capacity(HEADER);
    file.take(HEADER as u64).read_to_end(&mut header).map_err(|fault| fault.to_string())?;
    if header.is_empty() {
        return Ok(true);
    }
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        return Err("it is not an SQLite file; it is left as it is".to_owned());
    }
    if header[APPLICATION_ID_AT] != APPLICATION_ID.to_be_bytes() {
        return Err("it is an SQLite file of another program; it is left as it is".to_owned());
    }
    Ok(false)
}
