//! Whether the simulated runs would find bugs: the crate is built once more with deliberate ones in it, and with each
//! of them chosen in turn the runs have to fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::tell;

const BUGS: [&str; 20] = [
    "skip_sync",
    "ack_before_sync",
    "skip_dirsync_roll",
    "retry_failed_sync",
    "truncate_mid_log",
    "trust_index_length",
    "early_clean_marker",
    "stale_producer_snapshot",
    "compact_drops_newest",
    "compact_drops_marker",
    "tombstone_early",
    "stable_offset_plus_one",
    "marker_first_partition_only",
    "late_endtxn_accepted",
    "abort_before_sync",
    "retry_duplicates",
    "delete_before_start",
    "double_owner",
    "fenced_commit_ok",
    "trust_first_look",
];

/// Takes a build of its own, so it runs where `MILLSTREAM_TEST_PLANTED` asks for it.
#[test]
fn each_planted_bug_is_found() {
    if std::env::var_os("MILLSTREAM_TEST_PLANTED").is_none() {
        tell("skipped: set MILLSTREAM_TEST_PLANTED to build the log with planted bugs");
        return;
    }
    let program = build();
    assert!(passes(&program, "none"), "without a bug the runs succeed");
    let missed: Vec<_> = BUGS.into_iter().filter(|bug| passes(&program, bug)).collect();
    tell(&format!("{} planted bugs, {} found", BUGS.len(), BUGS.len() - missed.len()));
    assert!(missed.is_empty(), "not found: {missed:?}");
}

fn passes(program: &Path, bug: &str) -> bool {
    let status = Command::new(program)
        .arg("simulation::")
        .env("MILLSTREAM_PLANTED", bug)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}

/// Builds these tests with the bugs in, beside what was built for this run.
fn build() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let target = this.ancestors().nth(3).unwrap().join("planted");
    let output = Command::new(env!("CARGO"))
        .args(["test", "--release", "--locked", "--offline", "--no-run", "--test", "log"])
        .args(["-p", "millstream-log", "--message-format", "json"])
        .args(["--config", "build.rustflags=[\"--cfg\",\"planted\"]"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let is_program = |message: &serde_json::Value| message["target"]["name"] == "log";
    let program =
        messages.filter(is_program).find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.expect("the build names the program")
}
