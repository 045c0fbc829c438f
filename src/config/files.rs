//! The files that a configuration is read from: its own, and those that its keys name.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::settings::Settings;

/// A file as it was at one moment, behind all symbolic links: enough to tell that it has been written, replaced, or put
/// in the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Files with their stamps; `None` for one that is not there, or not to be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Option<Stamp>>);

impl Files {
    /// Stamps a file as it is now. Called before it is read, so that what is written later is always noticed; what was
    /// stamped before stays.
    pub fn note(&mut self, path: &Path) {
        if !self.0.contains_key(path) {
            let stamp = std::fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata));
            self.0.insert(path.to_owned(), stamp);
        }
    }

    /// Notes the files that settings name, and that are read later.
    pub(super) fn note_named(&mut self, settings: &Settings) {
        let tls = [&settings.listen.tls, &settings.listen.private_tls].into_iter().flatten();
        let of_tls = tls.flat_map(|tls| [&tls.cert, &tls.key].into_iter().chain(&tls.client_ca));
        let authorities = settings.upstreams.iter().filter_map(|upstream| upstream.ca.as_ref());
        of_tls.chain(authorities).chain(&settings.assets.ca).for_each(|path| self.note(path));
    }

    /// The same files as they are now.
    #[must_use]
    pub fn again(&self) -> Self {
        let mut files = Self::default();
        self.0.keys().for_each(|path| files.note(path));
        files
    }

    /// These, and those of `others` that are not among them.
    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        for (path, stamp) in &others.0 {
            self.0.entry(path.clone()).or_insert(*stamp);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(path: &Path) -> Files {
        let mut files = Files::default();
        files.note(path);
        files
    }

    #[test]
    fn a_file_that_is_written_replaced_removed_or_behind_another_link_is_not_the_same() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("a"), "one").expect("written");
        let first = stamped(&at("a"));
        assert_eq!(first, first.again());
        std::fs::write(at("a"), "three").expect("written");
        let written = first.again();
        assert_ne!(first, written);
        std::fs::write(at("b"), "three").expect("written");
        std::fs::rename(at("b"), at("a")).expect("renamed");
        let replaced = first.again();
        assert_ne!(written, replaced);
        std::fs::remove_file(at("a")).expect("removed");
        assert_ne!(replaced, first.again());
        for name in ["1", "2"] {
            std::fs::create_dir(at(name)).expect("made");
            std::fs::write(at(name).join("key"), "same").expect("written");
        }
        std::os::unix::fs::symlink("1", at("data")).expect("linked");
        let linked = stamped(&at("data/key"));
        std::os::unix::fs::symlink("2", at("data_tmp")).expect("linked");
        std::fs::rename(at("data_tmp"), at("data")).expect("renamed");
        assert_ne!(linked, linked.again());
    }

    #[test]
    fn what_was_stamped_before_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("late");
        let mut files = stamped(&path);
        std::fs::write(&path, "there").expect("written");
        files.note(&path);
        assert_ne!(files, files.again());
        let both = files.clone().and(&files.again());
        assert_eq!(both, files);
    }
}
