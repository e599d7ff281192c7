//! Queries on the stores of the DSL and of processors, partition by partition.

use std::ops::Bound;
use std::time::Duration;

use super::*;
use crate::config::StreamsConfig;
use crate::driver::{InputRecord, TopologyTestDriver};
use crate::dsl::{Consumed, Materialized, StreamsBuilder};
use crate::operator::{SessionWindows, TimeWindows};
use crate::serde::{Int64, Utf8};

const PARTITIONS: u32 = 3;

/// Counts of the keys "a" to "e", in all kinds of stores, with a record of each key at 0 and at 10 ms.
fn driver() -> TopologyTestDriver {
    let ms = Duration::from_millis;
    let builder = StreamsBuilder::new();
    let rows = builder.stream::<String, i64>("in", Consumed::with(Utf8, Int64));
    rows.group_by_key().count(Materialized::named("counts"));
    rows.group_by_key()
        .windowed_by(TimeWindows::of(ms(10)).grace(ms(10)))
        .count(Materialized::named("windows"));
    rows.group_by_key()
        .windowed_by(SessionWindows::of(ms(5)).grace(ms(10)))
        .count(Materialized::named("sessions"));
    let topology = builder.build().unwrap();
    let mut driver =
        TopologyTestDriver::with_partitions(topology, StreamsConfig::new("app"), PARTITIONS).unwrap();
    for time in [0, 10] {
        for key in ["a", "b", "c", "d", "e"] {
            let record = InputRecord::new(Some(key.as_bytes()), Some(&1i64.to_be_bytes()), time);
            driver.pipe_all("in", &[record]).unwrap();
        }
    }
    driver.commit().unwrap();
    driver
}

fn partition_of(key: &str) -> u32 {
    millstream_log::partition_for_key(key.as_bytes(), PARTITIONS).get()
}

/// The results of all partitions.
fn results<R>(result: StateQueryResult<R>) -> Vec<R> {
    result.partitions.into_values().map(|answer| answer.unwrap().result).collect()
}

#[test]
fn keys_and_ranges_are_found() {
    let driver = driver();
    let request = StateQueryRequest::in_store("counts", KeyQuery::<String, i64>::of("c".to_owned()));
    let found = driver.query(&request).unwrap().only();
    assert_eq!(found, Some(ValueAndTimestamp { value: 2, timestamp: 10 }));
    let elsewhere = (0..PARTITIONS).filter(|partition| *partition != partition_of("c"));
    assert_eq!(driver.query(&request.partitions(elsewhere)).unwrap().only(), None);
    let range =
        RangeQuery::<String, i64>::between(Bound::Excluded("a".to_owned()), Bound::Included("d".to_owned()));
    let answers = driver.query(&StateQueryRequest::in_store("counts", range.descending())).unwrap();
    let of = |partition: u32| -> Vec<&str> {
        ["d", "c", "b"].into_iter().filter(|key| partition_of(key) == partition).collect()
    };
    for (partition, answer) in &answers.partitions {
        let keys: Vec<&str> = answer.as_ref().unwrap().result.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, of(*partition), "partition {partition}");
    }
}

#[test]
fn windows_and_sessions_are_found() {
    let driver = driver();
    for (store, expected) in [("windows", [(0, 10), (10, 20)]), ("sessions", [(0, 0), (10, 10)])] {
        let query = WindowKeyQuery::<String, i64>::of("b".to_owned(), 0..=10);
        let found = results(driver.query(&StateQueryRequest::in_store(store, query)).unwrap()).concat();
        let found: Vec<(i64, i64)> = found.iter().map(|(window, _)| (window.start, window.end)).collect();
        assert_eq!(found, expected, "{store}");
        let query = WindowRangeQuery::<String, i64>::within(10..=10);
        let found = results(driver.query(&StateQueryRequest::in_store(store, query)).unwrap()).concat();
        assert_eq!(found.len(), 5, "{store}");
        assert!(found.iter().all(|(window, count)| window.start == 10 && *count == 1), "{store}");
    }
    let view = driver.store("windows").unwrap();
    let windows = view.window::<String, i64>().unwrap();
    assert_eq!(windows.fetch_one(&"b".to_owned(), 10).unwrap(), Some(1));
    let starts = windows.backward_fetch(&"b".to_owned(), 0..=100).unwrap();
    assert_eq!(starts.map(|row| row.unwrap().0).collect::<Vec<_>>(), [10, 0]);
    let sessions = driver.store("sessions").unwrap().session::<String, i64>().unwrap();
    assert_eq!(sessions.fetch_session(&"b".to_owned(), 10, 10).unwrap(), Some(1));
    assert_eq!(sessions.find_sessions(&"b".to_owned(), 0, 9).unwrap().count(), 1);
}

#[test]
fn a_bound_is_kept() {
    let driver = driver();
    let key = "c";
    let partition = partition_of(key);
    let input = TopicPartition::new("in", partition);
    let of_input =
        driver.query(&StateQueryRequest::in_store("counts", RangeQuery::<String, i64>::all())).unwrap();
    let last = of_input.position.offset(&input).unwrap();
    let ask = |offset: u64| {
        let bound = Position::new().with(input.clone(), Offset::new(offset));
        let query = KeyQuery::<String, i64>::of(key.to_owned());
        driver.query(&StateQueryRequest::in_store("counts", query).at_least(bound)).unwrap()
    };
    assert!(ask(last.get()).only().is_some());
    let refused = ask(last.get() + 1);
    for (number, answer) in refused.partitions {
        // The other partitions do not read this input.
        let reason = answer.map(|_| ()).map_err(|failure| failure.reason);
        let expected = if number == partition { Err(FailureReason::NotUpToBound) } else { Ok(()) };
        assert_eq!(reason, expected, "partition {number}");
    }
}

#[test]
fn refusals_say_why() {
    let driver = driver();
    let key = || KeyQuery::<String, i64>::of("a".to_owned());
    for (request, partition, reason, message) in [
        (
            StateQueryRequest::in_store("counts", key()).partitions([7]),
            7,
            FailureReason::DoesNotExist,
            "there is no partition 7: the store has 3",
        ),
        (
            StateQueryRequest::in_store("windows", key()),
            0,
            FailureReason::UnknownQueryType,
            "store \"windows\" has windows and is asked for as a key-value store",
        ),
    ] {
        let mut answers = driver.query(&request).unwrap().partitions;
        let failure = answers.remove(&partition).unwrap().unwrap_err();
        assert_eq!((failure.reason, failure.message.as_str()), (reason, message));
    }
    let view = driver.store("counts").unwrap();
    assert!(view.partition(3).is_none());
    assert_eq!(view.partition_of(&"c".to_owned(), PARTITIONS).unwrap(), partition_of("c"));
    let error = view.partition_of(&7i64, PARTITIONS).unwrap_err().to_string();
    assert_eq!(error, "store \"counts\" has alloc::string::String and is asked for as i64");
}
