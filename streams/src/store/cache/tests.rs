//! A cached store against an ordered map, with commits and evictions at any point.

use std::collections::BTreeMap;

use millstream_log::{Log, ManualClock, PartitionId, ProducerConfig, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::config::ProcessingGuarantee;
use crate::runtime::outbox::Outbox;
use crate::store::MemoryBackend;

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

fn place(backend: &Arc<MemoryBackend>, kind: StoreKind) -> StorePlace {
    let family = backend.family("numbers").unwrap();
    StorePlace { name: "numbers".into(), kind, backend: backend.clone(), family, partition: 1 }
}

impl Bench {
    fn new(kind: StoreKind) -> Self {
        let backend = Arc::new(MemoryBackend::default());
        let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(0))));
        let producer = log.producer(ProducerConfig::default()).unwrap();
        let mut store = CachedStore::new(place(&backend, kind), Numbers::default());
        store.restored(i64::MIN, true);
        Self { backend, store, outbox: Outbox::new(producer, ProcessingGuarantee::AtLeastOnce) }
    }

    fn commit(&mut self, budget: usize) {
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
    }

    fn add(&mut self, key: &[u8], number: i64, timestamp: i64) {
        let mut slots = Vec::new();
        self.store.slots([key], &mut slots).unwrap();
        self.store.arena_mut().0[slots[0] as usize] += number;
        self.store.put(slots[0], timestamp);
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
                Step::Commit(budget) => bench.commit(budget),
                Step::Range(from, to) => {
                    let expected: Vec<_> = model
                        .iter()
                        .filter(|(key, _)| (from..to).contains(&key[0]))
                        .map(|(key, (number, time))| (key.clone(), *number, *time))
                        .collect();
                    prop_assert_eq!(bench.rows(&[from], Some(&[to])), expected);
                }
            }
        }
        bench.commit(0);
        let expected: Vec<_> = model.into_iter().map(|(key, (number, time))| (key, number, time)).collect();
        prop_assert_eq!(bench.rows(&[], None), expected);
    }
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
    for start in [0, 100_000] {
        bench.add(&key(start), 1, start);
    }
    bench.store.observe(0);
    bench.commit(usize::MAX);
    assert_eq!(bench.rows(&[], None).len(), 2);
    // Less than a minute of stream time since the last look: nothing happens yet.
    bench.store.observe(59_999);
    bench.commit(usize::MAX);
    assert_eq!(bench.rows(&[], None).len(), 2);
    bench.store.observe(100_000);
    bench.commit(usize::MAX);
    let left: Vec<Vec<u8>> = bench.rows(&[], None).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(left, [key(100_000)]);
}
