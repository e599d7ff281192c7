//! Producers and consumers.

use std::thread;

use millstream_log::{
    AutoOffsetReset, Consumer, ConsumerConfig, OffsetSpec, PartitionId, ProducerConfig, Record,
    partition_for_key,
};

use super::*;

fn reader(log: &Log, group: Option<&str>) -> Consumer {
    let mut config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
    config.group_id = group.map(str::to_owned);
    log.consumer(config).unwrap()
}

fn polled(consumer: &mut Consumer) -> Vec<String> {
    let mut values = Vec::new();
    loop {
        let found = consumer.poll(Duration::ZERO).unwrap();
        if found.is_empty() {
            return values;
        }
        for record in found.iter().flat_map(|records| records.records()) {
            values.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
        }
    }
}

#[test]
fn records_go_where_their_key_says() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t").partitions(5)).unwrap();
    let mut producer = log.producer(ProducerConfig::default().batch_size(100)).unwrap();
    let t = producer.topic("t").unwrap();
    for number in 0..100_u32 {
        let key = number.to_string();
        let partition = producer.append(t, None, None, Some(key.as_bytes()), Some(b"v"), &[]).unwrap();
        assert_eq!(partition, partition_for_key(key.as_bytes(), 5));
    }
    let to = producer.append(t, Some(PartitionId::new(3)), Some(NOW), None, None, &[]).unwrap();
    assert_eq!(to.get(), 3);
    let metadata = producer.flush().unwrap();
    let count: u64 = metadata.iter().map(|to| to.last_offset.since(to.first_offset) + 1).sum();
    assert_eq!((metadata.len(), count), (5, 101));
    assert_eq!(producer.flush().unwrap(), []);
    let error = producer.append(t, Some(PartitionId::new(5)), None, None, None, &[]).unwrap_err();
    assert!(matches!(error, LogError::UnknownPartition { count: 5, .. }), "{error}");
}

#[test]
fn records_without_a_key_spread_batch_by_batch() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t").partitions(3)).unwrap();
    let mut producer = log.producer(ProducerConfig::default().batch_size(200)).unwrap();
    for _ in 0..2000 {
        producer.send("t", Record { value: Some("0123456789".into()), ..Record::default() }).unwrap();
    }
    assert_eq!(producer.flush().unwrap().len(), 3);
}

#[test]
fn topics_are_created_for_producers_if_allowed() {
    let log = open(&memory()).unwrap();
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    producer.send("made", Record::default()).unwrap();
    assert!(log.describe_topic("made").is_ok());
    let config = LogConfig { auto_create_topics: false, ..LogConfig::default() };
    let log = Log::builder().dir("log").storage(memory()).config(config).open().unwrap();
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    assert!(matches!(producer.topic("made"), Err(LogError::UnknownTopic { .. })));
}

#[test]
fn a_record_too_large_for_its_topic_is_refused_alone() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t").config("max.message.bytes", "200")).unwrap();
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    let record = |bytes: usize| Record { value: Some(vec![b'x'; bytes].into()), ..Record::default() };
    producer.send("t", record(5)).unwrap();
    let error = producer.send("t", record(300)).unwrap_err();
    assert!(matches!(error, LogError::TooLarge { bytes_max: 200, .. }), "{error}");
    producer.send("t", record(6)).unwrap();
    producer.flush().unwrap();
    assert_eq!(values(&log, "t").len(), 2);
}

#[test]
fn a_group_goes_on_where_it_stopped() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a", "b"]).unwrap();
    let mut consumer = reader(&log, Some("g"));
    consumer.subscribe(&["t"]).unwrap();
    assert_eq!(polled(&mut consumer), ["a", "b"]);
    consumer.commit_offsets(&[(tp("t", 0), Offset::new(1))]).unwrap();
    drop(consumer);
    let left = Arc::new(storage.fork());
    log.close().unwrap();
    for storage in [storage, left] {
        let log = open(&storage).unwrap();
        append(&log, "t", &["c"]).unwrap();
        let mut consumer = reader(&log, Some("g"));
        consumer.subscribe(&["t"]).unwrap();
        // The committed offset lies inside a batch.
        assert_eq!(polled(&mut consumer), ["b", "c"]);
        consumer.close().unwrap();
        assert_eq!(log.committed_offsets("g")[0].1.offset.get(), 3);
        assert_eq!(log.groups(), ["g"]);
        log.delete_topic("t").unwrap();
        assert_eq!(log.groups(), [""; 0]);
    }
}

#[test]
fn a_poll_commits_what_earlier_polls_returned() {
    let clock = Arc::new(ManualClock::new(NOW));
    let log = Log::in_memory(clock.clone());
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    let mut consumer = reader(&log, Some("g"));
    consumer.subscribe(&["t"]).unwrap();
    clock.advance(Duration::from_secs(6));
    consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(consumer.committed(&tp("t", 0)).unwrap_or_default().get(), 0);
    clock.advance(Duration::from_secs(6));
    consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(consumer.committed(&tp("t", 0)).unwrap().get(), 1);
}

#[test]
fn seeking_pausing_and_resetting() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t").partitions(2)).unwrap();
    append(&log, "t", &["a", "b", "c"]).unwrap();
    let mut consumer = reader(&log, None);
    consumer.assign(vec![tp("t", 0), tp("t", 1)]).unwrap();
    consumer.seek(&tp("t", 0), Offset::new(2)).unwrap();
    assert_eq!(polled(&mut consumer), ["c"]);
    consumer.seek_to(&tp("t", 0), OffsetSpec::Earliest).unwrap();
    consumer.pause(&[tp("t", 0)]);
    assert_eq!(polled(&mut consumer), [""; 0]);
    consumer.resume(&[tp("t", 0)]);
    assert_eq!(polled(&mut consumer).len(), 3);
    consumer.seek(&tp("t", 0), Offset::new(99)).unwrap();
    assert_eq!(polled(&mut consumer).len(), 3);
    let error = consumer.seek(&tp("t", 7), Offset::new(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t-7 is not assigned to this consumer: subscribe to its topic or assign it first"
    );
    let error = consumer.commit_offsets(&[]).unwrap_err();
    assert_eq!(error.to_string(), "invalid group id \"\": set group.id to commit offsets");

    let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::None).group_id("new");
    let mut consumer = log.consumer(config).unwrap();
    consumer.subscribe(&["t"]).unwrap();
    let error = consumer.poll(Duration::ZERO).unwrap_err();
    assert!(matches!(error, LogError::NoCommittedOffset { .. }), "{error}");
}

#[test]
fn an_append_wakes_a_blocked_poll() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t").partitions(2)).unwrap();
    let mut consumer = reader(&log, None);
    consumer.subscribe(&["t"]).unwrap();
    let polling = thread::spawn(move || consumer.poll(Duration::from_secs(60)).unwrap());
    thread::yield_now();
    log.append(&tp("t", 1), batch(&["a"]), Acks::Synced).unwrap();
    let found = polling.join().unwrap();
    assert_eq!((found.len(), found[0].partition.partition.get(), found[0].next.get()), (1, 1, 1));
}

#[test]
fn a_waker_ends_a_blocked_poll_and_closing_fails_it() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t")).unwrap();
    let mut consumer = reader(&log, None);
    consumer.subscribe(&["t"]).unwrap();
    let waker = consumer.waker();
    let polling = thread::spawn(move || (consumer.poll(Duration::from_secs(60)).unwrap().len(), consumer));
    waker.wake();
    let (count, mut consumer) = polling.join().unwrap();
    assert_eq!(count, 0);
    let polling = thread::spawn(move || consumer.poll(Duration::from_secs(60)));
    log.close().unwrap();
    assert!(matches!(polling.join().unwrap(), Err(LogError::Closed)));
}

#[test]
fn readers_at_the_end_see_every_record_once_and_in_order() {
    let config = LogConfig { tail_bytes: 2000, ..LogConfig::default() };
    let log = Log::builder().dir("log").storage(memory()).config(config).open().unwrap();
    log.create_topic(topic("t").config("segment.bytes", "5000")).unwrap();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut consumer = reader(&log, None);
            consumer.subscribe(&["t"]).unwrap();
            thread::spawn(move || {
                let mut seen = Vec::new();
                while seen.len() < 2000 {
                    let found = consumer.poll(SOON).unwrap();
                    assert!(!found.is_empty(), "starved after {}", seen.len());
                    for record in found.iter().flat_map(|records| records.records()) {
                        seen.push(record.unwrap().offset.get());
                    }
                }
                seen
            })
        })
        .collect();
    let mut producer = log.producer(ProducerConfig::default().acks(Acks::Written).batch_size(300)).unwrap();
    for number in 0..2000 {
        producer.send("t", Record { value: Some("v".into()), ..Record::default() }).unwrap();
        if number % 7 == 0 {
            producer.flush().unwrap();
        }
    }
    producer.flush().unwrap();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), (0..2000).collect::<Vec<_>>());
    }
}
