//! The store against a sorted map, over random operations, commits, evictions and restarts.

use std::collections::BTreeMap;

use millstream_log::{Log, PartitionId, ProducerConfig, SystemClock};
use proptest::prelude::*;

use super::*;
use crate::config::ProcessingGuarantee;
use crate::runtime::outbox::Outbox;
use crate::store::{MemoryBackend, StateBackend};

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

const RETENTION: i64 = 100;
const KIND: StoreKind = StoreKind::StreamRows { retention_ms: RETENTION, segment_ms: 30 };

struct Bench {
    backend: Arc<MemoryBackend>,
    store: StreamRows<Numbers>,
    outbox: Outbox,
    /// (key, time, sequence) -> value.
    model: BTreeMap<(Vec<u8>, i64, u32), i64>,
    committed: BTreeMap<(Vec<u8>, i64, u32), i64>,
    time: i64,
    committed_time: i64,
}

fn open(backend: &Arc<MemoryBackend>, stream_time: i64, empty: bool) -> StreamRows<Numbers> {
    let place = StorePlace::in_test("rows", KIND, backend, 1);
    let mut store = StreamRows::new(place, Numbers::default());
    store.restored(stream_time, empty);
    store
}

impl Bench {
    fn new() -> Self {
        let backend = Arc::new(MemoryBackend::default());
        let log = Log::in_memory(Arc::new(SystemClock::new()));
        let producer = log.producer(ProducerConfig::default()).unwrap();
        let store = open(&backend, i64::MIN, true);
        let outbox = Outbox::new(producer, ProcessingGuarantee::AtLeastOnce);
        let (model, time) = (BTreeMap::new(), i64::MIN);
        Self { backend, store, outbox, committed: model.clone(), model, time, committed_time: time }
    }

    fn first_live(&self) -> i64 {
        self.time.saturating_sub(RETENTION).saturating_add(1)
    }

    fn put(&mut self, key: &[u8], time: i64, value: i64) {
        self.time = self.time.max(time);
        self.store.observe(time);
        assert_eq!(self.store.first_live(), self.first_live());
        if time < self.first_live() {
            return;
        }
        let place = self.store.find_or_make(HashedKey::new(key)).unwrap();
        let row = self.store.insert(place, time, false);
        self.store.arena_mut().0[row.slot as usize] = value;
        self.store.written(&[row]).unwrap();
        let before = self.model.range((key.to_vec(), time, 0)..=(key.to_vec(), time, u32::MAX)).next_back();
        let sequence = before.map_or(0, |((_, _, sequence), _)| sequence + 1);
        assert_eq!(row.sequence, sequence);
        self.model.insert((key.to_vec(), time, sequence), value);
        self.store.release();
    }

    fn rows(&mut self, key: &[u8], from: i64, to: i64) -> Vec<(i64, u32, i64)> {
        let Some(place) = self.store.find(HashedKey::new(key)).unwrap() else { return Vec::new() };
        let rows: Vec<_> =
            self.store.range(place, from, to).map(|index| self.store.row(place, index)).collect();
        let values = rows.iter().map(|row| self.store.arena().0[row.slot as usize]);
        rows.iter().zip(values).map(|(row, value)| (row.time, row.sequence, value)).collect()
    }

    fn check(&mut self, key: &[u8], from: i64, to: i64) {
        let live = from.max(self.first_live());
        let expected: Vec<_> = if live > to {
            Vec::new()
        } else {
            let range = self.model.range((key.to_vec(), live, 0)..=(key.to_vec(), to, u32::MAX));
            range.map(|((_, time, sequence), value)| (*time, *sequence, *value)).collect()
        };
        assert_eq!(self.rows(key, from, to), expected, "rows of {key:?} in {from}..={to}");
    }

    fn remove_first(&mut self, key: &[u8]) {
        let Some(place) = self.store.find(HashedKey::new(key)).unwrap() else { return };
        let Some(index) = self.store.range(place, i64::MIN, i64::MAX).next() else { return };
        let row = self.store.row(place, index);
        assert_eq!(self.store.index_of(place, row.time, row.sequence), Some(index));
        self.store.remove(place, index);
        self.store.release();
        self.model.remove(&(key.to_vec(), row.time, row.sequence)).unwrap();
    }

    fn commit(&mut self, budget: usize) {
        let (mut batch, mut key) = (WriteBatch::default(), Vec::new());
        let mut changelog = Changelog {
            outbox: &mut self.outbox,
            topic: None,
            partition: PartitionId::new(1),
            kind: KIND,
            key: &mut key,
        };
        self.store.commit(&mut changelog, &mut batch).unwrap();
        self.backend.apply(&batch).unwrap();
        self.store.committed(budget);
        assert_eq!(self.store.size().dirty, 0);
        assert!(self.store.size().cached <= budget, "{:?}", self.store.size());
        self.committed.clone_from(&self.model);
        self.committed_time = self.time;
    }

    fn reopen(&mut self) {
        self.store = open(&self.backend, self.committed_time, false);
        self.model.clone_from(&self.committed);
        self.time = self.committed_time;
    }

    fn stored(&self) -> usize {
        let family = self.backend.family("rows").unwrap();
        self.backend.scan(family, &[], None, Direction::Forward).unwrap().count()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put { key: usize, ahead: i64, value: i64 },
    Check { key: usize, from: i64, length: i64 },
    RemoveFirst(usize),
    Commit(usize),
    Reopen,
}

/// Keys of which some begin with others.
const KEYS: [&[u8]; 4] = [b"a", b"ab", b"", b"a\0"];

fn any_step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    prop_oneof![
        6 => (key(), -60i64..20, any::<i64>()).prop_map(|(key, ahead, value)| Step::Put { key, ahead, value }),
        4 => (key(), -200i64..10, 0i64..150).prop_map(|(key, from, length)| Step::Check { key, from, length }),
        1 => key().prop_map(Step::RemoveFirst),
        2 => prop_oneof![Just(0usize), Just(usize::MAX), 0usize..1000].prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #[test]
    fn it_is_a_sorted_map_that_forgets(steps in proptest::collection::vec(any_step(), 1..150)) {
        let mut bench = Bench::new();
        for step in steps {
            let now = bench.time.max(0);
            match step {
                Step::Put { key, ahead, value } => bench.put(KEYS[key], (now + ahead).max(0), value),
                Step::Check { key, from, length } => bench.check(KEYS[key], now + from, now + from + length),
                Step::RemoveFirst(key) => bench.remove_first(KEYS[key]),
                Step::Commit(budget) => bench.commit(budget),
                Step::Reopen => bench.reopen(),
            }
        }
        for key in KEYS {
            bench.check(key, i64::MIN, i64::MAX);
        }
    }
}

#[test]
fn what_has_expired_goes_from_memory_and_backend() {
    let mut bench = Bench::new();
    for time in 0..1000 {
        bench.put(&time.to_string().into_bytes(), time, time);
        if time % 10 == 0 {
            bench.commit(usize::MAX);
        }
    }
    bench.commit(usize::MAX);
    let kept = usize::try_from(RETENTION).unwrap();
    assert!(bench.stored() <= kept + 30, "{} rows are in the backend", bench.stored());
    let cached = bench.store.keys.iter().filter(|key| !key.rows.is_empty()).count();
    assert!(cached <= kept * 3, "{cached} keys are in memory");
    assert!(bench.store.keys.len() <= kept * 4, "{} places were made for keys", bench.store.keys.len());
}

#[test]
fn rows_that_come_and_go_within_a_commit_are_not_written() {
    let mut bench = Bench::new();
    bench.put(b"a", 5, 1);
    bench.remove_first(b"a");
    bench.put(b"b", 5, 1);
    bench.put(b"c", 500, 1);
    bench.commit(usize::MAX);
    assert_eq!(bench.stored(), 1);
}
