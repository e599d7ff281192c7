//! The jars of Apache Kafka and the Java that runs them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::maven::{self, Artifact, TIMEOUT};

/// `checksum  path in Maven Central`, one jar a line.
const JARS: &str = include_str!("jars.sha256");
/// For programs that live for a second or two.
const JAVA_OPTIONS: [&str; 5] = [
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xmx512m",
    "-Dfile.encoding=UTF-8",
    "-Dsun.stdout.encoding=UTF-8",
];

#[derive(Debug)]
pub(super) struct Kafka {
    classpath: String,
}

impl Kafka {
    /// Kafka, or `None` where it is out of reach, which is said aloud.
    pub(super) fn get() -> Option<&'static Self> {
        static KAFKA: OnceLock<Result<Kafka, String>> = OnceLock::new();
        match KAFKA.get_or_init(Self::fetch) {
            Ok(kafka) => Some(kafka),
            Err(reason) => {
                // Past the capture of the test's output.
                let _ = writeln!(std::io::stderr(), "skipped: comparison with Apache Kafka: {reason}");
                None
            }
        }
    }

    /// Fetches the jars that are not there yet. Fails with the reason to skip.
    fn fetch() -> Result<Self, String> {
        let java = Command::new("java").arg("-version").stderr(Stdio::null()).status();
        if !java.is_ok_and(|status| status.success()) {
            return Err("java does not run here".to_owned());
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-4.1.1");
        if !dir.exists() {
            let artifacts: Vec<_> = jars().map(|(_, path)| artifact(path)).collect();
            maven::fetch(&artifacts, &["-DexcludeTransitive=true"], &dir)?;
        }
        check_sums(&dir);
        Ok(Self { classpath: dir.join("*").to_str().unwrap().to_owned() })
    }

    /// A Java with Kafka's classes; `timeout` ends it if it hangs.
    pub(super) fn java(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.arg(TIMEOUT).arg("java").args(JAVA_OPTIONS).args(["-cp", &self.classpath]).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// What Kafka's dump tool prints of the files. It may complain of nothing but what compaction leaves.
    pub(super) fn dump(&self, files: &[PathBuf], arguments: &[&str]) -> String {
        let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
        let mut command = self.java(&["kafka.tools.DumpLogSegments", "--files", &files.join(",")]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let complaints = String::from_utf8(output.stderr).unwrap();
        for line in complaints.lines() {
            assert!(
                line.starts_with("Non-consecutive offsets in") || line.contains(" is followed by "),
                "Kafka complains: {complaints}"
            );
        }
        String::from_utf8(output.stdout).unwrap()
    }
}

fn jars() -> impl Iterator<Item = (&'static str, &'static str)> {
    JARS.lines().map(|line| line.split_once("  ").expect("a checksum and a path"))
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().expect("a path has a last part")
}

/// The artifact whose jar is at a path of Maven's repository.
fn artifact(path: &str) -> Artifact<'_> {
    let mut parts = path.rsplitn(4, '/').skip(1);
    let mut part = || parts.next().expect("a group, an artifact, a version and a file");
    let (version, name, group) = (part(), part(), part());
    Artifact { group, name, version }
}

/// A jar that is not the one that was pinned is a failure, not a reason to skip.
fn check_sums(dir: &Path) {
    let sums: String = jars().map(|(sum, path)| format!("{sum}  {}\n", name(path))).collect();
    fs::write(dir.join("SHA256SUMS"), sums).unwrap();
    let mut command = Command::new("sha256sum");
    let output = command.args(["--check", "--quiet", "SHA256SUMS"]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
