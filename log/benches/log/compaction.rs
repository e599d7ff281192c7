//! Compaction of 10 million records of 100 bytes with 1 million keys: time, memory, and what is left of the speed of
//! appends meanwhile. One run, printed as lines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use criterion::Criterion;
use millstream_log::{Acks, BatchBuilder, Clock, Log, NewTopic, SystemClock, Timestamp, TopicPartition};

const RECORDS: u64 = 10_000_000;
const KEYS: u64 = 1_000_000;
const BATCH_BYTES: usize = 64 << 10;
const TIME: Timestamp = Timestamp::new(1_700_000_000_000);
const VALUE: [u8; 84] = [b'v'; 84];

/// Runs once, unless a filter on the command line leaves it out.
pub(crate) fn compaction(_: &mut Criterion) {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|filter| !"compaction".contains(&filter)) {
        return;
    }
    let clock = SystemClock::new();
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(dir.path()).expect("a log");
    let compacted = NewTopic::new("compacted")
        .config("cleanup.policy", "compact")
        .config("segment.bytes", (256 << 20).to_string());
    log.create_topic(compacted).expect("a topic");
    log.create_topic(NewTopic::new("live")).expect("a topic");
    let partition = TopicPartition::new("compacted", 0);
    fill(&log, &partition);

    let is_over = AtomicBool::new(false);
    let alone = append_for(&log, &clock, |time| time >= Duration::from_secs(3));
    let (cleaned, meanwhile) = std::thread::scope(|scope| {
        let cleaning = scope.spawn(|| {
            let cleaned = log.clean(&partition).expect("cleaned");
            is_over.store(true, Ordering::SeqCst);
            cleaned
        });
        let meanwhile = append_for(&log, &clock, |_| is_over.load(Ordering::SeqCst));
        (cleaning.join().expect("no panic"), meanwhile)
    });
    assert!(cleaned.map_fill < 1.0, "one pass");
    println!(
        "compaction: {} of {} records kept in {:.1} s ({:.0} MB/s read), map {:.0} % full, peak memory {} MB",
        cleaned.records_kept,
        cleaned.records_read,
        cleaned.duration.as_secs_f64(),
        cleaned.bytes_read as f64 / 1e6 / cleaned.duration.as_secs_f64(),
        cleaned.map_fill * 100.0,
        peak_memory().map_or_else(|| "?".to_owned(), |bytes| (bytes / 1_000_000).to_string()),
    );
    println!(
        "compaction: appends {:.0} MB/s alone, {:.0} MB/s meanwhile: {:.0} % (promised: 70 %)",
        alone / 1e6,
        meanwhile / 1e6,
        meanwhile / alone * 100.0
    );
}

fn fill(log: &Log, partition: &TopicPartition) {
    let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
    for at in 0..RECORDS {
        // Spreads the keys so that neighbours in the log are not neighbours in the map.
        let key = (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % KEYS;
        builder.append(TIME, Some(format!("key-{key:012}").as_bytes()), Some(&VALUE), &[]);
        if builder.len_bytes() + 128 > BATCH_BYTES || at + 1 == RECORDS {
            log.append(partition, builder.finish(), Acks::Written).expect("appended");
        }
    }
}

/// Appends to another topic until `is_over` says so of the time that passed. Returns bytes per second.
fn append_for(log: &Log, clock: &SystemClock, is_over: impl Fn(Duration) -> bool) -> f64 {
    let live = TopicPartition::new("live", 0);
    let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
    let (start, mut bytes) = (clock.monotonic(), 0);
    loop {
        while builder.len_bytes() + 128 <= BATCH_BYTES {
            builder.append(TIME, Some(b"key"), Some(&VALUE), &[]);
        }
        let batch = builder.finish();
        bytes += batch.len();
        log.append(&live, batch, Acks::Written).expect("appended");
        let time = clock.monotonic() - start;
        if is_over(time) {
            return bytes as f64 / time.as_secs_f64();
        }
    }
}

/// The most memory that this process ever held, in bytes, where the system says.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
