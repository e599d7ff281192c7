//! Typed stores against ordered maps, with commits and evictions at any point, and by name in a topology.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Log, ManualClock, PartitionId, ProducerConfig, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::batch::{Batch, Decoded, Decoder};
use crate::config::{ProcessingGuarantee, StreamsConfig};
use crate::driver::TopologyTestDriver;
use crate::processor::Processor;
use crate::report::Reporter;
use crate::runtime::outbox::Outbox;
use crate::serde::{Int64, Utf8, Windowed};
use crate::store::backend::WriteBatch;
use crate::store::cache::TaskStore;
use crate::store::changelog::Changelog;
use crate::store::spec::{StorePlace, StoreSpec};
use crate::store::{MemoryBackend, StateBackend};
use crate::topology::{SourceOptions, TopologyBuilder};

/// A store partition whose commits go straight to a backend in memory.
struct Bench {
    backend: Arc<dyn StateBackend>,
    store: CachedStore<ValueArena<i64>>,
    outbox: Outbox,
}

impl Bench {
    fn new(spec: &StoreSpec) -> Self {
        let backend: Arc<dyn StateBackend> = Arc::new(MemoryBackend::default());
        let place = StorePlace::open(spec, &backend, 3).unwrap();
        let mut store = CachedStore::new(place, ValueArena::new(Arc::new(Int64)));
        store.restored(i64::MIN, true);
        let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(0))));
        let producer = log.producer(ProducerConfig::default()).unwrap();
        Self { backend, store, outbox: Outbox::new(producer, ProcessingGuarantee::AtLeastOnce) }
    }

    fn typed(&mut self) -> Typed<'_, String, i64> {
        Typed { store: &mut self.store, keys: Arc::new(Utf8), time: 0, key: Vec::new() }
    }

    fn commit(&mut self, budget: usize) {
        let (mut batch, mut key) = (WriteBatch::default(), Vec::new());
        let (kind, partition) = (self.store.kind(), PartitionId::new(3));
        let mut changelog =
            Changelog { outbox: &mut self.outbox, topic: None, partition, kind, key: &mut key };
        self.store.commit(&mut changelog, &mut batch).unwrap();
        self.backend.apply(&batch).unwrap();
        self.store.committed(budget);
    }
}

fn collect<T>(rows: Result<StoreIter<'_, T>, StreamsError>) -> Vec<T> {
    rows.unwrap().map(Result::unwrap).collect()
}

/// Keys of which some begin with others.
fn key(number: u8) -> String {
    ["a", "aa", "ab", "b", "ba", "b\0\0\0\0\0\0\0\0", "c"][usize::from(number) % 7].to_owned()
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, i64),
    PutIfAbsent(u8, i64),
    Delete(u8),
    Range(u8, u8),
    Commit(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..7, 0i64..100).prop_map(|(key, value)| Step::Put(key, value)),
        1 => (0u8..7, 0i64..100).prop_map(|(key, value)| Step::PutIfAbsent(key, value)),
        2 => (0u8..7).prop_map(Step::Delete),
        2 => (0u8..7, 0u8..7).prop_map(|(from, to)| Step::Range(from, to)),
        2 => (0usize..400).prop_map(Step::Commit),
    ]
}

proptest! {
    #[test]
    fn a_key_value_store_acts_like_an_ordered_map(steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut bench = Bench::new(&Stores::key_value("s", Utf8, Int64));
        let mut model: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for (time, step) in (0i64..).zip(steps) {
            if let Step::Commit(budget) = step {
                bench.commit(budget);
                continue;
            }
            let mut store = KeyValueStore(bench.typed());
            store.at(time);
            match step {
                Step::Put(number, value) => {
                    store.put(&key(number), value).unwrap();
                    model.insert(key(number), (value, time));
                }
                Step::PutIfAbsent(number, value) => {
                    let before = store.put_if_absent(&key(number), value).unwrap().copied();
                    prop_assert_eq!(before, model.get(&key(number)).map(|row| row.0));
                    model.entry(key(number)).or_insert((value, time));
                }
                Step::Delete(number) => {
                    let before = store.delete(&key(number)).unwrap();
                    prop_assert_eq!(before, model.remove(&key(number)).map(|row| row.0));
                }
                Step::Range(from, to) => {
                    let (from, to) = (key(from), key(to));
                    let inside = |key: &String| *key >= from && *key <= to;
                    let expected: Vec<(String, i64)> =
                        model.iter().filter(|(key, _)| inside(key)).map(|(key, row)| (key.clone(), row.0)).collect();
                    prop_assert_eq!(&collect(store.range(from.clone()..=to.clone())), &expected);
                    let reversed: Vec<_> = expected.into_iter().rev().collect();
                    prop_assert_eq!(collect(store.reverse_range(from.clone()..=to.clone())), reversed);
                    let prefixed: Vec<(String, i64)> = model
                        .iter()
                        .filter(|(key, _)| key.starts_with(&from))
                        .map(|(key, row)| (key.clone(), row.0))
                        .collect();
                    prop_assert_eq!(collect(store.prefix_scan(&from, &Utf8)), prefixed);
                }
                Step::Commit(_) => unreachable!("done above"),
            }
            let mut store = TimestampedKeyValueStore(bench.typed());
            for number in 0..7 {
                let row = store.get(&key(number)).unwrap().map(|row| (*row.value, row.timestamp));
                prop_assert_eq!(row, model.get(&key(number)).copied());
            }
            let all: Vec<(String, (i64, i64))> =
                collect(store.all()).into_iter().map(|(key, row)| (key, (row.value, row.timestamp))).collect();
            prop_assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
        }
        bench.commit(0);
        let rows = KeyValueStore(bench.typed()).approximate_num_entries().unwrap();
        prop_assert_eq!(rows, model.len() as u64);
    }

    #[test]
    fn a_window_store_acts_like_an_ordered_map(
        steps in proptest::collection::vec((0u8..7, 0i64..60, 0u8..6), 1..60),
        (from, to) in (0i64..60, 0i64..60),
    ) {
        const RETENTION: i64 = 30;
        let retention = Duration::from_millis(30);
        let mut bench = Bench::new(&Stores::window("s", Duration::from_millis(10), retention, Utf8, Int64));
        let mut model: BTreeMap<(Vec<u8>, i64), (String, i64)> = BTreeMap::new();
        let mut latest = 0;
        for (number, start, what) in steps {
            let key = key(number);
            match what {
                0 => bench.commit(0),
                1 => bench.commit(usize::MAX),
                2 => {
                    let live = start > latest - RETENTION;
                    let before = WindowStore(bench.typed()).delete(&key, start).unwrap().filter(|_| live);
                    prop_assert_eq!(before, model.remove(&(key.into_bytes(), start)).map(|row| row.1));
                }
                _ => {
                    latest = latest.max(start);
                    model.retain(|(_, start), _| *start > latest - RETENTION);
                    let stored = WindowStore(bench.typed()).put(&key, start, start).unwrap();
                    prop_assert_eq!(stored, start > latest - RETENTION);
                    if stored {
                        model.insert((key.clone().into_bytes(), start), (key, start));
                    }
                }
            }
            let mut store = WindowStore(bench.typed());
            let row = |key: &(Vec<u8>, i64), row: &(String, i64)| {
                (Windowed { key: row.0.clone(), start: key.1, end: key.1 + 10 }, row.1)
            };
            let mut expected: Vec<_> = model.iter().map(|(key, value)| row(key, value)).collect();
            // The order of the stored bytes: a key's windows may stand among those of a longer key.
            let bytes = |window: &Windowed<String>| [window.key.as_bytes(), &window.start.to_be_bytes()].concat();
            expected.sort_by_key(|(window, _)| bytes(window));
            prop_assert_eq!(&collect(store.all()), &expected);
            let within: Vec<_> =
                expected.iter().filter(|(window, _)| (from..=to).contains(&window.start)).cloned().collect();
            prop_assert_eq!(&collect(store.fetch_all(from..=to)), &within);
            let some: Vec<_> =
                within.iter().filter(|(window, _)| *window.key >= *"aa" && *window.key < *"b").cloned().collect();
            prop_assert_eq!(&collect(store.fetch_keys("aa".to_owned().."b".to_owned(), from..=to)), &some);
            for number in 0..7 {
                let key = super::tests::key(number);
                let of_key = within.iter().filter(|(window, _)| window.key == key);
                let mut of_key: Vec<_> = of_key.map(|(window, value)| (window.start, *value)).collect();
                prop_assert_eq!(&collect(store.fetch(&key, from..=to)), &of_key);
                of_key.reverse();
                prop_assert_eq!(&collect(store.backward_fetch(&key, from..=to)), &of_key);
                for start in [0, 7, 20, 59] {
                    let found = store.fetch_one(&key, start).unwrap().copied();
                    let expected = model.get(&(key.clone().into_bytes(), start)).map(|row| row.1);
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn a_session_store_acts_like_an_ordered_map(
        steps in proptest::collection::vec((0u8..7, 0i64..60, 0i64..20, 0u8..6), 1..60),
        (earliest_end, latest_start) in (0i64..60, 0i64..60),
    ) {
        const RETENTION: i64 = 30;
        let mut bench = Bench::new(&Stores::session("s", Duration::from_millis(30), Utf8, Int64));
        let mut model: BTreeMap<(String, i64, i64), i64> = BTreeMap::new();
        let mut latest = 0;
        for (number, start, length, what) in steps {
            let (key, end) = (key(number), start + length);
            let session = Windowed { key: key.clone(), start, end };
            match what {
                0 => bench.commit(0),
                1 => bench.commit(usize::MAX),
                2 => {
                    let live = end >= latest - RETENTION;
                    let before = SessionStore(bench.typed()).remove(&session).unwrap().filter(|_| live);
                    prop_assert_eq!(before, model.remove(&(key, end, start)));
                }
                _ => {
                    latest = latest.max(end);
                    model.retain(|(_, end, _), _| *end >= latest - RETENTION);
                    let stored = SessionStore(bench.typed()).put(&session, start).unwrap();
                    prop_assert_eq!(stored, end >= latest - RETENTION);
                    if stored {
                        model.insert((key, end, start), start);
                    }
                }
            }
            let mut store = SessionStore(bench.typed());
            for number in 0..7 {
                let key = super::tests::key(number);
                let of_key: Vec<_> = model
                    .iter()
                    .filter(|((of, _, _), _)| *of == key)
                    .map(|((key, end, start), value)| (Windowed { key: key.clone(), start: *start, end: *end }, *value))
                    .collect();
                prop_assert_eq!(&collect(store.fetch(&key)), &of_key);
                let mut found: Vec<_> = of_key
                    .into_iter()
                    .filter(|(session, _)| session.end >= earliest_end && session.start <= latest_start)
                    .collect();
                prop_assert_eq!(&collect(store.find_sessions(&key, earliest_end, latest_start)), &found);
                found.reverse();
                prop_assert_eq!(&collect(store.backward_find_sessions(&key, earliest_end, latest_start)), &found);
            }
            let expected = model.keys().filter(|key| *key.0 >= *"aa" && *key.0 <= *"b").count();
            prop_assert_eq!(collect(store.fetch_keys("aa".to_owned()..="b".to_owned())).len(), expected);
        }
    }
}

/// Rows of text keys and numbers.
struct TextNumbers;

impl Decoder for TextNumbers {
    fn decode(
        &mut self,
        records: &millstream_log::PartitionRecords,
        _: &mut dyn Reporter,
    ) -> Result<Decoded, StreamsError> {
        let mut rows = Rows { rows: Vec::new(), times: Vec::new() };
        let mut offsets = Vec::new();
        for record in records.records() {
            let record = record?;
            let text = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            rows.rows.push((text, i64::from_be_bytes(record.value.unwrap().try_into().unwrap())));
            rows.times.push(record.timestamp.get());
            offsets.push(record.offset.get());
        }
        Ok(Decoded { batch: Box::new(rows), offsets })
    }
}

#[derive(Clone)]
struct Rows {
    rows: Vec<(String, i64)>,
    times: Vec<i64>,
}

impl Batch for Rows {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn timestamps(&self) -> &[i64] {
        &self.times
    }

    fn split_front(&mut self, rows: usize) -> Box<dyn Batch> {
        Box::new(Self { rows: self.rows.drain(..rows).collect(), times: self.times.drain(..rows).collect() })
    }

    fn duplicate(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}

/// Sums the numbers of each text, in all stores that it has; a negative number removes the text.
struct Sums;

impl Processor for Sums {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let batch = crate::batch::downcast::<Rows>(batch)?;
        for ((text, number), time) in batch.rows.iter().zip(&batch.times) {
            for name in ["disk", "memory"] {
                let mut sums = context.key_value_store::<String, i64>(name)?;
                sums.at(*time);
                if *number < 0 {
                    sums.delete(text)?;
                    continue;
                }
                let sum = sums.get(text)?.copied().unwrap_or(0) + number;
                sums.put(text, sum)?;
            }
            let mut windows = context.window_store::<String, i64>("windows")?;
            let start = time / 10 * 10;
            let sum = windows.fetch_one(text, start)?.copied().unwrap_or(0) + number;
            windows.at(*time).put(text, sum, start)?;
            let mut versions = context.versioned_key_value_store::<String, i64>("versions")?;
            versions.put(text, *number, *time)?;
            assert_eq!(versions.get(text)?.map(|record| record.value), Some(*number));
        }
        Ok(())
    }
}

#[test]
fn processors_find_stores_by_name_and_type() {
    let mut builder = TopologyBuilder::new();
    let stores = [
        Stores::key_value("disk", Utf8, Int64),
        Stores::key_value("memory", Utf8, Int64).in_memory().changelog_config("segment.bytes", "1048576"),
        Stores::window("windows", Duration::from_millis(10), Duration::from_millis(100), Utf8, Int64),
        Stores::versioned("versions", Duration::from_millis(100), Utf8, Int64),
    ];
    let handles = stores.map(|store| builder.add_store(store));
    builder.add_source("source", ["in"], Arc::new(|| Box::new(TextNumbers)), SourceOptions::default());
    builder.add_processor("sums", Arc::new(|| Box::new(Sums)), &["source"], &handles);
    let topology = builder.build().unwrap();
    let mut driver = TopologyTestDriver::new(topology.clone(), StreamsConfig::new("app")).unwrap();
    for (time, (text, number)) in (0..).zip([("a", 1i64), ("b", 2), ("a", 3), ("b", -1), ("c", 5)]) {
        driver.pipe("in", Some(text.as_bytes()), Some(&number.to_be_bytes()), time * 4).unwrap();
    }
    driver.commit().unwrap();
    let (log, clock) = (driver.log().clone(), driver.clock().clone());
    let restarted = TopologyTestDriver::on_log(topology, StreamsConfig::new("app"), log, clock).unwrap();
    let segment = restarted.log().describe_topic("app-memory-changelog").unwrap();
    assert_eq!(segment.configs.get("segment.bytes").map(String::as_str), Some("1048576"));
    for driver in [driver, restarted] {
        for store in ["disk", "memory"] {
            let rows: Vec<(Vec<u8>, i64, i64)> = driver
                .store(store)
                .unwrap()
                .scan(Default::default())
                .map(|row| {
                    row.map(|row| (row.key, i64::from_be_bytes(row.value.try_into().unwrap()), row.timestamp))
                })
                .collect::<Result<_, _>>()
                .unwrap();
            assert_eq!(rows, [(b"a".to_vec(), 4, 8), (b"c".to_vec(), 5, 16)], "{store}");
        }
        let windows = driver.store("windows").unwrap().windows(b"a", 0, 100).unwrap();
        let windows: Vec<_> = windows.iter().map(|row| (row.window_start, row.window_end)).collect();
        assert_eq!(windows, [(Some(0), Some(10))]);
        let versions = driver.store("versions").unwrap().versions(b"a", 0, 100).unwrap();
        let versions: Vec<_> = versions.iter().map(|version| (version.timestamp, version.valid_to)).collect();
        assert_eq!(versions, [(8, None), (0, Some(8))]);
    }
}

/// Asks for a store in a wrong way.
struct Wrong(fn(&mut Context<'_>) -> StreamsError);

impl Processor for Wrong {
    fn process(&mut self, _: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        Err((self.0)(context))
    }
}

#[test]
fn stores_that_do_not_fit_are_told() {
    type Ask = fn(&mut Context<'_>) -> StreamsError;
    let asks: [(Ask, &str); 4] = [
        (
            |context| context.key_value_store::<String, i64>("sum").err().unwrap(),
            "no store \"sum\" here: node asks is connected to sums",
        ),
        (
            |context| context.key_value_store::<String, String>("sums").err().unwrap(),
            "store \"sums\" has values of another type or form and is asked for as a key-value store",
        ),
        (
            |context| context.key_value_store::<i64, i64>("sums").err().unwrap(),
            "store \"sums\" has alloc::string::String -> i64 and is asked for as i64 -> i64",
        ),
        (
            |context| context.window_store::<String, i64>("sums").err().unwrap(),
            "store \"sums\" has keys without windows and is asked for as a window store",
        ),
    ];
    for (ask, message) in asks {
        let mut builder = TopologyBuilder::new();
        let store = builder.add_store(Stores::key_value("sums", Utf8, Int64));
        builder.add_source("source", ["in"], Arc::new(|| Box::new(TextNumbers)), SourceOptions::default());
        builder.add_processor("asks", Arc::new(move || Box::new(Wrong(ask))), &["source"], &[store]);
        let topology = builder.build().unwrap();
        let mut driver = TopologyTestDriver::new(topology, StreamsConfig::new("app")).unwrap();
        let error = driver.pipe("in", Some(b"a"), Some(&1i64.to_be_bytes()), 0).unwrap_err();
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), message);
    }
}

#[test]
fn a_store_with_a_limit_keeps_the_keys_that_were_used_last() {
    let spec = Stores::lru_map("s", 3, Utf8, Int64);
    let mut bench = Bench::new(&spec);
    let keys = |bench: &mut Bench| -> String {
        collect(KeyValueStore(bench.typed()).all()).into_iter().map(|(key, _)| key).collect()
    };
    for (time, (what, expected)) in (0..).zip([
        ("+a", "a"),
        ("+b", "ab"),
        ("+c", "abc"),
        ("?a", "abc"),
        ("+d", "acd"),
        ("-c", "ad"),
        ("+e", "ade"),
        ("+a", "ade"),
        ("+f", "aef"),
    ]) {
        let mut store = KeyValueStore(bench.typed());
        store.at(time);
        let key = what[1..].to_owned();
        match &what[..1] {
            "+" => store.put(&key, 1).unwrap(),
            "?" => assert!(store.get(&key).unwrap().is_some()),
            _ => assert_eq!(store.delete(&key).unwrap(), Some(1)),
        }
        assert_eq!(keys(&mut bench), expected, "after {what}");
        bench.commit(0);
        assert_eq!(keys(&mut bench), expected, "after {what} and a commit");
    }
    // After a restart, keys go in the order of their times.
    let place = bench.store.place().clone();
    bench.store = CachedStore::new(place, ValueArena::new(Arc::new(Int64)));
    bench.store.restored(0, false);
    bench.store.load_recency().unwrap();
    KeyValueStore(bench.typed()).put(&"g".to_owned(), 1).unwrap();
    assert_eq!(keys(&mut bench), "afg");
}
