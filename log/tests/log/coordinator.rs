//! The transaction coordinator as producers elsewhere and operators see it, and what holds across power losses.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use millstream_log::group::{GroupMetadata, OffsetCommit};
use millstream_log::{
    AbortSpec, AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, Entry, ErrorCode, File, InitProducerId, Locking,
    OffsetSpec, OpenMode, ProducerConfig, ProducerIdentity, Record, TransactionFilter, TransactionMarker,
    TransactionResult, TransactionState, TransactionVersion, TxnOffsetCommit,
};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A producer elsewhere, which speaks the protocol itself.
#[derive(Clone, Debug)]
struct Remote {
    id: String,
    producer: ProducerIdentity,
    /// Next sequence number by partition.
    sequences: std::collections::BTreeMap<TopicPartition, i32>,
}

impl Remote {
    fn new(log: &Log, id: &str) -> Self {
        let request =
            InitProducerId { transactional_id: Some(id.to_owned()), timeout: MINUTE, current: None };
        let producer = log.init_producer_id(&request).unwrap();
        Self { id: id.to_owned(), producer, sequences: std::collections::BTreeMap::new() }
    }

    fn batch(&mut self, partition: &TopicPartition, values: &[&str]) -> BytesMut {
        let sequence = self.sequences.entry(partition.clone()).or_default();
        let mut builder = BatchBuilder::new();
        values.iter().for_each(|value| builder.append(NOW, Some(b"k"), Some(value.as_bytes()), &[]));
        builder.transactional(self.producer.id, self.producer.epoch, *sequence);
        *sequence += values.len() as i32;
        builder.finish()
    }

    fn write(&mut self, log: &Log, partition: &TopicPartition, values: &[&str]) -> Result<Offset, LogError> {
        let batch = self.batch(partition, values);
        log.append_in_transaction(&self.id, partition, batch, Acks::Written).map(|info| info.base_offset)
    }

    fn request(&self, result: TransactionResult) -> EndTxn {
        let version = TransactionVersion::Bumped;
        EndTxn { transactional_id: self.id.clone(), producer: self.producer, result, version }
    }

    fn end(&mut self, log: &Log, result: TransactionResult) -> Result<(), LogError> {
        self.producer = log.end_txn(&self.request(result))?;
        self.sequences.clear();
        Ok(())
    }

    fn offsets(&self, group: &str, partition: TopicPartition, offset: u64) -> TxnOffsetCommit {
        TxnOffsetCommit {
            transactional_id: self.id.clone(),
            producer: self.producer,
            group: GroupMetadata::new(group),
            offsets: vec![OffsetCommit::new(partition, Offset::new(offset))],
            version: TransactionVersion::Bumped,
        }
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T, LogError>) -> ErrorCode {
    outcome.unwrap_err().code()
}

fn group_offset(log: &Log) -> Option<u64> {
    log.committed_offsets("g").first().map(|(_, committed)| committed.offset.get())
}

fn with_clock(storage: &Arc<MemoryStorage>) -> (Log, Arc<ManualClock>) {
    let config =
        LogConfig { offsets_topic_partitions: 1, transaction_topic_partitions: 1, ..LogConfig::default() };
    let clock = Arc::new(ManualClock::new(NOW));
    let builder = Log::builder().dir("log").storage(storage.clone()).clock(clock.clone()).config(config);
    (builder.open().unwrap(), clock)
}

#[test]
fn a_producer_elsewhere_walks_through_a_transaction() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").partitions(2)).unwrap();
    let (first, second) = (tp("t", 0), tp("t", 1));
    let mut remote = Remote::new(&log, "tx");
    let description = log.describe_transaction("tx").unwrap();
    assert_eq!((description.state, description.start), (TransactionState::Empty, None));
    assert_eq!(description.coordinator, tp("__transaction_state", 0));

    // Nothing is appended that is not part of an open transaction.
    let early = remote.clone().batch(&first, &["early"]);
    assert_eq!(code(log.append(&first, early, Acks::Written)), ErrorCode::TransactionAbortable);
    let add = |remote: &Remote, partition: &TopicPartition, verify_only| {
        log.add_partitions_to_txn(&AddPartitionsToTxn {
            transactional_id: "tx".to_owned(),
            producer: remote.producer,
            partitions: vec![partition.clone()],
            verify_only,
        })
    };
    assert_eq!(code(add(&remote, &first, true)), ErrorCode::TransactionAbortable);
    assert_eq!(code(add(&remote, &tp("u", 0), false)), ErrorCode::UnknownTopicOrPartition);
    add(&remote, &first, false).unwrap();
    add(&remote, &first, true).unwrap();
    let batch = remote.batch(&first, &["a", "b"]);
    log.append(&first, batch.clone(), Acks::Synced).unwrap();
    assert!(log.append(&first, batch, Acks::Synced).unwrap().is_duplicate);
    let elsewhere = remote.clone().batch(&second, &["c"]);
    assert_eq!(code(log.append(&second, elsewhere, Acks::Written)), ErrorCode::TransactionAbortable);
    // Or with the partition made part of it on the way.
    remote.write(&log, &second, &["c"]).unwrap();

    let open = log.describe_transaction("tx").unwrap();
    assert_eq!(
        (open.state, open.partitions),
        (TransactionState::Ongoing, vec![first.clone(), second.clone()])
    );
    let producers = log.describe_producers(&first).unwrap();
    assert_eq!((producers[0].producer, producers[0].last_sequence), (remote.producer, Some(1)));
    assert_eq!(producers[0].transaction_start, Some(Offset::ZERO));
    assert!(log.find_hanging_transactions(None, Duration::ZERO).unwrap().is_empty());
    let spec = AbortSpec::StartOffset(Offset::ZERO);
    assert_eq!(code(log.abort_transaction(&first, spec)), ErrorCode::InvalidTxnState);

    let before = remote.clone();
    remote.end(&log, TransactionResult::Commit).unwrap();
    assert_eq!(remote.producer.epoch.get(), before.producer.epoch.get() + 1);
    assert_eq!(committed_values(&log, "t"), ["a", "b"]);
    // Sent again, it is answered alike; what comes late is refused.
    assert_eq!(log.end_txn(&before.request(TransactionResult::Commit)).unwrap(), remote.producer);
    assert_eq!(code(log.end_txn(&before.request(TransactionResult::Abort))), ErrorCode::InvalidTxnState);
    assert_eq!(code(add(&before, &first, false)), ErrorCode::ProducerFenced);
    let late = before.clone().batch(&first, &["late"]);
    assert_eq!(code(log.append(&first, late.clone(), Acks::Written)), ErrorCode::ProducerFenced);
    assert_eq!(code(log.append_in_transaction("tx", &first, late, Acks::Written)), ErrorCode::ProducerFenced);
    assert_eq!(code(log.describe_transaction("tz")), ErrorCode::TransactionalIdNotFound);
    let mut unknown = before.request(TransactionResult::Commit);
    unknown.transactional_id = "tz".to_owned();
    assert_eq!(code(log.end_txn(&unknown)), ErrorCode::InvalidProducerIdMapping);
    let timeouts = [Duration::ZERO, MINUTE * 16];
    for timeout in timeouts {
        let request = InitProducerId { transactional_id: Some("tx".to_owned()), timeout, current: None };
        assert_eq!(code(log.init_producer_id(&request)), ErrorCode::InvalidTransactionTimeout);
    }
    let request = InitProducerId { transactional_id: Some(String::new()), timeout: MINUTE, current: None };
    assert_eq!(code(log.init_producer_id(&request)), ErrorCode::InvalidRequest);
}

#[test]
fn older_clients_keep_their_epoch() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    let (id, partition) = ("tx".to_owned(), tp("t", 0));
    let mut remote = Remote::new(&log, "tx");
    let first = remote.producer;
    for (value, result) in [("1", TransactionResult::Commit), ("2", TransactionResult::Abort)] {
        let request = AddPartitionsToTxn {
            transactional_id: id.clone(),
            producer: first,
            partitions: vec![partition.clone()],
            verify_only: false,
        };
        log.add_partitions_to_txn(&request).unwrap();
        let batch = remote.batch(&partition, &[value]);
        log.append(&partition, batch, Acks::Written).unwrap();
        let mut offsets = remote.offsets("g", partition.clone(), value.parse().unwrap());
        offsets.version = TransactionVersion::Classic;
        assert_eq!(code(log.txn_offset_commit(&offsets)), ErrorCode::TransactionAbortable);
        let add = AddOffsetsToTxn { transactional_id: id.clone(), producer: first, group: "g".to_owned() };
        log.add_offsets_to_txn(&add).unwrap();
        log.txn_offset_commit(&offsets).unwrap();
        let version = TransactionVersion::Classic;
        let end = EndTxn { transactional_id: id.clone(), producer: first, result, version };
        assert_eq!(log.end_txn(&end).unwrap(), first);
        assert_eq!(log.end_txn(&end).unwrap(), first);
    }
    for log in [open(&Arc::new(storage.fork())).unwrap(), log] {
        assert_eq!((committed_values(&log, "t"), group_offset(&log)), (vec!["1".to_owned()], Some(1)));
    }
}

/// A file system that counts the waits for its disk.
#[derive(Debug)]
struct Counting {
    inner: MemoryStorage,
    syncs: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct CountingFile {
    inner: Arc<dyn File>,
    syncs: Arc<AtomicUsize>,
}

impl Storage for Counting {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(CountingFile { inner: self.inner.open(path, mode)?, syncs: self.syncs.clone() }))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }
    /// Many files in one call, as a disk with `syncfs` does it.
    fn sync_files(&self, _files: &[Arc<dyn File>]) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_dir(path)
    }
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        self.inner.lock(path, holder)
    }
}

impl File for CountingFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(position, buffer)
    }
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(position, bytes)
    }
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
    fn truncate(&self, size: u64) -> io::Result<()> {
        self.inner.truncate(size)
    }
    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync()
    }
}

#[test]
fn a_commit_over_four_partitions_and_a_group_waits_for_the_disk_three_times_at_most() {
    let syncs = Arc::new(AtomicUsize::new(0));
    let storage = Arc::new(Counting { inner: MemoryStorage::new(), syncs: syncs.clone() });
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").partitions(4)).unwrap();
    let config = ProducerConfig::default().transactional_id("tx").acks(Acks::Synced);
    let mut producer = log.producer(config).unwrap();
    for round in 0..4 {
        producer.begin_transaction().unwrap();
        for number in 0..1000_u32 {
            let partition = Some(millstream_log::PartitionId::new(number % 4));
            let value = Some(number.to_string().into());
            producer.send("t", Record { value, partition, ..Record::default() }).unwrap();
        }
        producer.send_offsets("g", &[(tp("t", 0), Offset::new(round))]).unwrap();
        let before = syncs.load(Ordering::Relaxed);
        match round {
            3 => producer.abort_transaction().unwrap(),
            _ => producer.commit_transaction().unwrap(),
        }
        let count = syncs.load(Ordering::Relaxed) - before;
        match round {
            0 => {} // the names of new files too
            // An abort that is lost is decided again, but what readers pass has to stay.
            3 => assert!(count <= 5, "{count} for four partitions and the group"),
            // What was written, and the decision; once more when a file's name is new.
            _ => assert!((2..=3).contains(&count), "{count} in round {round}"),
        }
    }
    assert_eq!(group_offset(&log), Some(2));
}

#[test]
fn offsets_of_a_transaction_that_timed_out_are_never_committed() {
    let storage = memory();
    let (log, clock) = with_clock(&storage);
    log.create_topic(topic("t")).unwrap();
    let mut remote = Remote::new(&log, "tx");
    remote.write(&log, &tp("t", 0), &["slow"]).unwrap();
    log.txn_offset_commit(&remote.offsets("g", tp("t", 0), 7)).unwrap();
    clock.advance(MINUTE + Duration::from_millis(1));
    log.maintain().unwrap();
    assert_eq!(code(log.txn_offset_commit(&remote.offsets("g", tp("t", 0), 8))), ErrorCode::ProducerFenced);
    assert_eq!(code(remote.end(&log, TransactionResult::Commit)), ErrorCode::ProducerFenced);
    let mut next = Remote::new(&log, "tx");
    next.write(&log, &tp("t", 0), &["next"]).unwrap();
    next.end(&log, TransactionResult::Commit).unwrap();
    assert_eq!((committed_values(&log, "t"), group_offset(&log)), (vec!["next".to_owned()], None));
    log.txn_offset_commit(&next.offsets("g", tp("t", 0), 9)).unwrap();
    assert_eq!(group_offset(&log), None);
    next.end(&log, TransactionResult::Commit).unwrap();
    for log in [open(&Arc::new(storage.fork())).unwrap(), log] {
        assert_eq!(group_offset(&log), Some(9));
    }
}

#[test]
fn of_two_commits_of_an_offset_the_later_marker_or_record_wins() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t")).unwrap();
    let mut remote = Remote::new(&log, "tx");
    log.txn_offset_commit(&remote.offsets("g", tp("t", 0), 1)).unwrap();
    log.commit_offsets("g", &[(tp("t", 0), Offset::new(2), "")]).unwrap();
    assert_eq!(group_offset(&log), Some(2));
    remote.end(&log, TransactionResult::Commit).unwrap();
    assert_eq!(group_offset(&log), Some(1));
    log.commit_offsets("g", &[(tp("t", 0), Offset::new(3), "")]).unwrap();
    assert_eq!(group_offset(&log), Some(3));
}

/// Position and size of each batch in a file.
fn batches_of(storage: &MemoryStorage, path: &str) -> Vec<(u64, u64)> {
    let file = file(storage, path);
    let (mut found, mut position) = (Vec::new(), 0);
    while position < file.size().unwrap() {
        let mut length = [0; 4];
        file.read_at(position + 8, &mut length).unwrap();
        let size = u64::from(u32::from_be_bytes(length)) + 12;
        found.push((position, size));
        position += size;
    }
    found
}

const STATE_FILE: &str = "log/__transaction_state-0/00000000000000000000.log";

#[test]
fn a_power_loss_of_the_coordinators_records_takes_no_promise_back() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").partitions(2)).unwrap();
    let mut remote = Remote::new(&log, "tx");
    let mut decisions = Vec::new();
    for value in ["1", "2", "3", "4"] {
        remote.write(&log, &tp("t", 0), &[value]).unwrap();
        remote.write(&log, &tp("t", 1), &[value]).unwrap();
        log.txn_offset_commit(&remote.offsets("g", tp("t", 0), value.parse().unwrap())).unwrap();
        match value {
            "2" => remote.end(&log, TransactionResult::Abort).unwrap(),
            "4" => {} // left open
            _ => remote.end(&log, TransactionResult::Commit).unwrap(),
        }
        decisions.push(batches_of(&storage, STATE_FILE).len());
    }
    // The id; then for each transaction three partitions, the decision and the completion.
    let records = batches_of(&storage, STATE_FILE);
    assert_eq!(decisions, [6, 11, 16, 19]);
    // The partitions keep everything, the coordinator's topic ends anywhere.
    for keep in 1..=records.len() {
        let left = Arc::new(storage.fork());
        let (position, size) = records[keep - 1];
        file(&left, STATE_FILE).truncate(position + size).unwrap();
        for round in 0..2 {
            let log = open(&left).unwrap();
            let text = format!("{keep} records, round {round}");
            assert_eq!(committed_values(&log, "t"), ["1", "3"], "{text}");
            assert_eq!(read_all(&log, &tp("t", 1), Isolation::ReadCommitted).0.len(), 2, "{text}");
            assert_eq!(group_offset(&log), Some(3), "{text}");
            for partition in [tp("t", 0), tp("t", 1), tp("__consumer_offsets", 0)] {
                let end = log.offsets(&partition, OffsetSpec::Latest).unwrap();
                assert_eq!(log.last_stable_offset(&partition).unwrap(), end, "{text}: {partition}");
            }
            // Epochs that the partitions know are not handed out again.
            let mut next = Remote::new(&log, "tx");
            assert!(next.producer.epoch > remote.producer.epoch, "{text}");
            next.write(&log, &tp("t", 0), &["new"]).unwrap();
            next.end(&log, TransactionResult::Abort).unwrap();
            log.close().unwrap();
        }
    }
}

#[test]
fn a_lost_completion_does_not_commit_what_came_after_it() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").partitions(2)).unwrap();
    let mut remote = Remote::new(&log, "tx");
    remote.write(&log, &tp("t", 0), &["1"]).unwrap();
    remote.end(&log, TransactionResult::Commit).unwrap();
    let records = batches_of(&storage, STATE_FILE);
    remote.write(&log, &tp("t", 0), &["2"]).unwrap();
    remote.write(&log, &tp("t", 1), &["2"]).unwrap();
    // The disk keeps the decision and all of the partitions, and loses the rest.
    let left = Arc::new(storage.fork());
    let (position, size) = records[records.len() - 2];
    file(&left, STATE_FILE).truncate(position + size).unwrap();
    let log = open(&left).unwrap();
    assert_eq!(committed_values(&log, "t"), ["1"]);
    assert!(read_all(&log, &tp("t", 1), Isolation::ReadCommitted).0.is_empty());
    assert_eq!(code(remote.end(&log, TransactionResult::Commit)), ErrorCode::ProducerFenced);
    append(&log, "t", &["plain"]).unwrap();
    assert_eq!(committed_values(&log, "t"), ["1", "plain"]);
}

#[test]
fn after_a_crash_producers_of_before_are_fenced() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    let mut remote = Remote::new(&log, "tx");
    remote.write(&log, &tp("t", 0), &["1"]).unwrap();
    remote.end(&log, TransactionResult::Commit).unwrap();
    // What it wrote next, and that it did, is lost without a trace.
    let left = Arc::new(storage.fork());
    let log = open(&left).unwrap();
    assert_eq!(code(remote.clone().write(&log, &tp("t", 0), &["2"])), ErrorCode::ProducerFenced);
    assert_eq!(code(remote.clone().end(&log, TransactionResult::Commit)), ErrorCode::ProducerFenced);
    let mut next = Remote::new(&log, "tx");
    next.write(&log, &tp("t", 0), &["3"]).unwrap();
    next.end(&log, TransactionResult::Commit).unwrap();
    // After a clean close they go on.
    log.close().unwrap();
    let log = open(&left).unwrap();
    next.write(&log, &tp("t", 0), &["4"]).unwrap();
    next.end(&log, TransactionResult::Commit).unwrap();
    assert_eq!(committed_values(&log, "t"), ["1", "3", "4"]);
}

#[test]
fn while_a_marker_cannot_be_written_others_are_told_to_wait() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").partitions(2)).unwrap();
    let mut remote = Remote::new(&log, "tx");
    for partition in [0, 0, 1] {
        remote.write(&log, &tp("t", partition), &["1"]).unwrap();
    }
    let before = remote.clone();
    remote.end(&log, TransactionResult::Commit).unwrap();
    // The decision is there, and no marker; one partition is damaged.
    let left = Arc::new(storage.fork());
    let cut = |path: &str, records: usize| {
        let (position, size) = batches_of(&left, path)[records - 1];
        file(&left, path).truncate(position + size).unwrap();
    };
    cut(STATE_FILE, batches_of(&left, STATE_FILE).len() - 1);
    cut("log/t-0/00000000000000000000.log", 2);
    cut("log/t-1/00000000000000000000.log", 1);
    file(&left, "log/t-0/00000000000000000000.log").write_at(65, &[0xff; 4]).unwrap();
    recovery::say_recovery_point(&left, "t 0 1"); // else it would be a torn tail
    for _ in 0..2 {
        let log = open(&left).unwrap();
        assert_eq!(log.describe_transaction("tx").unwrap().state, TransactionState::PrepareCommit);
        assert_eq!(read_all(&log, &tp("t", 1), Isolation::ReadCommitted).0.len(), 1);
        let request =
            InitProducerId { transactional_id: Some("tx".to_owned()), timeout: MINUTE, current: None };
        assert_eq!(code(log.init_producer_id(&request)), ErrorCode::ConcurrentTransactions);
        let mut raised = remote.clone();
        assert_eq!(code(raised.write(&log, &tp("t", 1), &["2"])), ErrorCode::ConcurrentTransactions);
        let abort = log.end_txn(&before.request(TransactionResult::Abort));
        assert_eq!(code(abort), ErrorCode::ConcurrentTransactions);
        // The producer's own retry hears what is in the way.
        let commit = log.end_txn(&before.request(TransactionResult::Commit));
        assert!(matches!(commit, Err(LogError::Corrupt { .. })), "{commit:?}");
    }
}

#[test]
fn a_jump_of_the_clock_aborts_nothing() {
    let storage = memory();
    let (log, clock) = with_clock(&storage);
    log.create_topic(topic("t")).unwrap();
    let mut remote = Remote::new(&log, "tx");
    remote.write(&log, &tp("t", 0), &["1"]).unwrap();
    for jump in [NOW + MINUTE * 60 * 24 * 365, Timestamp::new(0)] {
        clock.set(jump);
        log.maintain().unwrap();
        remote.write(&log, &tp("t", 0), &["2"]).unwrap();
    }
    remote.end(&log, TransactionResult::Commit).unwrap();
    assert_eq!(committed_values(&log, "t").len(), 3);
}

#[test]
fn what_nobody_knows_of_is_aborted_only_if_all_is_known() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    let mut remote = Remote::new(&log, "tx");
    remote.write(&log, &tp("t", 0), &["1"]).unwrap();
    Remote::new(&log, "other").write(&log, &tp("t", 0), &["2"]).unwrap();
    append(&log, "t", &["plain"]).unwrap();

    // The coordinator's topic is gone without a trace.
    let left = Arc::new(storage.fork());
    left.remove_dir(Path::new("log/__transaction_state-0")).unwrap();
    let reopened = open(&left).unwrap();
    assert_eq!(committed_values(&reopened, "t"), ["plain"]);
    assert!(reopened.list_transactions(&TransactionFilter::default()).unwrap().is_empty());

    // It is damaged, and may have said that it commits.
    let left = Arc::new(storage.fork());
    let (position, _) = batches_of(&left, STATE_FILE)[0];
    file(&left, STATE_FILE).write_at(position + 70, &[0xff; 4]).unwrap();
    recovery::say_recovery_point(&left, "__transaction_state 0 1"); // else it would be a torn tail
    for _ in 0..2 {
        let log = open(&left).unwrap();
        let hanging = log.find_hanging_transactions(Some("t"), Duration::ZERO);
        assert!(hanging.unwrap().is_empty()); // the manual clock stands still
        drop(log);
        let config = LogConfig { transaction_topic_partitions: 1, ..LogConfig::default() };
        let later = Arc::new(ManualClock::new(NOW + MINUTE * 20));
        let builder = Log::builder().dir("log").storage(left.clone()).clock(later).config(config);
        let log = builder.open().unwrap();
        let hanging = log.find_hanging_transactions(Some("t"), MINUTE * 15).unwrap();
        assert_eq!(hanging.len(), 2, "{hanging:?}");
        assert!(committed_values(&log, "t").is_empty());
        assert_eq!(hanging[0].partition, tp("t", 0));
        assert_eq!(hanging[0].description.transaction_start, Some(Offset::ZERO));
    }
    let log = open(&left).unwrap();
    log.abort_transaction(&tp("t", 0), AbortSpec::StartOffset(Offset::ZERO)).unwrap();
    assert_eq!(log.last_stable_offset(&tp("t", 0)).unwrap().get(), 1);
    let again = log.abort_transaction(&tp("t", 0), AbortSpec::StartOffset(Offset::ZERO));
    assert_eq!(code(again), ErrorCode::InvalidTxnState);
    let second = log.describe_producers(&tp("t", 0)).unwrap().pop().unwrap();
    let marker = |epoch: i32| TransactionMarker {
        producer: second.producer,
        coordinator_epoch: epoch,
        result: TransactionResult::Abort,
        partitions: vec![tp("t", 0), tp("t", 9)],
    };
    let outcomes = log.write_txn_markers(&[marker(0)]);
    assert!(outcomes[0].1.is_ok());
    assert_eq!(outcomes[1].1.as_ref().unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(committed_values(&log, "t"), ["plain"]);
    let outcomes = log.write_txn_markers(&[marker(-1)]);
    assert_eq!(outcomes[0].1.as_ref().unwrap_err().code(), ErrorCode::TransactionCoordinatorFenced);
}

#[test]
fn transactions_are_listed_and_terminated() {
    let storage = memory();
    let (log, clock) = with_clock(&storage);
    log.create_topic(topic("t")).unwrap();
    let mut first = Remote::new(&log, "app-1");
    let mut second = Remote::new(&log, "app-2");
    let third = Remote::new(&log, "other");
    first.write(&log, &tp("t", 0), &["1"]).unwrap();
    clock.advance(Duration::from_secs(20));
    second.write(&log, &tp("t", 0), &["2"]).unwrap();
    let list = |filter: TransactionFilter| -> Vec<String> {
        let listed = log.list_transactions(&filter).unwrap();
        listed.into_iter().map(|line| format!("{} {}", line.transactional_id, line.state)).collect()
    };
    let all = TransactionFilter::default();
    assert_eq!(list(all.clone()), ["app-1 Ongoing", "app-2 Ongoing", "other Empty"]);
    let states = vec![TransactionState::from_name("Empty").unwrap()];
    assert_eq!(list(TransactionFilter { states, ..all.clone() }), ["other Empty"]);
    let producer_ids = vec![second.producer.id, third.producer.id];
    assert_eq!(list(TransactionFilter { producer_ids, ..all.clone() }), ["app-2 Ongoing", "other Empty"]);
    let open_longer_than = Some(Duration::from_secs(10));
    assert_eq!(list(TransactionFilter { open_longer_than, ..all.clone() }), ["app-1 Ongoing"]);
    let id_pattern = Some("app-.".to_owned());
    assert_eq!(list(TransactionFilter { id_pattern, ..all.clone() }).len(), 2);
    let id_pattern = Some("(".to_owned());
    let outcome = log.list_transactions(&TransactionFilter { id_pattern, ..all.clone() });
    assert_eq!(code(outcome), ErrorCode::InvalidRegularExpression);

    let fenced = log.force_terminate("app-1").unwrap();
    assert!(fenced.epoch > first.producer.epoch);
    assert_eq!(code(first.end(&log, TransactionResult::Commit)), ErrorCode::ProducerFenced);
    second.end(&log, TransactionResult::Commit).unwrap();
    assert_eq!(committed_values(&log, "t"), ["2"]);
    assert_eq!(code(log.force_terminate("app-3")), ErrorCode::TransactionalIdNotFound);
    assert_eq!(list(all.clone()), ["app-1 Empty", "app-2 CompleteCommit", "other Empty"]);

    // A week later they are forgotten, in the topic too.
    clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
    log.maintain().unwrap();
    assert!(list(all).is_empty());
    assert_eq!(code(second.write(&log, &tp("t", 0), &["late"])), ErrorCode::InvalidProducerIdMapping);
    let reopened = open(&Arc::new(storage.fork())).unwrap();
    assert!(reopened.list_transactions(&TransactionFilter::default()).unwrap().is_empty());
    // Whoever comes back gets another producer id.
    assert!(Remote::new(&reopened, "app-1").producer.id > third.producer.id);
}

/// What happened to a transaction in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

/// One partition as a list, with everything said in the plainest way.
#[derive(Debug, Default)]
struct Model {
    /// Offset, value and transaction of each record.
    records: Vec<(u64, String, Option<usize>)>,
    fates: Vec<Fate>,
}

impl Model {
    fn stable_end(&self, end: u64) -> u64 {
        let is_open = |transaction: &Option<usize>| {
            transaction.is_some_and(|transaction| self.fates[transaction] == Fate::Open)
        };
        let open = self.records.iter().find(|(_, _, transaction)| is_open(transaction));
        open.map_or(end, |(offset, ..)| *offset)
    }

    fn seen_from(&self, from: u64, end: u64) -> Vec<(u64, String)> {
        let end = self.stable_end(end);
        let is_seen = |record: &&(u64, String, Option<usize>)| {
            (from..end).contains(&record.0)
                && record.2.is_none_or(|transaction| self.fates[transaction] == Fate::Committed)
        };
        self.records.iter().filter(is_seen).map(|(offset, value, _)| (*offset, value.clone())).collect()
    }
}

fn seen_from(log: &Log, from: u64) -> Vec<(u64, String)> {
    let (id, mut from, mut seen) = (tp("t", 0), Offset::new(from), Vec::new());
    loop {
        let fetched = log.read(&id, from, 250, Isolation::ReadCommitted).unwrap();
        let next = fetched.next_offset(from);
        for batch in fetched.into_data() {
            for record in batch.records().map(Result::unwrap).filter(|record| record.offset >= from) {
                seen.push((record.offset.get(), String::from_utf8_lossy(record.value.unwrap()).into_owned()));
            }
        }
        if next == from {
            return seen;
        }
        from = next;
    }
}

#[test]
fn readers_of_committed_data_see_what_a_plain_list_says() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let storage = memory();
        let mut log = open(&storage).unwrap();
        log.create_topic(topic("t").config("segment.bytes", "900")).unwrap();
        let mut current = storage;
        let (mut model, id) = (Model::default(), tp("t", 0));
        let mut remotes: Vec<_> = (0..4).map(|number| Remote::new(&log, &format!("tx-{number}"))).collect();
        let mut open_in: Vec<Option<usize>> = vec![None; remotes.len()];
        for step in 0..160 {
            let text = format!("seed {seed}, step {step}");
            let at = random.usize(..remotes.len());
            match random.u8(..20) {
                0..=8 => {
                    let values: Vec<_> = (0..random.usize(1..4)).map(|n| format!("{step}.{n}")).collect();
                    let values: Vec<_> = values.iter().map(String::as_str).collect();
                    let base = remotes[at].write(&log, &id, &values).unwrap().get();
                    let transaction = *open_in[at].get_or_insert_with(|| {
                        model.fates.push(Fate::Open);
                        model.fates.len() - 1
                    });
                    let records = (base..).zip(&values);
                    model.records.extend(
                        records.map(|(offset, value)| (offset, (*value).to_owned(), Some(transaction))),
                    );
                }
                9..=11 => {
                    let value = format!("{step}");
                    let base = append(&log, "t", &[&value]).unwrap().get();
                    model.records.push((base, value, None));
                }
                12..=17 => {
                    let Some(transaction) = open_in[at].take() else { continue };
                    let is_commit = random.bool();
                    let result = if is_commit { TransactionResult::Commit } else { TransactionResult::Abort };
                    remotes[at].end(&log, result).unwrap();
                    model.fates[transaction] = if is_commit { Fate::Committed } else { Fate::Aborted };
                }
                restart => {
                    // Closed, or killed.
                    if restart == 18 {
                        log.close().unwrap();
                    } else {
                        current = Arc::new(current.fork());
                    }
                    log = open(&current).unwrap();
                    open_in.iter_mut().filter_map(Option::take).for_each(|transaction| {
                        model.fates[transaction] = Fate::Aborted;
                    });
                    remotes = (0..4).map(|number| Remote::new(&log, &format!("tx-{number}"))).collect();
                }
            }
            let end = log.offsets(&id, OffsetSpec::Latest).unwrap().get();
            assert_eq!(log.last_stable_offset(&id).unwrap().get(), model.stable_end(end), "{text}");
            if step % 8 == 0 {
                for from in 0..=model.stable_end(end) {
                    assert_eq!(seen_from(&log, from), model.seen_from(from, end), "{text}, from {from}");
                }
            }
        }
        let segments = current.list(Path::new("log/t-0")).unwrap();
        let segments = segments.iter().filter(|entry| entry.name.ends_with(".log")).count();
        assert!(segments > 5, "{segments} segments");
    }
}

#[test]
fn embedded_producers_are_idempotent() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for round in 0..3 {
        let log = if round == 2 { open(&Arc::new(storage.fork())).unwrap() } else { log.clone() };
        let mut producer = log.producer(ProducerConfig::default().batch_size(200)).unwrap();
        for number in 0..30 {
            let value = Some(format!("{number}").into());
            producer.send("t", Record { value, ..Record::default() }).unwrap();
        }
        producer.flush().unwrap();
        let producers = log.describe_producers(&tp("t", 0)).unwrap();
        let newest = producers.last().unwrap();
        assert_eq!((newest.last_sequence, newest.transaction_start), (Some(29), None));
        assert!(ids.insert(newest.producer.id), "an id was handed out twice");
    }
    let mut plain = log.producer(ProducerConfig::default().acks(Acks::Written)).unwrap();
    plain.send("t", Record { value: Some("x".into()), ..Record::default() }).unwrap();
    plain.flush().unwrap();
    assert_eq!(log.describe_producers(&tp("t", 0)).unwrap().len(), 2);
}
