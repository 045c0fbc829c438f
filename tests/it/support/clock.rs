//! A clock for one program that is not this machine's, and can be set while it runs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The file with the time, below a folder.
pub struct FakeClock(PathBuf);

impl FakeClock {
    /// A clock that is ahead of the machine's by so many seconds.
    pub fn new(folder: &Path, ahead: i64) -> Self {
        let known = Command::new("faketime").arg("--version").output().is_ok_and(|run| run.status.success());
        assert!(known, "this test needs faketime: scripts/setup.sh test installs it");
        let clock = Self(folder.join("clock"));
        clock.set(ahead);
        clock
    }

    /// Sets it.
    pub fn set(&self, ahead: i64) {
        // In one step: it is read at any time.
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("{ahead:+}s\n")).expect("written");
        std::fs::rename(new, &self.0).expect("renamed");
    }

    /// Lies about the time, as the program `faketime` does, and can change its mind. The wall clock alone is another:
    /// how long things take is not. The C library's `malloc` comes before jemalloc's, which asks for the time before
    /// anyone can lie about it.
    pub fn rule(&self, command: &mut Command) {
        command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1:libc.so.6");
        command.env("FAKETIME_TIMESTAMP_FILE", &self.0).env("FAKETIME_NO_CACHE", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DISABLE_SHM", "1");
    }
}
