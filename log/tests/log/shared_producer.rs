//! The producer that threads share: order, memory, retries, transactions, closing.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use millstream_log::{
    Clock, ErrorCode, GroupMetadata, Header, Isolation, Log, LogError, ManualClock, NewTopic, OffsetCommit,
    ProducerConfig, ProducerInterceptor, Record, RecordMetadata, Sender, SharedProducer, Step, Storage,
};

use crate::faults::Faulty;
use crate::{NOW, committed_values, memory, read_all, tp, values};

const MINUTE: Duration = Duration::from_secs(60);

struct Setup {
    clock: Arc<ManualClock>,
    log: Log,
    producer: SharedProducer,
    sender: Sender,
}

/// A log with topic `t` and a producer whose sender is driven by the test.
fn setup(storage: Arc<dyn Storage>, partitions: u32, properties: &[(&str, &str)]) -> Setup {
    let clock = Arc::new(ManualClock::new(NOW));
    let log = Log::builder().dir("log").storage(storage).clock(clock.clone()).open().unwrap();
    log.create_topic(NewTopic::new("t").partitions(partitions)).unwrap();
    let config = ProducerConfig::from_properties(properties.iter().copied()).unwrap();
    let (producer, sender) = SharedProducer::open(&log, config, Vec::new()).unwrap();
    Setup { clock, log, producer, sender }
}

fn record(value: impl Into<String>) -> Record {
    Record { value: Some(Bytes::from(value.into())), ..Record::default() }
}

/// Runs the sender on a thread of its own.
fn run(sender: Sender) -> thread::JoinHandle<()> {
    thread::spawn(move || sender.run())
}

#[test]
fn a_batch_waits_for_linger_or_until_it_is_full() {
    let Setup { clock, log, producer, mut sender } = setup(memory(), 1, &[("batch.size", "300")]);
    let first = producer.send("t", record("a")).unwrap();
    let second = producer.send("t", record("b")).unwrap();
    assert_eq!(sender.step(), Step::Wait(clock.monotonic() + Duration::from_millis(5)));
    assert!(first.try_get().is_none());
    clock.advance(Duration::from_millis(5));
    sender.step();
    assert_eq!(first.try_get().unwrap().unwrap().offset.get(), 0);
    let metadata = second.wait().unwrap();
    let expected = RecordMetadata { partition: tp("t", 0), offset: 1.into(), timestamp: NOW + 0.ms() };
    assert_eq!(metadata, expected);

    let deliveries: Vec<_> = (0..5).map(|_| producer.send("t", record("x".repeat(100))).unwrap()).collect();
    sender.step();
    let known = deliveries.iter().map(|delivery| delivery.try_get().is_some()).collect::<Vec<_>>();
    assert_eq!(known, [true, true, true, true, false], "two to a batch, the last one is open");
    assert_eq!(values(&log, "t").len(), 6);
}

trait Milliseconds {
    fn ms(self) -> Duration;
}

impl Milliseconds for u64 {
    fn ms(self) -> Duration {
        Duration::from_millis(self)
    }
}

#[test]
fn a_delivery_can_be_awaited_and_called_back() {
    let Setup { producer, mut sender, .. } = setup(memory(), 1, &[("linger.ms", "0")]);
    let mut awaited = pin!(producer.send("t", record("a")).unwrap());
    let mut context = Context::from_waker(Waker::noop());
    assert!(awaited.as_mut().poll(&mut context).is_pending());
    let called = Arc::new(Mutex::new(Vec::new()));
    for value in ["b", "c"] {
        let called = called.clone();
        let delivery = producer.send("t", record(value)).unwrap();
        delivery.on_complete(move |outcome| called.lock().unwrap().push(outcome.unwrap().offset.get()));
    }
    sender.step();
    let Poll::Ready(Ok(metadata)) = awaited.as_mut().poll(&mut context) else { panic!("not there yet") };
    assert_eq!(metadata.offset.get(), 0);
    assert_eq!(*called.lock().unwrap(), [1, 2]);
}

#[test]
fn what_cannot_be_taken_is_refused_at_once() {
    let Setup { log, producer, sender: _sender, .. } = setup(memory(), 2, &[("max.request.size", "100")]);
    log.create_topic(NewTopic::new("keyed").config("cleanup.policy", "compact")).unwrap();
    let refused = |topic: &str, record| producer.send(topic, record).unwrap_err();
    for (error, code) in [
        (refused("t", record("x".repeat(200))), ErrorCode::MessageTooLarge),
        (
            refused("t", Record { partition: Some(2.into()), ..record("x") }),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (refused("keyed", record("x")), ErrorCode::InvalidRecord),
        (refused("a b", record("x")), ErrorCode::InvalidTopicException),
    ] {
        assert_eq!(error.code(), code, "{error}");
    }
    assert_eq!(producer.metrics().buffered_bytes, 0);
}

#[test]
fn sends_wait_for_memory_and_then_say_so() {
    let settings = [("batch.size", "1000"), ("buffer.memory", "2000"), ("max.block.ms", "0"), ("acks", "1")];
    let Setup { producer, mut sender, .. } = setup(memory(), 3, &settings);
    let to = |number: u32| Record { partition: Some(number.into()), ..record("v") };
    producer.send("t", to(0)).unwrap();
    producer.send("t", to(1)).unwrap();
    producer.send("t", to(1)).unwrap();
    let error = producer.send("t", to(2)).unwrap_err();
    assert!(matches!(error, LogError::TimedOut { .. }) && error.is_retriable(), "{error}");
    assert_eq!((producer.metrics().buffered_bytes, producer.metrics().waits), (2000, 1));
    let after_linger = producer.clone();
    producer.flush_with(&mut sender);
    after_linger.send("t", to(2)).unwrap();
    assert_eq!(producer.metrics().buffered_bytes, 1000);
}

trait FlushWith {
    fn flush_with(&self, sender: &mut Sender);
}

impl FlushWith for SharedProducer {
    /// Flushes while this thread drives the sender.
    fn flush_with(&self, sender: &mut Sender) {
        thread::scope(|scope| {
            let flushing = scope.spawn(|| self.flush());
            while !flushing.is_finished() {
                sender.step();
            }
        });
    }
}

#[test]
fn a_full_disk_delays_a_partition_and_keeps_its_order() {
    let faulty = Arc::new(Faulty::default());
    let settings = [("linger.ms", "0"), ("batch.size", "0")];
    let Setup { clock, log, producer, mut sender } = setup(faulty.clone(), 1, &settings);
    producer.send("t", record("0")).unwrap();
    sender.step();
    faulty.faults.space.store(0, Ordering::Relaxed);
    let deliveries: Vec<_> =
        (1..5).map(|number| producer.send("t", record(number.to_string())).unwrap()).collect();
    for _ in 0..20 {
        let Step::Wait(until) = sender.step() else { panic!("it ended") };
        let wait = until.saturating_sub(clock.monotonic());
        assert!((80.ms()..1200.ms()).contains(&wait) || wait.is_zero(), "{wait:?}");
        clock.advance(wait);
    }
    assert!(deliveries.iter().all(|delivery| delivery.try_get().is_none()));
    assert!(producer.metrics().retries >= 10, "{:?}", producer.metrics());
    faulty.faults.space.store(u64::MAX, Ordering::Relaxed);
    clock.advance(2000.ms());
    sender.step();
    let offsets: Vec<_> =
        deliveries.into_iter().map(|delivery| delivery.wait().unwrap().offset.get()).collect();
    assert_eq!(offsets, [1, 2, 3, 4]);
    assert_eq!(values(&log, "t"), ["0", "1", "2", "3", "4"]);
}

#[test]
fn what_is_not_written_in_time_is_given_up() {
    let faulty = Arc::new(Faulty::default());
    let settings = [("linger.ms", "0"), ("request.timeout.ms", "1000"), ("delivery.timeout.ms", "3000")];
    let Setup { clock, log, producer, mut sender } = setup(faulty.clone(), 1, &settings);
    producer.send("t", record("0")).unwrap();
    sender.step();
    faulty.faults.space.store(0, Ordering::Relaxed);
    let lost = producer.send("t", record("lost")).unwrap();
    for _ in 0..10 {
        sender.step();
        clock.advance(500.ms());
    }
    let error = lost.wait().unwrap_err();
    assert!(error.is_retriable(), "{error}");
    assert_eq!(producer.metrics().errors, 1);
    assert_eq!(producer.metrics().buffered_bytes, 0);
    faulty.faults.space.store(u64::MAX, Ordering::Relaxed);
    let kept = producer.send("t", record("kept")).unwrap();
    sender.step();
    assert_eq!(kept.wait().unwrap().offset.get(), 1);
    assert_eq!(values(&log, "t"), ["0", "kept"]);
}

#[test]
fn a_failed_sync_is_told_and_not_acknowledged() {
    let faulty = Arc::new(Faulty::default());
    let Setup { producer, mut sender, .. } = setup(faulty.clone(), 1, &[("linger.ms", "0")]);
    producer.send("t", record("0")).unwrap();
    sender.step();
    faulty.faults.is_sync_broken.store(true, Ordering::Relaxed);
    let delivery = producer.send("t", record("1")).unwrap();
    sender.step();
    assert_eq!(delivery.wait().unwrap_err().code(), ErrorCode::KafkaStorageError);
    let after = producer.send("t", record("2")).unwrap();
    sender.step();
    assert!(matches!(*after.wait().unwrap_err(), LogError::Stopped { .. }));
}

#[test]
fn threads_share_it_and_each_keeps_its_order() {
    let storage: Arc<dyn Storage> = memory();
    let log = Log::builder().dir("log").storage(storage).open().unwrap();
    log.create_topic(NewTopic::new("t").partitions(3)).unwrap();
    let properties = [("batch.size", "500"), ("buffer.memory", "4000"), ("linger.ms", "1")];
    let config = ProducerConfig::from_properties(properties).unwrap();
    let producer = SharedProducer::start(&log, config).unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (producer, acknowledged) = (producer.clone(), acknowledged.clone());
            thread::spawn(move || {
                for number in 0..2000 {
                    let value = format!("{thread} {number}");
                    let key = (number % 7).to_string();
                    let delivery = producer
                        .append("t", None, None, Some(key.as_bytes()), Some(value.as_bytes()), &[])
                        .unwrap();
                    let acknowledged = acknowledged.clone();
                    delivery.on_complete(move |outcome| {
                        outcome.unwrap();
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    });
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    producer.flush();
    assert_eq!(acknowledged.load(Ordering::Relaxed), 8000);
    let mut count = 0;
    for partition in 0..3 {
        let (found, error) = read_all(&log, &tp("t", partition), Isolation::ReadUncommitted);
        assert!(error.is_none());
        let mut last = [[-1_i32; 7]; 4];
        for (_, value) in &found {
            let (thread, number) = value.split_once(' ').unwrap();
            let (thread, number): (usize, i32) = (thread.parse().unwrap(), number.parse().unwrap());
            let last = &mut last[thread][number as usize % 7];
            assert!(*last < number, "{number} came after {last}");
            *last = number;
        }
        count += found.len();
    }
    assert_eq!(count, 8000);
    assert_eq!(producer.metrics().buffered_bytes, 0);
    producer.close(MINUTE).unwrap();
}

#[test]
fn the_last_handle_to_go_leaves_nothing_behind() {
    let Setup { log, producer, sender, .. } = setup(memory(), 1, &[("linger.ms", "100000")]);
    let running = run(sender);
    let other = producer.clone();
    drop(producer);
    other.send("t", record("a")).unwrap();
    drop(other);
    running.join().unwrap();
    assert_eq!(values(&log, "t"), ["a"]);
}

#[test]
fn a_close_waits_as_long_as_it_may() {
    let Setup { log, producer, sender, .. } = setup(memory(), 1, &[("linger.ms", "100000")]);
    let delivery = producer.send("t", record("a")).unwrap();
    let other = producer.clone();
    let running = run(sender);
    producer.close(MINUTE).unwrap();
    assert_eq!(delivery.wait().unwrap().offset.get(), 0);
    assert!(matches!(other.send("t", record("b")), Err(LogError::Closed)));
    running.join().unwrap();
    assert_eq!(values(&log, "t"), ["a"]);

    let faulty = Arc::new(Faulty::default());
    let Setup { producer, sender, .. } = setup(faulty.clone(), 1, &[]);
    faulty.faults.space.store(0, Ordering::Relaxed);
    let delivery = producer.send("t", record("a")).unwrap();
    let running = run(sender);
    let error = producer.close(Duration::ZERO).unwrap_err();
    assert!(matches!(error, LogError::TimedOut { .. }), "{error}");
    delivery.wait().unwrap_err();
    running.join().unwrap();
}

#[test]
fn transactions_are_all_or_nothing_for_all_threads() {
    let Setup { log, producer, sender, .. } = setup(memory(), 2, &[("transactional.id", "tx")]);
    let running = run(sender);
    let error = producer.send("t", record("x")).unwrap_err();
    assert_eq!(error.to_string(), "could not write: no transaction is open: begin one");
    let send_from_threads = |prefix: &str| {
        thread::scope(|scope| {
            for number in 0..4 {
                let value = format!("{prefix}{number}");
                let to_first = Record { partition: Some(0.into()), ..record(value) };
                let producer = producer.clone();
                scope.spawn(move || producer.send("t", to_first).unwrap());
            }
        });
    };
    producer.begin_transaction().unwrap();
    assert!(producer.begin_transaction().is_err());
    send_from_threads("kept");
    let offsets = [OffsetCommit::new(tp("t", 1), 7.into())];
    producer.send_offsets_to_transaction(&offsets, &GroupMetadata::new("g")).unwrap();
    producer.commit_transaction().unwrap();
    producer.begin_transaction().unwrap();
    send_from_threads("dropped");
    producer.abort_transaction().unwrap();
    producer.begin_transaction().unwrap();
    send_from_threads("open");
    producer.close(MINUTE).unwrap();
    running.join().unwrap();
    let mut seen = committed_values(&log, "t");
    seen.sort();
    assert_eq!(seen, ["kept0", "kept1", "kept2", "kept3"]);
    let committed = log.committed_offsets("g");
    assert_eq!((committed.len(), committed[0].1.offset.get()), (1, 7));
}

#[test]
fn a_transaction_that_lost_a_record_can_only_be_aborted() {
    let settings =
        [("transactional.id", "tx"), ("compression.type", "gzip"), ("max.request.size", "9000000")];
    let storage: Arc<dyn Storage> = memory();
    let Setup { log, producer, sender, .. } = setup(storage, 1, &settings);
    log.create_topic(NewTopic::new("small").config("max.message.bytes", "200")).unwrap();
    let running = run(sender);
    producer.begin_transaction().unwrap();
    producer.send("t", record("a")).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let noise: String = (0..5000).map(|_| random.alphanumeric()).collect();
    let refused = producer.send("small", record(noise)).unwrap();
    assert_eq!(refused.wait().unwrap_err().code(), ErrorCode::MessageTooLarge);
    assert_eq!(producer.send("t", record("b")).unwrap_err().code(), ErrorCode::TransactionAbortable);
    assert_eq!(producer.commit_transaction().unwrap_err().code(), ErrorCode::TransactionAbortable);
    producer.abort_transaction().unwrap();
    producer.begin_transaction().unwrap();
    producer.send("t", record("c")).unwrap();
    producer.commit_transaction().unwrap();
    assert_eq!(committed_values(&log, "t"), ["c"]);
    drop(producer);
    running.join().unwrap();
}

/// Marks what it sees.
struct Marking(Arc<Mutex<Vec<String>>>);

impl ProducerInterceptor for Marking {
    fn on_send(&self, topic: &str, record: &mut Record) {
        let value = Some(Bytes::copy_from_slice(topic.as_bytes()));
        record.headers.push(Header { key: "topic".into(), value });
    }

    fn on_acknowledgement(&self, outcome: Result<&RecordMetadata, &LogError>) {
        self.0.lock().unwrap().push(outcome.unwrap().partition.to_string());
    }
}

#[test]
fn interceptors_see_every_record_twice() {
    let storage: Arc<dyn Storage> = memory();
    let log = Log::builder().dir("log").storage(storage).open().unwrap();
    let seen = Arc::default();
    let interceptors: Vec<Box<dyn ProducerInterceptor>> = vec![Box::new(Marking(Arc::clone(&seen)))];
    let config = ProducerConfig::default().linger(Duration::ZERO);
    let (producer, mut sender) = SharedProducer::open(&log, config, interceptors).unwrap();
    producer.send("t", record("a")).unwrap();
    producer.append("t", None, None, None, Some(b"b"), &[]).unwrap();
    sender.step();
    assert_eq!(*seen.lock().unwrap(), ["t-0", "t-0"]);
    let fetched = log.read(&tp("t", 0), 0.into(), 1 << 20, Isolation::ReadUncommitted).unwrap();
    for batch in &fetched.batches {
        for record in batch.records() {
            let header = record.unwrap().headers().next().map(|header| header.unwrap().value);
            assert_eq!(header, Some(Some(&b"t"[..])));
        }
    }
}
