//! Python with the packages of Confluent, installed where cargo keeps what tests need.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use super::peer::Peer;

/// Another list gets an environment of its own.
const PACKAGES: &[&str] =
    &["confluent-kafka[avro,json,protobuf,schemaregistry]==2.16.0", "fastavro>=1.9", "protobuf>=5"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/peer.py");

/// Python with `peer.py`; installs the packages first if need be.
pub(crate) fn peer() -> Option<Peer> {
    static START: OnceLock<Result<Vec<OsString>, String>> = OnceLock::new();
    let start = START.get_or_init(|| Ok(vec![install()?.into(), SCRIPT.into()]));
    Peer::new("Python", start)
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
