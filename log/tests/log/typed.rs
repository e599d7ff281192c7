//! Typed producers and consumers, and clients behind the traits.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::client::{Client, RecordRef, TypedConsumer, TypedProducer};
use millstream_log::serde::{DefaultSerde, Json};
use millstream_log::{
    ConsumerConfig, ErrorCode, GroupMetadata, Isolation, NewTopic, OffsetCommit, OffsetSpec, ProducerConfig,
    SharedProducer,
};

use crate::{committed_values, memory, open, tp};

fn from_start() -> ConsumerConfig {
    ConsumerConfig::from_properties([("auto.offset.reset", "earliest")]).unwrap()
}

#[test]
fn a_record_that_cannot_be_read_is_named_and_can_be_passed() {
    let log = open(&memory()).unwrap();
    log.create_topic(NewTopic::new("t")).unwrap();
    let shared = SharedProducer::start(&log, ProducerConfig::default()).unwrap();
    let numbers: TypedProducer<String, i64> = TypedProducer::of(shared.clone());
    let flags: TypedProducer<String, bool> = TypedProducer::of(shared.clone());
    numbers.send("t", Some(&"a".to_owned()), Some(&1)).unwrap();
    flags.send("t", Some(&"b".to_owned()), Some(&true)).unwrap();
    numbers.send("t", None, None).unwrap();
    shared.flush();

    let mut consumer: TypedConsumer<String, i64> = TypedConsumer::of(log.consumer(from_start()).unwrap());
    consumer.consumer_mut().subscribe(&["t"]).unwrap();
    let found = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!((found.len(), found[0].key.as_deref(), found[0].value), (1, Some("a"), Some(1)));
    for _ in 0..2 {
        let error = consumer.poll(Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "could not read the value of record 1 of t-0: 1 bytes where i64 has 8");
        assert_eq!(error.code(), ErrorCode::InvalidRecord);
    }
    consumer.consumer_mut().seek(&tp("t", 0), 2.into()).unwrap();
    let found = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!((found.len(), found[0].offset.get(), &found[0].key, found[0].value), (1, 2, &None, None));
}

/// Cannot be written as JSON, whose keys are text.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Unwritable(std::collections::BTreeMap<Vec<u8>, u8>);

impl DefaultSerde for Unwritable {
    type Serde = Json;
}

#[test]
fn a_value_that_cannot_be_written_is_refused() {
    let log = open(&memory()).unwrap();
    let shared = SharedProducer::start(&log, ProducerConfig::default()).unwrap();
    let producer: TypedProducer<i32, Unwritable> = TypedProducer::of(shared);
    let value = Unwritable([(vec![1], 1)].into());
    let error = producer.send("t", Some(&1), Some(&value)).unwrap_err().to_string();
    assert!(error.starts_with("could not write the value of a record of t: not JSON"), "{error}");
}

/// All that a program may do that does not know where its log is.
fn move_on(client: &dyn Client) {
    client.create_topic(NewTopic::new("in").partitions(2)).unwrap();
    client.create_topic(NewTopic::new("out")).unwrap();
    let mut producer = client.producer(ProducerConfig::default()).unwrap();
    let topic = producer.topic("in").unwrap();
    let values = ["a", "b", "c"];
    let records = values.map(|value| RecordRef {
        partition: Some(1.into()),
        value: Some(value.as_bytes()),
        ..RecordRef::default()
    });
    producer.append_all(topic, &mut records.iter()).unwrap();
    assert_eq!(producer.flush().unwrap()[0].last_offset.get(), 2);
    let unknown = RecordRef { partition: Some(2.into()), ..records[0] };
    let mixed = [records[0], unknown, records[1]];
    let mut left = mixed.iter();
    let error = producer.append_all(topic, &mut left).unwrap_err();
    assert_eq!((error.code(), left.len()), (ErrorCode::UnknownTopicOrPartition, 1));
    assert_eq!(producer.metrics().records, 3);
    producer.close().unwrap();

    let mut consumer = client.consumer(from_start().group_id("g")).unwrap();
    consumer.assign(vec![tp("in", 1)]).unwrap();
    let config = ProducerConfig::default().transactional_id("mover");
    let mut producer = client.producer(config).unwrap();
    let topic = producer.topic("out").unwrap();
    producer.begin_transaction().unwrap();
    for run in consumer.poll(Duration::ZERO).unwrap() {
        for record in run.records() {
            producer.append(topic, None, None, None, record.unwrap().value, &[]).unwrap();
        }
        let offsets = [OffsetCommit::new(run.partition, run.next)];
        producer.send_offsets_to_transaction(&offsets, &GroupMetadata::new("g")).unwrap();
    }
    producer.commit_transaction().unwrap();
    let end = client.list_offsets(&tp("out", 0), OffsetSpec::Latest, Isolation::ReadCommitted).unwrap();
    assert_eq!(end.get(), 5, "four records and the marker");
    assert_eq!(client.list_group_offsets("g").unwrap()[0].1.offset.get(), 4);
    assert_eq!(client.list_groups().unwrap()[0].group_id, "g");
    assert_eq!(client.group_lag("g", Isolation::ReadCommitted).unwrap().len(), 1);
    assert_eq!(client.list_transactions(&Default::default()).unwrap().len(), 1);
    consumer.close().unwrap();
}

#[test]
fn a_program_needs_only_the_traits() {
    let log = open(&memory()).unwrap();
    move_on(&log);
    assert_eq!(committed_values(&log, "out"), ["a", "b", "c", "a"]);
    let shared: Arc<dyn Client> = Arc::new(log);
    assert_eq!(shared.list_topics().unwrap().iter().filter(|topic| !topic.internal).count(), 2);
}
