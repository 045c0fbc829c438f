//! The program as a command that ends: `check`, `config print`, `token inspect` and the like.

use std::io::Write;
use std::process::Stdio;

use super::gate::sidegate;

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A command in the making.
#[derive(Default)]
pub struct Program {
    args: Vec<String>,
    environment: Vec<(String, String)>,
    files: Vec<tempfile::NamedTempFile>,
    input: String,
}

/// `sidegate` with these arguments.
pub fn program(args: &[&str]) -> Program {
    Program { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Program::default() }
}

impl Program {
    /// `-c` and a file with this text.
    pub fn config(mut self, text: &str) -> Self {
        let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        self.args.extend(["-c".to_owned(), file.path().display().to_string()]);
        self.files.push(file);
        self
    }

    /// `--set` and this setting.
    pub fn set(mut self, setting: &str) -> Self {
        self.args.extend(["--set".to_owned(), setting.to_owned()]);
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What it reads on standard input.
    pub fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    /// Runs it to its end. Paths of config files are printed as `FILE1`, `FILE2` and so on.
    pub fn run(self) -> Run {
        let mut command = sidegate();
        command.args(&self.args).envs(self.environment);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        // A command that reads nothing may be gone before it is written to.
        let _ = child.stdin.take().expect("piped").write_all(self.input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| {
            let mut text = String::from_utf8(bytes).expect("UTF-8");
            for (index, file) in self.files.iter().enumerate() {
                text = text.replace(&file.path().display().to_string(), &format!("FILE{}", index + 1));
            }
            text
        };
        Run { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
    }
}
