//! Files that only their owner reads: backups name end users.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sidegate_core::entropy;

use crate::system::System;

/// A file that is there when it is whole: one that it replaces stays until then.
pub(super) struct Output {
    file: File,
    /// Where it is written; gone if it is not kept.
    partial: PathBuf,
    path: PathBuf,
    force: bool,
}

impl Output {
    /// Begins it. Unless told to `force`, it replaces nothing.
    pub(super) fn create(path: &Path, force: bool) -> io::Result<Self> {
        if !force && path.symlink_metadata().is_ok() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "it is there already; --force replaces it"));
        }
        let partial = beside(path)?;
        Ok(Self { file: create_private(&partial)?, partial, path: path.to_owned(), force })
    }

    /// Where to write.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name.
    pub(super) fn keep(self) -> io::Result<()> {
        self.file.sync_all()?;
        if self.force {
            std::fs::rename(&self.partial, &self.path)
        } else {
            // A link, unlike a new name, replaces nothing that came there meanwhile.
            std::fs::hard_link(&self.partial, &self.path)
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Renamed already, as a rule.
        let _ = std::fs::remove_file(&self.partial);
    }
}

/// All of `input`, in a file that has no name: for what is read twice.
pub(super) fn buffered(mut input: impl Read) -> io::Result<File> {
    let path = beside(&std::env::temp_dir().join("sidegate-import"))?;
    let mut file = create_private(&path)?;
    std::fs::remove_file(&path)?;
    io::copy(&mut input, &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// A file that was not there, readable by its owner alone.
fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// `path` with a random end.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let random = entropy::bytes::<16>(&System).map_err(io::Error::other)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", entropy::hex(&random)));
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder").flatten();
        entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect()
    }

    fn write(path: &Path, force: bool, text: &str) -> io::Result<()> {
        let output = Output::create(path, force)?;
        output.file().write_all(text.as_bytes())?;
        output.keep()
    }

    #[test]
    fn a_kept_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("backup");
        for (force, text) in [(false, "first"), (true, "second")] {
            write(&path, force, text).expect("written");
            let mode = std::fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!((mode & 0o777, std::fs::read_to_string(&path).expect("text")), (0o600, text.to_owned()));
            assert_eq!(names(folder.path()), ["backup"]);
        }
    }

    #[test]
    fn nothing_is_replaced_without_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("backup");
        std::fs::write(&path, "mine").expect("written");
        let fault = write(&path, false, "other").expect_err("refused");
        assert_eq!(fault.kind(), ErrorKind::AlreadyExists);
        let dangling = folder.path().join("link");
        std::os::unix::fs::symlink("/nowhere/file", &dangling).expect("a link");
        assert!(write(&dangling, false, "other").is_err());
        // One that came after the look.
        let late = folder.path().join("late");
        let output = Output::create(&late, false).expect("begun");
        std::fs::write(&late, "mine").expect("written");
        assert!(output.keep().is_err());
        assert_eq!(std::fs::read_to_string(&late).expect("text"), "mine");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "mine");
        assert_eq!(names(folder.path()).len(), 3, "no partial file");
    }

    #[test]
    fn what_is_replaced_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("backup");
        std::fs::write(&path, "mine").expect("written");
        let output = Output::create(&path, true).expect("begun");
        output.file().write_all(b"half").expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "mine");
        drop(output);
        assert_eq!(names(folder.path()), ["backup"]);
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "mine");
    }

    #[test]
    fn what_was_buffered_is_read_from_its_beginning() {
        let mut file = buffered(&b"text"[..]).expect("buffered");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        assert_eq!(text, "text");
        assert_eq!(file.metadata().expect("of a file").permissions().mode() & 0o777, 0o600);
    }
}
