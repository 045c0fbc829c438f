//! One child process, pinned to cores, and what the kernel says about its tree in `/proc`.

use crate::Result;
use crate::programs::find;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `/proc` counts CPU time in hundredths of a second on every Linux this runs on (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// A running child; dropped, it and its descendants end, whatever else went wrong.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// CPU time in the program's own code and in the kernel on its behalf.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Cpu {
    /// Seconds of user and system time, and of user time alone, since `earlier`.
    pub(crate) fn seconds_since(self, earlier: Self) -> (f64, f64) {
        let user = self.user.saturating_sub(earlier.user).as_secs_f64();
        (user + self.system.saturating_sub(earlier.system).as_secs_f64(), user)
    }
}

/// Keeps this program, and what it starts without saying more, away from the cores of the proxies.
pub(crate) fn pin_self(cores: &str) -> Result<()> {
    let status = Command::new("taskset")
        .args(["--cpu-list", "--pid", cores, &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("taskset: {status}; are there two cores?").into()) }
}

impl Process {
    /// Starts `program` on `cores`; its output goes to `log`. It dies with this program even if that is killed.
    pub(crate) fn start(name: &str, cores: &str, program: &str, args: &[String], log: PathBuf) -> Result<Self> {
        let path = find(program).ok_or_else(|| format!("{name}: {program} not found"))?;
        let output = File::create(&log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", cores])
            .arg(path)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("{name}: cannot start {program}: {error}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Fails, with the end of its output, if it is no longer there.
    pub(crate) fn alive(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        Err(format!("{} ended early ({status}):\n{}", self.name, tail(&self.log)).into())
    }

    /// CPU time of the whole tree so far.
    pub(crate) fn cpu(&self) -> Cpu {
        let of_each = self.tree().into_iter().filter_map(cpu);
        of_each.fold(Cpu::default(), |sum, one| Cpu { user: sum.user + one.user, system: sum.system + one.system })
    }

    /// Resident memory of the whole tree, in KiB; pages shared between its processes count in each.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.tree().into_iter().filter_map(resident_kib).sum()
    }

    /// Itself and its descendants.
    fn tree(&self) -> Vec<u32> {
        let parents = parents();
        let mut pids = vec![self.child.id()];
        let mut next = 0;
        while let Some(&parent) = pids.get(next) {
            pids.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        pids
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let tree = self.tree();
        signal("TERM", &[self.child.id()]);
        let asked = Instant::now();
        while asked.elapsed() < STOP_PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(5));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            signal("KILL", &tree);
            // Already gone is what we want.
            let _ = self.child.wait();
        }
    }
}

/// The end of a file that may be long.
fn tail(path: &Path) -> String {
    let Ok(mut file) = File::open(path) else { return String::new() };
    let length = file.metadata().map_or(0, |facts| facts.len());
    let mut text = Vec::new();
    // Nothing to show is no reason for another failure.
    let _ = file.seek(SeekFrom::Start(length.saturating_sub(2048))).and_then(|_| file.read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

/// The shell's own `kill`, because the standard library can only send SIGKILL, which would orphan nginx's worker.
fn signal(name: &str, pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let script = format!("kill -{name} {} 2>/dev/null", pids.join(" "));
    // A process that ended meanwhile is no failure.
    let _ = Command::new("sh").args(["-c", &script]).status();
}

/// Pid and parent of every process; the `children` files of proc(5) would be shorter, but not every kernel has them.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat_field(pid, 4)?)))
        .collect()
}

fn cpu(pid: u32) -> Option<Cpu> {
    Some(Cpu { user: TICK * stat_field(pid, 14)?, system: TICK * stat_field(pid, 15)? })
}

/// A field of proc(5) `stat`, numbered as there; those from the third on follow the command name, which may hold spaces.
fn stat_field(pid: u32, number: usize) -> Option<u32> {
    let stat = read_proc(pid, "stat")?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(number - 3)?.parse().ok()
}

fn resident_kib(pid: u32) -> Option<u64> {
    let status = read_proc(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn read_proc(pid: u32, file: &str) -> Option<String> {
    fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(file)).ok()
}
