//! A cached store against an ordered map, with commits and evictions at any point.

use std::collections::BTreeMap;

use millstream_log::{Log, ManualClock, PartitionId, ProducerConfig, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::config::ProcessingGuarantee;
use crate::runtime::outbox::Outbox;
use crate::store::MemoryBackend;
use crate::store::backend::StateBackend;
use crate::store::spec::StoreSpec;

/// Numbers by slot; 0 is the empty state.
#[derive(Default)]
struct Numbers(Vec<i64>);

impl Arena for Numbers {
    fn resize(&mut self, slots: usize) {
        self.0.resize(slots, 0);
    }

    fn reset(&mut self, slot: u32) {
        self.0[slot as usize] = 0;
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), StreamsError> {
        self.0[slot as usize] = i64::from_be_bytes(bytes.try_into().unwrap());
        Ok(())
    }

    fn save(&self, slot: u32, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        out.extend_from_slice(&self.0[slot as usize].to_be_bytes());
        Ok(())
    }

    fn size(&self, _slot: u32) -> usize {
        8
    }
}

struct Bench {
    backend: Arc<MemoryBackend>,
    store: CachedStore<Numbers>,
    outbox: Outbox,
}

fn place(backend: &Arc<MemoryBackend>, spec: &StoreSpec) -> StorePlace {
    let backend: Arc<dyn StateBackend> = backend.clone();
    StorePlace::open(spec, &backend, 1).unwrap()
}

fn spec(kind: StoreKind) -> StoreSpec {
    StoreSpec::new("numbers", kind, Numbers::default)
}

impl Bench {
    fn new(kind: StoreKind) -> Self {
        Self::of(&spec(kind))
    }

    fn of(spec: &StoreSpec) -> Self {
        let backend = Arc::new(MemoryBackend::default());
        let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(0))));
        let producer = log.producer(ProducerConfig::default()).unwrap();
        let mut store = CachedStore::new(place(&backend, spec), Numbers::default());
        store.restored(i64::MIN, true);
        Self { backend, store, outbox: Outbox::new(producer, ProcessingGuarantee::AtLeastOnce) }
    }

    /// Goes on with an empty cache over what the backend has.
    fn reopen(&mut self, kind: StoreKind) {
        let empty = self.committed_rows() == 0;
        self.store = CachedStore::new(place(&self.backend, &spec(kind)), Numbers::default());
        self.store.restored(i64::MIN, empty);
    }

    /// Rows in the backend.
    fn committed_rows(&self) -> usize {
        let family = self.store.place().family;
        self.backend.scan(family, &[], None, Direction::Forward).unwrap().count()
    }

    /// Rows in the expiry index.
    fn index_rows(&self) -> usize {
        let index = self.store.place().index.unwrap();
        self.backend.scan(index, &[], None, Direction::Forward).unwrap().count()
    }

    /// Commits, and returns how many changes the backend got.
    fn commit(&mut self, budget: usize) -> usize {
        let (mut batch, mut key) = (WriteBatch::default(), Vec::new());
        let kind = self.store.kind();
        let mut changelog = Changelog {
            outbox: &mut self.outbox,
            topic: None,
            partition: PartitionId::new(1),
            kind,
            key: &mut key,
        };
        self.store.commit(&mut changelog, &mut batch).unwrap();
        self.backend.apply(&batch).unwrap();
        self.store.committed(budget);
        assert_eq!(self.store.size().dirty, 0);
        assert!(self.store.size().cached <= budget, "{:?}", self.store.size());
        batch.len()
    }

    fn add(&mut self, key: &[u8], number: i64, timestamp: i64) {
        let mut slots = Vec::new();
        self.store.slots([key], &mut slots).unwrap();
        self.store.arena_mut().0[slots[0] as usize] += number;
        self.store.put(slots[0], timestamp);
    }

    fn iterated(&mut self, from: &[u8], to: Option<&[u8]>, direction: Direction) -> Vec<(Vec<u8>, i64, i64)> {
        let rows = self.store.rows(from, to, direction).unwrap();
        let arena = rows.store().arena();
        let row = rows.map(|row| {
            let row = row.unwrap();
            let number = match &row.state {
                RowState::Cached(slot) => arena.0[*slot as usize],
                RowState::Stored(bytes) => i64::from_be_bytes(bytes.as_ref().try_into().unwrap()),
            };
            (row.key.into_vec(), number, row.timestamp)
        });
        row.collect()
    }

    fn rows(&mut self, from: &[u8], to: Option<&[u8]>) -> Vec<(Vec<u8>, i64, i64)> {
        let mut slots = Vec::new();
        self.store.range(from, to, &mut slots).unwrap();
        let row = |slot: &u32| {
            (
                self.store.key(*slot).to_vec(),
                self.store.arena().0[*slot as usize],
                self.store.timestamp(*slot),
            )
        };
        slots.iter().map(row).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, i64),
    Delete(u8),
    Find(u8),
    Commit(usize),
    Range(u8, u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..12, 1i64..100).prop_map(|(key, number)| Step::Add(key, number)),
        1 => (0u8..12).prop_map(Step::Delete),
        2 => (0u8..12).prop_map(Step::Find),
        1 => (0usize..600).prop_map(Step::Commit),
        1 => (0u8..12, 0u8..12).prop_map(|(from, to)| Step::Range(from, to)),
    ]
}

proptest! {
    #[test]
    fn a_store_acts_like_an_ordered_map(steps in proptest::collection::vec(any_step(), 1..80)) {
        let mut bench = Bench::new(StoreKind::KeyValue);
        let mut model: BTreeMap<Vec<u8>, (i64, i64)> = BTreeMap::new();
        for (time, step) in (0i64..).zip(steps) {
            match step {
                Step::Add(key, number) => {
                    bench.add(&[key], number, time);
                    let entry = model.entry(vec![key]).or_default();
                    *entry = (entry.0 + number, time);
                }
                Step::Delete(key) => {
                    if let Some(slot) = bench.store.find(&[key]).unwrap() {
                        bench.store.delete(slot, time);
                    }
                    model.remove([key].as_slice());
                }
                Step::Find(key) => {
                    let slot = bench.store.find(&[key]).unwrap();
                    let found = slot.map(|slot| (bench.store.arena().0[slot as usize], bench.store.timestamp(slot)));
                    prop_assert_eq!(found, model.get([key].as_slice()).copied());
                }
                Step::Commit(budget) => drop(bench.commit(budget)),
                Step::Range(from, to) => {
                    let expected: Vec<_> = model
                        .iter()
                        .filter(|(key, _)| (from..to).contains(&key[0]))
                        .map(|(key, (number, time))| (key.clone(), *number, *time))
                        .collect();
                    prop_assert_eq!(bench.iterated(&[from], Some(&[to]), Direction::Forward), expected.clone());
                    let reversed: Vec<_> = expected.iter().rev().cloned().collect();
                    prop_assert_eq!(bench.iterated(&[from], Some(&[to]), Direction::Reverse), reversed);
                    prop_assert_eq!(bench.rows(&[from], Some(&[to])), expected);
                }
            }
        }
        bench.commit(0);
        let expected: Vec<_> = model.into_iter().map(|(key, (number, time))| (key, number, time)).collect();
        prop_assert_eq!(bench.rows(&[], None), expected);
    }
}

#[derive(Clone, Debug)]
enum WindowStep {
    Add(u8, i64),
    Find(u8, i64),
    Delete(u8, i64),
    Commit(usize),
    Reopen,
}

fn any_window_step() -> impl Strategy<Value = WindowStep> {
    let window = || (0u8..6, 0i64..5);
    prop_oneof![
        8 => window().prop_map(|(key, start)| WindowStep::Add(key, start)),
        4 => window().prop_map(|(key, start)| WindowStep::Find(key, start)),
        1 => window().prop_map(|(key, start)| WindowStep::Delete(key, start)),
        3 => (0usize..900).prop_map(WindowStep::Commit),
        1 => Just(WindowStep::Reopen),
    ]
}

proptest! {
    /// What is not in the cache is looked for in the backend if it may be there: whatever was evicted, and whatever a
    /// start finds.
    #[test]
    fn evicted_windows_are_found_again(steps in proptest::collection::vec(any_window_step(), 1..120)) {
        let kind = StoreKind::Window { size_ms: 1, retention_ms: 1000 };
        let mut bench = Bench::new(kind);
        let mut model: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        let stored = |key: u8, start: i64| [&[key][..], &start.to_be_bytes()].concat();
        for step in steps {
            match step {
                WindowStep::Add(key, start) => {
                    bench.add(&stored(key, start), 1, start);
                    *model.entry(stored(key, start)).or_default() += 1;
                }
                WindowStep::Find(key, start) => {
                    let slot = bench.store.find(&stored(key, start)).unwrap();
                    let found = slot.map(|slot| bench.store.arena().0[slot as usize]);
                    prop_assert_eq!(found, model.get(&stored(key, start)).copied());
                }
                WindowStep::Delete(key, start) => {
                    if let Some(slot) = bench.store.find(&stored(key, start)).unwrap() {
                        bench.store.delete(slot, start);
                    }
                    model.remove(&stored(key, start));
                }
                WindowStep::Commit(budget) => drop(bench.commit(budget)),
                WindowStep::Reopen => {
                    bench.commit(usize::MAX);
                    bench.reopen(kind);
                }
            }
        }
        bench.commit(0);
        let rows: Vec<_> = bench.rows(&[], None).into_iter().map(|(key, number, _)| (key, number)).collect();
        prop_assert_eq!(rows, model.into_iter().collect::<Vec<_>>());
        bench.store.observe(5000);
        bench.commit(0);
        prop_assert_eq!((bench.committed_rows(), bench.index_rows()), (0, 0));
    }
}

#[test]
fn windows_of_one_commit_share_index_entries() {
    const KEYS: u32 = 50_000;
    let mut bench = Bench::new(StoreKind::Window { size_ms: 10, retention_ms: 1000 });
    let key = |number: u32, start: i64| [&number.to_be_bytes()[..], &start.to_be_bytes()].concat();
    for number in 0..KEYS {
        bench.add(&key(number, 20), 1, 20);
        if number % 2 == 0 {
            bench.add(&key(number, 10), 1, 20);
        }
    }
    bench.commit(0);
    assert_eq!(bench.committed_rows(), KEYS as usize / 2 * 3);
    // 8 bytes of each row are listed, 8 KiB in an entry.
    assert_eq!(bench.index_rows(), (KEYS as usize / 2).div_ceil(1024) + (KEYS as usize).div_ceil(1024));
    let mut order = Vec::new();
    bench.store.order_by_time();
    bench.store.windows_by_time(0, 15, &mut order).unwrap();
    assert_eq!(order.len(), KEYS as usize / 2);
    assert_eq!(bench.store.windowed_key(order[7]), (&14u32.to_be_bytes()[..], 10));
    bench.commit(0);
    // A commit removes a part of it only, in whole entries.
    bench.store.observe(1010);
    bench.commit(0);
    let removed = KEYS as usize / 2 * 3 - bench.committed_rows();
    assert!((20_000..20_000 + 1024).contains(&removed), "{removed}");
    bench.store.observe(1011);
    bench.commit(0);
    assert_eq!(bench.committed_rows(), KEYS as usize);
    for _ in 0..3 {
        bench.store.observe(bench.store.observed() + 100);
        bench.commit(0);
    }
    assert_eq!((bench.committed_rows(), bench.index_rows()), (0, 0));
}

#[test]
fn nothing_uncommitted_reaches_the_backend() {
    let mut bench = Bench::new(StoreKind::KeyValue);
    bench.add(b"a", 1, 0);
    let family = bench.backend.family("numbers").unwrap();
    assert_eq!(bench.backend.get(family, &[0, 0, 0, 1, b'a']).unwrap(), None);
    bench.commit(usize::MAX);
    let stored = bench.backend.get(family, &[0, 0, 0, 1, b'a']).unwrap().unwrap();
    assert_eq!(split_value(&stored), Some((0, &1i64.to_be_bytes()[..])));
}

#[test]
fn expired_windows_leave_the_store() {
    let mut bench = Bench::new(StoreKind::Window { size_ms: 10, retention_ms: 1000 });
    let key = |start: i64| [b"a".as_slice(), &start.to_be_bytes()].concat();
    for start in [0, 500, 2000] {
        bench.add(&key(start), 1, start);
    }
    let starts = |bench: &mut Bench| -> Vec<i64> {
        bench.rows(&[], None).into_iter().map(|(key, ..)| split_window(&key).1).collect()
    };
    for (stream_time, cache, expected, indexed) in [
        (0, usize::MAX, &[0, 500, 2000][..], 3),
        (999, 0, &[0, 500, 2000], 3),
        (1000, usize::MAX, &[500, 2000], 2),
        (1499, usize::MAX, &[500, 2000], 2),
        (1500, 0, &[2000], 1),
        (9000, 0, &[], 0),
    ] {
        bench.store.observe(stream_time);
        bench.commit(cache);
        assert_eq!(starts(&mut bench), expected, "at {stream_time}");
        assert_eq!(bench.index_rows(), indexed, "index rows at {stream_time}");
    }
    // A window that expired before it was ever committed leaves nothing behind.
    bench.add(&key(100), 1, 100);
    bench.commit(0);
    assert_eq!(bench.committed_rows(), 0);
}

#[test]
fn rows_vanish_when_their_time_to_live_is_over() {
    let mut bench = Bench::of(&spec(StoreKind::KeyValue).ttl(std::time::Duration::from_millis(1000)));
    let keys = |bench: &mut Bench| -> Vec<u8> { bench.rows(&[], None).iter().map(|row| row.0[0]).collect() };
    bench.add(b"a", 1, 0);
    bench.add(b"b", 2, 300);
    bench.store.observe(300);
    bench.commit(0);
    bench.store.observe(900);
    bench.add(b"a", 10, 900);
    bench.commit(usize::MAX);
    for (stream_time, expected) in [(1300, "ab"), (1301, "a"), (1900, "a"), (1901, "")] {
        bench.store.observe(stream_time);
        assert_eq!(keys(&mut bench), expected.as_bytes(), "uncommitted at {stream_time}");
        assert_eq!(bench.store.find(b"b").unwrap().is_some(), expected.contains('b'), "at {stream_time}");
        bench.commit(0);
        assert_eq!(keys(&mut bench), expected.as_bytes(), "committed at {stream_time}");
    }
    // What is written again begins from nothing.
    bench.add(b"a", 5, 2000);
    assert_eq!(bench.rows(&[], None), [(b"a".to_vec(), 5, 2000)]);
    bench.store.observe(4000);
    bench.commit(0);
    assert_eq!((bench.committed_rows(), bench.index_rows()), (0, 0));
}

#[test]
fn a_key_that_comes_and_goes_within_a_commit_leaves_no_trace() {
    let mut bench = Bench::new(StoreKind::KeyValue);
    for stored in [false, true] {
        bench.add(b"a", 1, 0);
        if stored {
            bench.commit(0);
        }
        let slot = bench.store.find(b"a").unwrap().unwrap();
        bench.store.delete(slot, 1);
        assert_eq!(bench.commit(0), usize::from(stored), "changes, stored {stored}");
        assert_eq!(bench.committed_rows(), 0);
    }
}

#[test]
fn iterations_load_nothing() {
    let mut bench = Bench::new(StoreKind::KeyValue);
    (0..100).for_each(|key| bench.add(&[key], i64::from(key), 0));
    bench.commit(0);
    bench.add(&[50], 1, 1);
    let before = bench.store.size();
    let rows: Vec<StoreRow> =
        bench.store.rows(&[10], Some(&[90]), Direction::Reverse).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.iter().map(|row| row.key[0]).collect::<Vec<_>>(), (10..90).rev().collect::<Vec<_>>());
    assert_eq!(rows[39].state, RowState::Cached(bench.store.find(&[50]).unwrap().unwrap()));
    assert_eq!(bench.store.size(), before);
}
