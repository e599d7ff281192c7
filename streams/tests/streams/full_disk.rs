//! A process whose files must not grow: RocksDB cannot write its tables, as on a full disk. The application stops at its
//! last commit, and with room again it goes on as if nothing had been.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use millstream_log::{Log, LogError, NewTopic, OffsetSpec, ProducerConfig, Record, TopicPartition};
use millstream_streams::dsl::{Consumed, Materialized, StreamsBuilder};
use millstream_streams::serde::{Int64, Utf8};
use millstream_streams::{State, Streams, StreamsConfig, Topology};

use super::kills::state;

const DRIVE: &str = "MILLSTREAM_TEST_FILL_DISK";
/// In blocks of 512 bytes: 2 MiB, of which one segment of the log takes half.
const FILE_BLOCKS: u32 = 4096;
const SEGMENT_BYTES: &str = "1000000";
/// More keys than tables of that size hold.
const KEYS: u32 = 100_000;
/// So often all keys are written twice at most.
const ROUNDS: u32 = 20;
const TIMEOUT: Duration = Duration::from_secs(120);

fn counting() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, i64>("in", Consumed::with(Utf8, Int64))
        .group_by_key()
        .count(Materialized::named("counts"));
    builder.build().unwrap()
}

fn open(dir: &Path) -> Log {
    let log = Log::open(dir.join("log")).unwrap();
    match log.create_topic(NewTopic::new("in").partitions(1).config("segment.bytes", SEGMENT_BYTES)) {
        Ok(_) | Err(LogError::TopicExists { .. }) => log,
        Err(error) => panic!("{error}"),
    }
}

fn application(dir: &Path, log: &Log) -> Streams {
    let mut config = StreamsConfig::new("app").exactly_once();
    config.commit_interval = Duration::from_millis(20);
    config.state_dir = dir.join("state");
    config.topic = vec![("segment.bytes".to_owned(), SEGMENT_BYTES.to_owned())];
    let mut app = Streams::open(counting(), config, log.clone()).unwrap();
    app.start().unwrap();
    app
}

/// Keys that do not compress well.
fn key(number: u32) -> String {
    let mut random = fastrand::Rng::with_seed(u64::from(number));
    std::iter::repeat_with(|| random.alphanumeric()).take(60).collect()
}

fn write(log: &Log, rows: u32) {
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    for number in 0..rows {
        let value = Some(1_i64.to_be_bytes().to_vec().into());
        let record = Record { key: Some(key(number % KEYS).into()), value, ..Record::default() };
        producer.send("in", record).unwrap();
    }
    producer.flush().unwrap();
}

/// Not a check of its own: run by the next one as a process with small files.
#[test]
fn driving_process() {
    let Ok(dir) = std::env::var(DRIVE) else { return };
    let dir = Path::new(&dir);
    let log = open(dir);
    let app = application(dir, &log);
    // RocksDB writes its tables on threads of its own, so that the application may have finished before one fails.
    let failed = (0..ROUNDS).find_map(|_| {
        write(&log, 2 * KEYS);
        app.wait_caught_up(TIMEOUT).map(|caught_up| assert!(caught_up, "it goes on or stops")).err()
    });
    let error = failed.expect("the disk is full at last").to_string();
    println!("\nstopped in {}: {error}", app.state());
    assert_eq!(app.state(), State::Error);
    drop(app);
    log.close().unwrap();
}

#[test]
fn a_full_disk_stops_the_application_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    // Without the trap the first write that is too long would end the process.
    let command = format!("trap '' XFSZ; ulimit -f {FILE_BLOCKS}; exec \"$@\"");
    let run = Command::new("sh")
        .args(["-c", &command, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["full_disk::driving_process", "--exact", "--nocapture", "--test-threads=1"])
        .env(DRIVE, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    let stopped = said.lines().find(|line| line.starts_with("stopped in "));
    let stopped = stopped.expect("the process says how the application stopped");
    assert!(stopped.contains("could not write the committed state"), "{stopped}");
    assert!(stopped.contains("File too large"), "the cause is told: {stopped}");

    let log = open(dir.path());
    let app = application(dir.path(), &log);
    assert!(app.wait_caught_up(TIMEOUT).unwrap(), "all input is processed");
    let rows = log.offsets(&TopicPartition::new("in", 0), OffsetSpec::Latest).unwrap().get();
    assert_eq!(rows % u64::from(2 * KEYS), 0, "whole rounds were written");
    let times = i64::try_from(rows / u64::from(KEYS)).unwrap();
    let counts: BTreeMap<String, i64> = (0..KEYS).map(|number| (key(number), times)).collect();
    assert!(state(&app, "counts") == counts, "every row was counted once");
    app.close().unwrap();
    log.close().unwrap();
}
