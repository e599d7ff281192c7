//! A process that writes to a log and runs two applications on it, with RocksDB and exactly once, killed again and again.
//! What is left is compared with folds over the committed input.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_log::{
    Clock, ConsumerConfig, Isolation, Log, LogError, NewTopic, OffsetSpec, PartitionId, ProducerConfig,
    Record, SystemClock, TopicPartition,
};
use millstream_streams::dsl::{Consumed, Materialized, StreamsBuilder};
use millstream_streams::serde::Utf8;
use millstream_streams::store::KeyRange;
use millstream_streams::{Streams, StreamsConfig, Topology};

use super::tell;

const DRIVE: &str = "MILLSTREAM_TEST_DRIVE_STREAMS";
const SEED: &str = "MILLSTREAM_TEST_SEED";
const PARTITIONS: u32 = 2;
const ACCOUNTS: u32 = 20;
const TIMEOUT: Duration = Duration::from_secs(120);

/// Words, behind a repartition topic, every count written.
fn word_count() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("lines", Consumed::with(Utf8, Utf8))
        .flat_map_values(|_, line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count(Materialized::named("counts"))
        .to_stream()
        .to("counted");
    builder.build().unwrap()
}

/// Payer, receiver, amount.
fn parse(transfer: &str) -> (String, String, i64) {
    let mut words = transfer.split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap();
    (word(), word(), word().parse().unwrap())
}

/// Balances, which sum up to nothing.
fn transfers() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("transfers", Consumed::with(Utf8, Utf8))
        .flat_map(|_, transfer| {
            let (from, to, amount) = parse(transfer);
            [(from, -amount), (to, amount)]
        })
        .group_by_key()
        .aggregate(|| 0, |_, change: &i64, balance: i64| balance + change, Materialized::named("balances"))
        .to_stream()
        .to("balanced");
    builder.build().unwrap()
}

/// The applications: the first one writes every update, the second one coalesces them until its commits.
fn applications(dir: &Path, log: &Log) -> Vec<Streams> {
    let config = |name: &str| {
        let mut config = StreamsConfig::new(name).exactly_once();
        config.commit_interval = Duration::from_millis(10);
        config.repartition_purge_interval = Duration::from_millis(50);
        config.state_dir = dir.join("state");
        config
    };
    let mut every = config("counting");
    every.cache_max_bytes = 0;
    let mut coalescing = config("banking");
    coalescing.stream_threads = 2;
    let open = |topology, config| {
        let mut app = Streams::open(topology, config, log.clone()).unwrap();
        app.start().unwrap();
        app
    };
    vec![open(word_count(), every), open(transfers(), coalescing)]
}

fn open(dir: &Path) -> Log {
    let log = Log::open(dir.join("log")).unwrap();
    for name in ["lines", "transfers", "counted", "balanced"] {
        match log.create_topic(NewTopic::new(name).partitions(PARTITIONS).config("segment.bytes", "100000")) {
            Ok(_) | Err(LogError::TopicExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    log
}

/// Not a check of its own: run by the next one as a process that works until it is killed.
#[test]
fn driving_process() {
    let Ok(dir) = std::env::var(DRIVE) else { return };
    let dir = Path::new(&dir);
    let mut random = fastrand::Rng::with_seed(std::env::var(SEED).unwrap().parse().unwrap());
    let log = open(dir);
    let mut applications_running = applications(dir, &log);
    println!("\nrunning");
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    for round in 1_u32.. {
        for _ in 0..random.u32(1..20) {
            let words: Vec<String> =
                (0..random.u32(1..5)).map(|_| format!("w{}", random.u32(..50))).collect();
            let account = |random: &mut fastrand::Rng| random.u32(..ACCOUNTS);
            let transfer =
                format!("a{} a{} {}", account(&mut random), account(&mut random), random.u32(1..1000));
            for (topic, value) in [("lines", words.join(" ")), ("transfers", transfer)] {
                let partition = Some(PartitionId::new(random.u32(..PARTITIONS)));
                let record = Record { value: Some(value.into()), partition, ..Record::default() };
                producer.send(topic, record).unwrap();
            }
        }
        producer.flush().unwrap();
        log.maintain_due().unwrap();
        if round % 8 == 0 {
            // Something of the state comes to the disk, so that what is found later is neither nothing nor all.
            applications_running.into_iter().for_each(|app| app.close().unwrap());
            applications_running = applications(dir, &log);
        }
        assert!(applications_running.iter().all(|app| app.error().is_none()), "an application failed");
    }
}

#[test]
fn kills_at_any_moment_neither_lose_nor_double() {
    let kills: u64 = std::env::var("MILLSTREAM_TEST_KILLS").map_or(12, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let clock = SystemClock::new();
    let mut random = fastrand::Rng::with_seed(kills);
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kills::driving_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(DRIVE, dir.path())
            .env(SEED, kill.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // One in four is killed while it starts.
        if kill % 4 < 3 {
            assert!(lines.any(|line| line == "running"), "process {kill} ended by itself");
        }
        clock.sleep(Duration::from_millis(random.u64(5..400)));
        assert_eq!(child.try_wait().unwrap(), None, "process {kill} ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let log = open(dir.path());
    let apps = applications(dir.path(), &log);
    let restored: u64 = apps
        .iter()
        .map(|app| {
            assert!(app.wait_caught_up(TIMEOUT).unwrap(), "all input is processed");
            app.metrics().restored
        })
        .sum();
    let lines = committed(&log, "lines");
    let transferred = committed(&log, "transfers");
    tell(&format!(
        "{kills} kills of applications, {} lines, {} transfers, {restored} records restored at the last start",
        lines.len(),
        transferred.len()
    ));
    check_counts(&log, &apps[0], &lines);
    check_balances(&log, &apps[1], &transferred);
    apps.into_iter().for_each(|app| app.close().unwrap());
    log.close().unwrap();
}

fn check_counts(log: &Log, app: &Streams, lines: &[(String, Vec<u8>)]) {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for (_, line) in lines {
        for word in std::str::from_utf8(line).unwrap().split(' ') {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(state(app, "counts"), counts);
    let mut written: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (word, count) in committed(log, "counted") {
        written.entry(word).or_default().push(number(&count));
    }
    let all: BTreeMap<String, Vec<i64>> =
        counts.into_iter().map(|(word, count)| (word, (1..=count).collect())).collect();
    assert_eq!(written, all, "every count was written once");
}

fn check_balances(log: &Log, app: &Streams, transfers: &[(String, Vec<u8>)]) {
    let mut balances: BTreeMap<String, i64> = BTreeMap::new();
    for (_, transfer) in transfers {
        let (from, to, amount) = parse(std::str::from_utf8(transfer).unwrap());
        *balances.entry(from).or_default() -= amount;
        *balances.entry(to).or_default() += amount;
    }
    let stored = state(app, "balances");
    assert_eq!(stored.values().sum::<i64>(), 0, "what one account lost another got");
    assert_eq!(stored, balances);
    let last: BTreeMap<String, i64> = committed(log, "balanced")
        .into_iter()
        .map(|(account, balance)| (account, number(&balance)))
        .collect();
    assert_eq!(last, balances, "the last balance of each account was written");
}

pub(super) fn state(app: &Streams, store: &str) -> BTreeMap<String, i64> {
    let store = app.store(store).unwrap();
    let mut keys = BTreeSet::new();
    let rows = store.scan(KeyRange::all()).map(|row| {
        let row = row.unwrap();
        assert!(keys.insert(row.key.clone()), "a key is in one partition");
        (String::from_utf8(row.key).unwrap(), number(&row.value))
    });
    rows.collect()
}

fn number(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().unwrap())
}

/// Keys and values that count, by partition and offset.
fn committed(log: &Log, topic: &str) -> Vec<(String, Vec<u8>)> {
    let mut rows = Vec::new();
    for partition in 0..PARTITIONS {
        let partition = TopicPartition::new(topic, partition);
        let mut consumer =
            log.consumer(ConsumerConfig::default().isolation(Isolation::ReadCommitted)).unwrap();
        consumer.assign(vec![partition.clone()]).unwrap();
        consumer.seek_to(&partition, OffsetSpec::Earliest).unwrap();
        loop {
            let runs = consumer.poll(Duration::ZERO).unwrap();
            if runs.is_empty() {
                break;
            }
            for record in runs.iter().flat_map(|run| run.records()) {
                let record = record.unwrap();
                let key = String::from_utf8(record.key.unwrap_or_default().to_vec()).unwrap();
                rows.push((key, record.value.unwrap().to_vec()));
            }
        }
    }
    rows
}
