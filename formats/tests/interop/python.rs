//! Python with the packages of Confluent, installed where cargo keeps what tests need.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

/// Another list gets an environment of its own.
const PACKAGES: &[&str] =
    &["confluent-kafka[avro,json,protobuf,schemaregistry]==2.16.0", "fastavro>=1.9", "protobuf>=5"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/peer.py");

/// Runs commands of `peer.py`.
pub(crate) struct Peer {
    python: PathBuf,
}

impl Peer {
    /// The peer; installs it first if need be. `None`, said aloud, if that cannot be done.
    pub(crate) fn find() -> Option<Self> {
        static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        match PYTHON.get_or_init(install) {
            Ok(python) => Some(Self { python: python.clone() }),
            Err(reason) => {
                eprintln!("skipped: Python's serializers cannot be installed: {reason}");
                None
            }
        }
    }

    /// What a command prints. Panics with what it says if it fails.
    pub(crate) fn run(&self, command: &str, url: &str, input: &Value) -> Value {
        let mut child = Command::new(&self.python)
            .args([SCRIPT, command, url])
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

fn install() -> Result<PathBuf, String> {
    let list = PACKAGES.join("\n");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-peers");
    let python = directory.join("bin/python");
    let installed = directory.join("installed");
    // Written last, so an installation that was interrupted is begun anew.
    if fs::read_to_string(&installed).is_ok_and(|found| found == list) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    run(Command::new(&python).args(pip).args(PACKAGES))?;
    fs::write(installed, list).map_err(|error| error.to_string())?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().last().unwrap_or("no reason given").to_owned())
}
