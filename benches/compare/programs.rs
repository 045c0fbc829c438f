//! Finding the installed programs, and saying which Debian package brings a missing one.

use crate::Result;
use crate::flags::Flags;
use crate::sections::Section;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Used by every run, whatever its sections.
const ALWAYS: [(&str, &str); 5] =
    [("nginx", "nginx"), ("wrk", "wrk"), ("taskset", "util-linux"), ("setpriv", "util-linux"), ("sh", "dash")];

/// A server program lives here on Debian, where a user's `PATH` may not look.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Debian keeps PostgreSQL's programs here, a folder for each version.
const POSTGRES: &str = "/usr/lib/postgresql";

/// Fails with every missing program at once.
pub(crate) fn require(sections: &[&Section], flags: &Flags) -> Result<()> {
    if find(&flags.sidegate.display().to_string()).is_none() {
        return Err(format!("there is no {}", flags.sidegate.display()).into());
    }
    let of_sections = sections.iter().flat_map(|section| section.needs).copied();
    let mut missing: Vec<String> = ALWAYS
        .into_iter()
        .chain(of_sections)
        .filter(|(program, _)| find(program).is_none())
        .map(|(program, package)| format!("{program} is missing: apt-get install {package}"))
        .collect();
    missing.sort();
    missing.dedup();
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n").into()) }
}

/// Where a program is; a name with a slash is a path already.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM.map(PathBuf::from))
        .chain(newest_postgres())
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// The programs of the newest version that is installed.
fn newest_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir(POSTGRES).into_iter().flatten().flatten();
    let numbers = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok());
    Some(PathBuf::from(POSTGRES).join(numbers.max()?.to_string()).join("bin"))
}

/// First line of what the program says about its version; empty if it says nothing.
pub(crate) fn version(program: &str, argument: &str) -> String {
    let Some(path) = find(program) else { return String::new() };
    let Ok(output) = Command::new(path).arg(argument).stdin(Stdio::null()).output() else { return String::new() };
    // nginx answers on standard error.
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}
