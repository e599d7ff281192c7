//! Producers: what their settings do, from one thread and from many.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::{
    Codec, Isolation, Log, ManualClock, NewTopic, OffsetSpec, Producer, ProducerConfig, Record,
    SharedProducer, Storage,
};

use crate::{NOW, memory, read_all, tp, values};

/// A log whose clock the test moves.
fn open_at(clock: &Arc<ManualClock>) -> Log {
    let storage: Arc<dyn Storage> = memory();
    Log::builder().dir("log").storage(storage).clock(clock.clone()).open().unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW))
}

fn config(properties: &[(&str, &str)]) -> ProducerConfig {
    ProducerConfig::from_properties(properties.iter().copied()).unwrap()
}

fn record(key: Option<&str>, value: &str) -> Record {
    let bytes = |text: &str| bytes::Bytes::copy_from_slice(text.as_bytes());
    Record { key: key.map(bytes), value: Some(bytes(value)), ..Record::default() }
}

fn send(producer: &mut Producer, topic: &str, value: &str) -> u32 {
    producer.send(topic, record(None, value)).unwrap().get()
}

#[test]
fn batches_are_compressed_when_they_are_written() {
    let log = open_at(&clock());
    for codec in [None, Some(Codec::Gzip), Some(Codec::Snappy), Some(Codec::Lz4), Some(Codec::Zstd)] {
        let name = codec.map_or("none", Codec::name);
        log.create_topic(NewTopic::new(name)).unwrap();
        let mut producer = log.producer(config(&[("compression.type", name)])).unwrap();
        let sent: Vec<_> = (0..500).map(|number| format!("value number {}", number % 10)).collect();
        for value in &sent {
            send(&mut producer, name, value);
        }
        producer.flush().unwrap();
        let metrics = producer.metrics();
        assert_eq!(metrics.records, 500, "{name}");
        assert_eq!(metrics.compression_rate() < 0.5, codec.is_some(), "{name}: {metrics:?}");
        assert_eq!(values(&log, name), sent, "{name}");
        let fetched = log.read(&tp(name, 0), 0.into(), 1 << 20, Isolation::ReadUncommitted).unwrap();
        assert!(fetched.batches.iter().all(|batch| batch.codec().unwrap() == codec), "{name}");
    }
}

#[test]
fn a_batch_that_waited_for_linger_goes_with_the_next_one() {
    let clock = clock();
    let log = open_at(&clock);
    log.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    let mut producer = log.producer(config(&[("linger.ms", "20"), ("acks", "1")])).unwrap();
    let to = |number: u32| Record { partition: Some(number.into()), ..record(None, "v") };
    let ends = || [0, 1].map(|number| log.offsets(&tp("t", number), OffsetSpec::Latest).unwrap().get());
    producer.send("t", to(0)).unwrap();
    clock.advance(Duration::from_millis(19));
    producer.send("t", to(1)).unwrap();
    assert_eq!(ends(), [0, 0]);
    producer.flush().unwrap();
    producer.send("t", to(0)).unwrap();
    clock.advance(Duration::from_millis(20));
    producer.send("t", to(1)).unwrap();
    assert_eq!(ends(), [2, 1]);
}

#[test]
fn batches_together_stay_within_the_buffer_memory() {
    let log = open_at(&clock());
    log.create_topic(NewTopic::new("t").partitions(8)).unwrap();
    let settings = [("batch.size", "1000"), ("buffer.memory", "3000"), ("acks", "1")];
    let mut producer = log.producer(config(&settings)).unwrap();
    for number in 0..8_u32 {
        producer.send("t", Record { partition: Some(number.into()), ..record(None, "v") }).unwrap();
        assert!(producer.metrics().buffered_bytes <= 3000);
    }
    assert_eq!(producer.metrics().records, 6);
    producer.flush().unwrap();
    assert_eq!(producer.metrics().records, 8);
}

#[test]
fn keys_choose_the_partition_unless_they_are_ignored() {
    let log = open_at(&clock());
    log.create_topic(NewTopic::new("t").partitions(5)).unwrap();
    let mut by_key = log.producer(config(&[])).unwrap();
    let mut in_turn = log.producer(config(&[("partitioner.class", "RoundRobinPartitioner")])).unwrap();
    let mut sticky = log.producer(config(&[("partitioner.ignore.keys", "true")])).unwrap();
    let mut seen = [Vec::new(), Vec::new(), Vec::new()];
    for key in ["21", "foobar", "abc"] {
        for (producer, seen) in [&mut by_key, &mut in_turn, &mut sticky].into_iter().zip(&mut seen) {
            seen.push(producer.send("t", record(Some(key), "v")).unwrap().get());
        }
    }
    // Of murmur2 & 0x7fffffff: 1173551340, 1357151166, 479470107.
    assert_eq!(seen[0], [0, 1, 2]);
    assert_eq!(seen[1], [0, 1, 2]);
    assert!(seen[2].iter().all(|partition| *partition == seen[2][0]), "{:?}", seen[2]);
}

#[test]
fn a_flushing_producer_without_keys_still_reaches_every_partition() {
    let log = open_at(&clock());
    log.create_topic(NewTopic::new("t").partitions(3)).unwrap();
    let mut producer = log.producer(config(&[("batch.size", "200"), ("acks", "1")])).unwrap();
    for number in 0..300 {
        send(&mut producer, "t", &format!("value {number}"));
        producer.flush().unwrap();
    }
    for number in 0..3 {
        let (found, error) = read_all(&log, &tp("t", number), Isolation::ReadUncommitted);
        assert!(error.is_none() && found.len() > 30, "partition {number} has {}", found.len());
    }
}

#[test]
fn added_partitions_are_noticed() {
    let clock = clock();
    let log = open_at(&clock);
    log.create_topic(NewTopic::new("t")).unwrap();
    let mut producer = log.producer(config(&[("partitioner.class", "RoundRobinPartitioner")])).unwrap();
    let (shared, mut sender) =
        SharedProducer::open(&log, config(&[("partitioner.class", "RoundRobinPartitioner")]), Vec::new())
            .unwrap();
    assert_eq!(send(&mut producer, "t", "v"), 0);
    shared.send("t", record(None, "v")).unwrap();
    producer.flush().unwrap();
    clock.advance(Duration::from_millis(5));
    sender.step();
    log.create_partitions("t", 3).unwrap();
    // Whoever names a new partition sees it at once, all others when metadata.max.age.ms is over.
    let named = Record { partition: Some(2.into()), ..record(None, "v") };
    let other = log.producer(config(&[])).map(|mut producer| producer.send("t", named.clone()));
    assert_eq!(other.unwrap().unwrap().get(), 2);
    assert_eq!(send(&mut producer, "t", "v"), 0);
    producer.flush().unwrap();
    clock.advance(Duration::from_secs(300));
    sender.step();
    send(&mut producer, "t", "v");
    shared.send("t", record(None, "v")).unwrap();
    let next: Vec<_> = (0..3).map(|_| send(&mut producer, "t", "v")).collect();
    assert_eq!(next.iter().copied().collect::<std::collections::BTreeSet<_>>().len(), 3, "{next:?}");
    assert_eq!(shared.partitions("t").unwrap(), 3);
    shared.send("t", named).unwrap();
    clock.advance(Duration::from_millis(5));
    sender.step();
    producer.flush().unwrap();
    assert_eq!(shared.metrics().records, 3);
}
