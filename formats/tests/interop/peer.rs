//! A program beside this one that runs serializers of other people.

use std::{
    ffi::OsString,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

/// How the program is started; it gets a command and the registry's address.
pub(crate) struct Peer(Vec<OsString>);

impl Peer {
    /// The peer; `None`, said aloud, if it is not to be had.
    pub(crate) fn new(whose: &str, start: &Result<Vec<OsString>, String>) -> Option<Self> {
        match start {
            Ok(start) => Some(Self(start.clone())),
            Err(reason) => {
                // Past the capture of the test's output.
                let _ = writeln!(std::io::stderr(), "skipped: the serializers of {whose}: {reason}");
                None
            }
        }
    }

    /// What a command prints. Panics with what it says if it fails.
    pub(crate) fn run(&self, command: &str, url: &str, input: &Value) -> Value {
        let mut child = Command::new(&self.0[0])
            .args(&self.0[1..])
            .args([command, url])
            // Nothing on the way to this machine itself.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
