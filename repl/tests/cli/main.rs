//! The program as its users run it: arguments in, exit code, standard output and standard error out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod admin_commands;
mod connect_command;
mod damage;
mod demo;
mod dump_log;
mod kills;
mod log_commands;
mod schemas_command;
mod sql_command;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A data directory and the program that works on it.
struct Program {
    directory: TempDir,
}

/// What a run left.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Program {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command
            .args(arguments)
            .env("MILLSTREAM_DATA_DIR", self.data_dir())
            .env("XDG_STATE_HOME", self.directory.path())
            .env_remove("RUST_LOG")
            .env_remove("MILLSTREAM_LOG_LEVEL")
            .current_dir(self.directory.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, b"")
    }

    fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that fails early does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap().into()
    }

    /// Runs a command that has to succeed and returns its standard output.
    fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok()
    }
}

impl Ran {
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The message of a run that has to fail with this code.
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stderr
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The folder of the examples in the checkout.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").canonicalize().unwrap()
}
