//! Compaction of 10 million records of 100 bytes with 1 million keys: time, memory, and what is left of the speed of
//! appends meanwhile. One run, printed as lines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use criterion::Criterion;
use millstream_log::{
    Acks, BatchBuilder, Clock, Log, NewTopic, SystemClock, Timestamp, TopicPartition, lower_thread_priority,
};

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
    let partition = TopicPartition::new("compacted", 0);
    fill(&log, &partition);

    // What is still to be written out is not part of the question.
    log.maintain().expect("checkpoints written");
    let is_over = AtomicBool::new(false);
    let before = append_until(&log, &clock, |time| time >= Duration::from_secs(3));
    let (cleaned, meanwhile) = std::thread::scope(|scope| {
        let cleaning = scope.spawn(|| {
            lower_thread_priority();
            let cleaned = log.clean(&partition).expect("cleaned");
            is_over.store(true, Ordering::SeqCst);
            cleaned
        });
        let meanwhile = append_until(&log, &clock, |_| is_over.load(Ordering::SeqCst));
        (cleaning.join().expect("no panic"), meanwhile)
    });
    let after = append_until(&log, &clock, |time| time >= Duration::from_secs(3));
    let alone = (before + after) / 2.0;
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

/// Appends to another topic until `is_over` says so of the time that passed. Returns bytes per second of append time.
///
/// The topic is deleted and made anew whenever it has grown by some 256 MiB, outside of the time that counts. So what was
/// appended need not go to the disk: its speed would be measured else, once the page cache takes no more.
fn append_until(log: &Log, clock: &SystemClock, is_over: impl Fn(Duration) -> bool) -> f64 {
    const PORTION: usize = 256 << 20;
    let live = TopicPartition::new("live", 0);
    let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
    let begin = clock.monotonic();
    let (mut time, mut bytes) = (Duration::ZERO, 0);
    while !is_over(clock.monotonic() - begin) {
        log.create_topic(NewTopic::new("live")).expect("a topic");
        let (start, mut portion) = (clock.monotonic(), 0);
        while portion < PORTION && !is_over(clock.monotonic() - begin) {
            while builder.len_bytes() + 128 <= BATCH_BYTES {
                builder.append(TIME, Some(b"key"), Some(&VALUE), &[]);
            }
            let batch = builder.finish();
            portion += batch.len();
            log.append(&live, batch, Acks::Written).expect("appended");
        }
        time += clock.monotonic() - start;
        bytes += portion;
        log.delete_topic("live").expect("deleted");
        log.maintain().expect("removed");
    }
    bytes as f64 / time.as_secs_f64()
}

/// The most memory that this process ever held, in bytes, where the system says.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
