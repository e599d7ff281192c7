//! How long an application is away after kill -9: a process fills a table, is killed while it writes, and another one
//! goes on. `MILLSTREAM_BENCH_STATE_MB` is how much state there is (default 256).
//!
//! ```text
//! child: rows ─▶ topic ─▶ table in RocksDB, exactly once ─▶ "full" ─▶ more rows ─▶ SIGKILL
//! this:  opens the log ─▶ opens and restores the application ─▶ has processed a new row
//! ```

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_log::{Clock, Log, LogError, NewTopic, ProducerConfig, SystemClock, Timestamp};
use millstream_streams::dsl::{Consumed, StreamsBuilder};
use millstream_streams::serde::{Int64, Raw};
use millstream_streams::{State, Streams, StreamsConfig};

const DRIVE: &str = "MILLSTREAM_BENCH_DRIVE";
const VALUE_BYTES: usize = 1000;
const ROWS_AT_ONCE: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(600);

fn rows() -> u64 {
    let megabytes = std::env::var("MILLSTREAM_BENCH_STATE_MB")
        .map_or(256, |text| text.parse::<u64>().expect("MILLSTREAM_BENCH_STATE_MB is a number of megabytes"));
    megabytes * 1_000_000 / VALUE_BYTES as u64
}

fn open(dir: &Path) -> Log {
    let log = Log::open(dir.join("log")).expect("the log opens");
    let topic = NewTopic::new("in").partitions(1).config("segment.bytes", "67108864");
    match log.create_topic(topic.config("retention.bytes", "2147483648").config("retention.ms", "-1")) {
        Ok(_) | Err(LogError::TopicExists { .. }) => log,
        Err(error) => panic!("{error}"),
    }
}

fn application(dir: &Path, log: &Log) -> Streams {
    let builder = StreamsBuilder::new();
    builder.table_in::<i64, Vec<u8>>("in", Consumed::with(Int64, Raw), "rows");
    let mut config = StreamsConfig::new("app").exactly_once();
    config.state_dir = dir.join("state");
    let topology = builder.build().expect("the graph is valid");
    let mut app = Streams::open(topology, config, log.clone()).expect("the application opens");
    app.start().expect("the system has threads");
    app
}

/// Writes rows with these numbers: keys in no order, values that do not compress.
fn write(log: &Log, numbers: std::ops::Range<u64>) {
    let mut producer = log.producer(ProducerConfig::default()).expect("the defaults are valid");
    let topic = producer.topic("in").expect("it is there");
    let mut value = vec![0; VALUE_BYTES];
    for number in numbers {
        let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        fastrand::Rng::with_seed(number).fill(&mut value);
        let time = Some(Timestamp::new(0));
        producer.append(topic, None, time, Some(&key), Some(&value), &[]).expect("the disk has room");
    }
    producer.flush().expect("the disk has room");
}

/// Works until it is killed.
fn drive(dir: &Path) {
    let log = open(dir);
    let app = application(dir, &log);
    let full = rows();
    for begin in (0..).step_by(usize::try_from(ROWS_AT_ONCE).expect("it is small")) {
        write(&log, begin..begin + ROWS_AT_ONCE);
        if begin + ROWS_AT_ONCE < full || begin >= full {
            // Not far ahead of the application, so that its topic can be deleted behind it.
            while app.metrics().records_in + 10 * ROWS_AT_ONCE < begin {
                std::thread::yield_now();
            }
        } else {
            assert!(app.wait_caught_up(PATIENCE).expect("it works"), "all rows are in the table");
            println!("full");
        }
        log.maintain_due().expect("the disk works");
    }
}

fn main() {
    if let Ok(dir) = std::env::var(DRIVE) {
        return drive(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("the system has a place for temporary files");
    let clock = SystemClock::new();
    let mut child = Command::new(std::env::current_exe().expect("a program knows where it is"))
        .env(DRIVE, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs again");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "full"), "the process that fills the table ended by itself");
    // While it goes on.
    clock.sleep(Duration::from_millis(500));
    child.kill().expect("it can be killed");
    child.wait().expect("it is a child");

    let start = clock.monotonic();
    let log = open(dir.path());
    let opened = clock.monotonic();
    let app = application(dir.path(), &log);
    while app.state() != State::Running {
        assert!(app.error().is_none(), "{:?}", app.error());
        std::thread::yield_now();
    }
    let running = clock.monotonic();
    write(&log, 0..1);
    while app.metrics().records_in == 0 {
        assert!(app.error().is_none(), "{:?}", app.error());
        std::thread::yield_now();
    }
    let processing = clock.monotonic();
    println!(
        "restart after kill -9 with {} MB of state: processing again after {:?} (log open after {:?}, {} changelog \
         records restored after {:?})",
        rows() * VALUE_BYTES as u64 / 1_000_000,
        processing - start,
        opened - start,
        app.metrics().restored,
        running - start,
    );
    drop(app);
}
