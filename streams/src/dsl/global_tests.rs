//! Joins with global tables.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Log, NewTopic, ProducerConfig, SystemClock, Timestamp};

use crate::config::StreamsConfig;
use crate::driver::TopologyTestDriver;
use crate::dsl::{Consumed, StreamsBuilder};
use crate::runtime::Streams;
use crate::serde::Utf8;
use crate::store::MemoryBackend;
use crate::topology::Topology;

/// Orders are named by number and carry the customer's id, or none ("-"), before a colon.
fn topology(left: bool) -> Topology {
    let builder = StreamsBuilder::new();
    let customers = builder.global_table::<String, String>("customers", Consumed::with(Utf8, Utf8));
    let orders = builder.stream::<String, String>("orders", Consumed::with(Utf8, Utf8));
    let customer = |_: Option<&String>, order: &String| {
        order.split_once(':').map(|(id, _)| id.to_owned()).filter(|id| id != "-")
    };
    let joined = if left {
        let name = |row: Option<&String>| row.map_or("nobody", String::as_str).to_owned();
        orders.left_join_global(&customers, customer, move |order, row| format!("{order} for {}", name(row)))
    } else {
        orders.join_global(&customers, customer, |order, row| format!("{order} for {row}"))
    };
    joined.to("out");
    builder.build().unwrap()
}

fn config() -> StreamsConfig {
    let mut config = StreamsConfig::new("test");
    config.cache_max_bytes = 0;
    config
}

fn texts(driver: &mut TopologyTestDriver) -> Vec<(String, i64)> {
    let mut records = driver.read("out").unwrap();
    records.sort_by_key(|record| record.timestamp);
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
    records.into_iter().map(|record| (text(record.value), record.timestamp)).collect()
}

#[test]
fn rows_meet_the_global_row_of_any_key() {
    for (left, expected) in [
        (false, vec![("7:tea for anna", 2), ("8:jam for ben", 6), ("7:rye for anne", 8)]),
        (
            true,
            vec![
                ("7:milk for nobody", 1),
                ("7:tea for anna", 2),
                ("-:bun for nobody", 4),
                ("8:jam for ben", 6),
                ("7:rye for anne", 8),
                ("8:ham for nobody", 10),
            ],
        ),
    ] {
        let mut driver = TopologyTestDriver::with_partitions(topology(left), config(), 3).unwrap();
        let order = |driver: &mut TopologyTestDriver, order: Option<&str>, time| {
            driver.pipe("orders", Some(b"order"), order.map(str::as_bytes), time).unwrap();
        };
        order(&mut driver, Some("7:milk"), 1);
        // The global row counts from when it is there, whatever its time.
        driver.pipe("customers", Some(b"7"), Some(b"anna"), 100).unwrap();
        order(&mut driver, Some("7:tea"), 2);
        order(&mut driver, None, 3);
        order(&mut driver, Some("-:bun"), 4);
        driver.pipe("customers", Some(b"8"), Some(b"ben"), 5).unwrap();
        order(&mut driver, Some("8:jam"), 6);
        driver.pipe("customers", Some(b"7"), Some(b"anne"), 7).unwrap();
        order(&mut driver, Some("7:rye"), 8);
        driver.pipe("customers", Some(b"8"), None, 9).unwrap();
        order(&mut driver, Some("8:ham"), 10);
        let expected: Vec<(String, i64)> =
            expected.into_iter().map(|(text, time)| (text.to_owned(), time)).collect();
        assert_eq!(texts(&mut driver), expected, "left: {left}");
    }
}

#[test]
fn rows_are_found_in_whatever_partition_their_producer_chose() {
    let mut driver = TopologyTestDriver::with_partitions(topology(false), config(), 4).unwrap();
    for partition in 0..4u32 {
        let mut record =
            crate::driver::InputRecord::new(Some(partition.to_string().as_bytes()), Some(b"x"), 0);
        record.partition = Some((partition + 1) % 4);
        driver.pipe_all("customers", &[record]).unwrap();
    }
    for number in 0..4 {
        driver.pipe("orders", None, Some(format!("{number}:tea").as_bytes()), number).unwrap();
    }
    assert_eq!(texts(&mut driver).len(), 4);
    assert_eq!(driver.store("customers-STATE-STORE-0000000000").unwrap().scan(Default::default()).count(), 4);
}

#[test]
fn a_global_table_has_no_tasks() {
    let topology = topology(false);
    let expected = "Topologies:
   Sub-topology: 0 for global store (will not generate tasks)
    Source: KSTREAM-SOURCE-0000000001 (topics: [customers])
      --> KTABLE-SOURCE-0000000002
    Processor: KTABLE-SOURCE-0000000002 (stores: [customers-STATE-STORE-0000000000])
      --> none
      <-- KSTREAM-SOURCE-0000000001

   Sub-topology: 1
    Source: KSTREAM-SOURCE-0000000003 (topics: [orders])
      --> KSTREAM-JOIN-0000000004
    Processor: KSTREAM-JOIN-0000000004 (stores: [])
      --> KSTREAM-SINK-0000000005
      <-- KSTREAM-SOURCE-0000000003
    Sink: KSTREAM-SINK-0000000005 (topic: out)
      <-- KSTREAM-JOIN-0000000004

";
    assert_eq!(topology.describe(), expected);
}

#[test]
fn a_running_application_fills_the_table_first_and_follows_it() {
    let log = Log::in_memory(Arc::new(SystemClock::new()));
    for topic in ["customers", "orders", "out"] {
        log.create_topic(NewTopic::new(topic).partitions(2)).unwrap();
    }
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    let mut write = |topic: &str, key: &str, value: &str| {
        let topic = producer.topic(topic).unwrap();
        let time = Some(Timestamp::new(0));
        producer.append(topic, None, time, Some(key.as_bytes()), Some(value.as_bytes()), &[]).unwrap();
        producer.flush().unwrap();
    };
    write("orders", "1", "7:tea");
    write("customers", "7", "anna");
    let backend = Arc::new(MemoryBackend::default());
    let mut app = Streams::builder(topology(false), config(), log.clone()).backend(backend).open().unwrap();
    app.start().unwrap();
    assert!(app.wait_caught_up(Duration::from_secs(30)).unwrap());
    assert_eq!(app.metrics().sink_records, 1);
    write("customers", "8", "ben");
    assert!(app.wait_caught_up(Duration::from_secs(30)).unwrap());
    write("orders", "2", "8:jam");
    assert!(app.wait_caught_up(Duration::from_secs(30)).unwrap());
    assert_eq!(app.metrics().sink_records, 2);
    app.close().unwrap();
}
