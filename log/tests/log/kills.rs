//! A process that writes to a log on the real disk, killed again and again: what it was told is kept outside of it and
//! compared with what is left. The segments are read a second time by a decoder that shares nothing with the log's.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use millstream_log::{Clock, Producer, ProducerConfig, Record, SystemClock};

use super::*;

const DRIVE: &str = "MILLSTREAM_TEST_DRIVE";
const LEGS: u32 = 4;

/// Not a check of its own: run by the next one as a process that writes until it is killed. It says `s` with a number
/// before it sends a record and `a` with its offset when that is acknowledged, `b` and `c` around a transfer.
#[test]
fn driving_process() {
    let Ok(dir) = std::env::var(DRIVE) else { return };
    say(""); // ends the line that the harness began
    let log = Log::open(&dir).unwrap();
    for (name, partitions) in [("records", 1), ("transfers", LEGS)] {
        match log.create_topic(topic(name).partitions(partitions).config("segment.bytes", "20000")) {
            Ok(_) | Err(LogError::TopicExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let first: u64 = std::env::var("MILLSTREAM_TEST_FIRST").unwrap().parse().unwrap();
    let mut plain = log.producer(ProducerConfig::default()).unwrap();
    let mut bank = log.producer(ProducerConfig::default().transactional_id("bank")).unwrap();
    for number in first.. {
        say(&format!("s {number}"));
        send(&mut plain, "records", 0, number, 1);
        let flushed = plain.flush().unwrap();
        say(&format!("a {number} {}", flushed[0].last_offset));
        say(&format!("b {number}"));
        bank.begin_transaction().unwrap();
        let amount = number as i64 % 100;
        send(&mut bank, "transfers", number as u32 % LEGS, number, amount);
        send(&mut bank, "transfers", (number as u32 + 1) % LEGS, number, -amount);
        if number % 5 == 0 {
            bank.abort_transaction().unwrap();
        } else {
            bank.commit_transaction().unwrap();
            say(&format!("c {number}"));
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

fn send(producer: &mut Producer, topic: &str, partition: u32, number: u64, amount: i64) {
    let value = format!("{number} {amount}");
    let partition = Some(millstream_log::PartitionId::new(partition));
    producer.send(topic, Record { value: Some(value.into()), partition, ..Record::default() }).unwrap();
}

#[derive(Default)]
struct Journal {
    sent: BTreeSet<u64>,
    acknowledged: BTreeMap<u64, u64>,
    begun: BTreeSet<u64>,
    committed: BTreeSet<u64>,
}

impl Journal {
    fn take(&mut self, line: &str) {
        let mut words = line.split(' ');
        let kind = words.next();
        let Some(Ok(number)) = words.next().map(str::parse) else { return };
        match kind {
            Some("s") => drop(self.sent.insert(number)),
            Some("a") => {
                if let Some(Ok(offset)) = words.next().map(str::parse) {
                    self.acknowledged.insert(number, offset);
                }
            }
            Some("b") => drop(self.begun.insert(number)),
            Some("c") => drop(self.committed.insert(number)),
            _ => {} // lines of the test harness in between
        }
    }
}

#[test]
fn kills_at_any_moment_lose_nothing_that_was_acknowledged() {
    let kills: u64 = std::env::var("MILLSTREAM_TEST_KILLS").map_or(15, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let clock = SystemClock::new();
    let mut random = fastrand::Rng::with_seed(kills);
    let mut journal = Journal::default();
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kills::driving_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(DRIVE, dir.path())
            .env("MILLSTREAM_TEST_FIRST", (kill * 1_000_000).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || stdout.lines().map_while(Result::ok).collect::<Vec<_>>());
        // One in five is killed while it starts.
        let most = if kill % 5 == 4 { 60 } else { 800 };
        clock.sleep(Duration::from_millis(random.u64(20..=most)));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap().iter().for_each(|line| journal.take(line));
    }
    tell(&format!(
        "{kills} kills, {} records sent, {} acknowledged, {} transfers begun, {} committed",
        journal.sent.len(),
        journal.acknowledged.len(),
        journal.begun.len(),
        journal.committed.len()
    ));

    let log = Log::open(dir.path()).unwrap();
    if journal.sent.is_empty() {
        return; // a machine so slow that nothing was ever sent
    }
    let mut found = BTreeMap::new();
    for (offset, text) in all(&log, &tp("records", 0), Isolation::ReadUncommitted) {
        let number = text.split(' ').next().unwrap().parse::<u64>().unwrap();
        assert!(journal.sent.contains(&number), "{number} was never sent");
        assert_eq!(found.insert(number, offset), None, "{number} is there twice");
    }
    for (number, offset) in &journal.acknowledged {
        assert_eq!(found.get(number), Some(offset), "record {number} was acknowledged");
    }

    let (mut legs, mut sum) = (BTreeMap::<u64, u32>::new(), 0);
    for partition in 0..LEGS {
        let id = tp("transfers", partition);
        for (_, text) in all(&log, &id, Isolation::ReadCommitted) {
            let (number, amount) = text.split_once(' ').unwrap();
            *legs.entry(number.parse().unwrap()).or_default() += 1;
            sum += amount.parse::<i64>().unwrap();
        }
        let end = log.offsets(&id, millstream_log::OffsetSpec::Latest).unwrap();
        assert_eq!(log.last_stable_offset(&id).unwrap(), end, "nothing is left open");
    }
    assert_eq!(sum, 0, "what one account lost another got");
    for (number, count) in &legs {
        assert_eq!(*count, 2, "transfer {number} is there as a whole");
        assert!(journal.begun.contains(number) && number % 5 != 0, "transfer {number} was not to be seen");
    }
    for number in &journal.committed {
        assert!(legs.contains_key(number), "transfer {number} was committed");
    }
    log.close().unwrap();

    let offsets = decode_segments(&dir.path().join("records-0"));
    for offset in journal.acknowledged.values() {
        assert!(offsets.contains(offset), "offset {offset} is in the files");
    }
    (0..LEGS).for_each(|leg| drop(decode_segments(&dir.path().join(format!("transfers-{leg}")))));
}

fn all(log: &Log, id: &TopicPartition, isolation: Isolation) -> Vec<(u64, String)> {
    let (values, error) = read_all(log, id, isolation);
    assert!(error.is_none(), "{error:?}");
    values
}

/// The offsets of all batches in a partition's files, each checked, straight from the description of the format.
fn decode_segments(dir: &Path) -> BTreeSet<u64> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    let (mut offsets, mut next) = (BTreeSet::new(), 0);
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let base: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(base, next, "{} follows on", path.display());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let field = |at: usize, width: usize| {
                rest[at..at + width].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
            };
            let length = 12 + field(8, 4) as usize;
            assert_eq!(field(0, 8), next, "{}", path.display());
            assert_eq!(rest[16], 2, "the version of the format");
            assert_eq!(field(17, 4) as u32, castagnoli(&rest[21..length]), "{}", path.display());
            let last = next + field(23, 4);
            offsets.extend(next..=last);
            next = last + 1;
            rest = &rest[length..];
        }
    }
    offsets
}

/// CRC-32C, a bit at a time.
fn castagnoli(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}
