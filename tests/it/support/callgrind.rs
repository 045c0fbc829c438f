//! The program under callgrind, which counts the instructions that each thread executes. The kernel's are not
//! among them, so the counts depend neither on the machine's speed nor on what else it does.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::gate::Gate;
use super::wire::within;

/// What a processor or a later valgrind may offer beyond AVX2, hidden from glibc and aws-lc: they choose
/// other code for it, and the counts would depend on the machine. The second value is the mask of EBX in CPUID leaf 7:
/// AVX512F, DQ, IFMA, BW, VL, and SHA, which valgrind hides anyway.
const PINNED: [(&str, &str); 2] =
    [("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW"), ("OPENSSL_ia32cap", ":~0xE0230000")];

/// What a worker does once a second, however many requests come: on a slow machine each would have its share in it.
const EVERY_SECOND: &str = "sidegate::http::public::Public::tick";

/// One run of a program under callgrind: where it and valgrind meet.
pub struct Callgrind {
    counts: TempDir,
    pipes: TempDir,
}

/// What a thread has done.
pub struct Counts {
    /// Instructions, without those of [`EVERY_SECOND`].
    pub total: u64,
    /// Where they went, for `callgrind_annotate`.
    pub text: String,
}

impl Callgrind {
    /// # Panics
    /// If valgrind is not installed.
    pub fn new() -> Self {
        for program in ["valgrind", "vgdb"] {
            let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            assert!(found.is_ok(), "{program} is missing: apt-get install valgrind (scripts/setup.sh test does)");
        }
        let folder = || tempfile::tempdir().expect("a folder");
        Self { counts: folder(), pipes: folder() }
    }

    /// The command that runs the program under callgrind; its arguments follow.
    pub fn command(&self) -> Command {
        let mut command = Command::new("valgrind");
        command.env_clear().envs(PINNED).args(["--quiet", "--tool=callgrind", "--separate-threads=yes"]);
        command.arg(format!("--callgrind-out-file={}", self.counts.path().join("counts").display()));
        command.arg(self.prefix()).arg(env!("CARGO_BIN_EXE_sidegate"));
        command
    }

    /// What the busiest thread has done since this was last asked: the worker, where there is one.
    pub async fn take(&self, gate: &Gate) -> Counts {
        let mut command = tokio::process::Command::new("vgdb");
        // Without a user's name in the environment, as the gate: the pipes' names have it in them.
        command.env_clear().arg(self.prefix()).arg(format!("--pid={}", gate.pid())).arg("dump").kill_on_drop(true);
        let run = within(command.output()).await.expect("vgdb runs");
        assert!(run.status.success(), "vgdb: {}", String::from_utf8_lossy(&run.stderr));
        self.files().max_by_key(|counts| counts.total).expect("a thread's counts")
    }

    fn prefix(&self) -> String {
        format!("--vgdb-prefix={}", self.pipes.path().join("vgdb").display())
    }

    /// The threads' counts. The files go, so that the next ones are known.
    fn files(&self) -> impl Iterator<Item = Counts> {
        let files = std::fs::read_dir(self.counts.path()).expect("a folder").flatten();
        files.filter_map(|file| {
            let text = std::fs::read_to_string(file.path()).expect("text");
            std::fs::remove_file(file.path()).expect("removed");
            // One file is for the process, and empty.
            let total: u64 =
                text.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().expect("a number");
            Some(Counts { total: total - of_calls(&text, EVERY_SECOND), text })
        })
    }
}

/// What calls of a function cost with all that they call. Its name stands where it is called first, in front of a number
/// that stands for it from then on: `cfn=(7) name`, `calls=2 0`, and the line with the cost.
fn of_calls(counts: &str, function: &str) -> u64 {
    let named = counts.lines().find_map(|line| {
        let (number, name) = line.split_once("fn=")?.1.split_once(' ')?;
        (name == function).then(|| format!("cfn={number}"))
    });
    let Some(called) = named else { return 0 };
    let (mut lines, mut sum) = (counts.lines(), 0);
    while let Some(line) = lines.next() {
        if line.split(' ').next() == Some(&*called) {
            let cost = lines.nth(1).and_then(|cost| cost.split(' ').nth(1)).expect("a cost");
            sum += cost.parse::<u64>().expect("a number");
        }
    }
    sum
}

/// Until all threads of the program sleep, so that the next thing to do finds it in the same state each time: one that
/// looks at a socket once more before it sleeps would else save a turn of its loop whenever the other side was quicker.
pub async fn asleep(gate: &Gate) {
    let waiting = async {
        while !gate.threads_are('S') {
            tokio::task::yield_now().await;
        }
    };
    within(waiting).await;
}
