//! Many partitions with few files and little memory.

use std::process::Command;

use millstream_log::{DiskStorage, OffsetSpec};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;

const DIR: &str = "MILLSTREAM_TEST_LIMITED";
const PARTITIONS: u32 = 10_000;

fn open_limited(dir: &Path) -> Log {
    let config = LogConfig { files_max: 64, ..LogConfig::default() };
    Log::builder().dir(dir).storage(Arc::new(DiskStorage)).config(config).open().unwrap()
}

/// Not a check of its own: run by the next one as a process that may open few files.
#[test]
fn limited_process() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = Path::new(&dir);
    let limit = Rlimit { current: Some(128), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let log = open_limited(dir);
    log.create_topic(topic("t").partitions(PARTITIONS)).unwrap();
    for round in 0..2 {
        for partition in 0..PARTITIONS {
            log.append(&tp("t", partition), batch(&[&format!("{partition} {round}")]), Acks::Written)
                .unwrap();
        }
    }
    log.close().unwrap();
    let log = open_limited(dir);
    for partition in 0..PARTITIONS {
        let id = tp("t", partition);
        assert_eq!(log.offsets(&id, OffsetSpec::Latest).unwrap().get(), 2);
        if partition % 100 == 0 {
            let (read, error) = read_all(&log, &id, Isolation::ReadUncommitted);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(read[1].1, format!("{partition} 1"));
        }
    }
    std::fs::write(dir.join("done"), "").unwrap();
}

#[test]
fn ten_thousand_partitions_fit_below_a_low_limit_of_open_files() {
    // In memory where there is such a directory: what a disk does with ten thousand files is not the question.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["limits::limited_process", "--exact", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && dir.path().join("done").exists(), "{said}");
}
