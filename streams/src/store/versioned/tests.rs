//! Versions against a list of everything that was put, with commits, evictions and expiry at any point.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_log::{Log, ManualClock, PartitionId, ProducerConfig, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::config::ProcessingGuarantee;
use crate::dsl::arena::ValueArena;
use crate::runtime::outbox::Outbox;
use crate::serde::Int64;
use crate::store::backend::WriteBatch;
use crate::store::cache::TaskStore;
use crate::store::changelog::Changelog;
use crate::store::spec::{StoreKind, StorePlace};
use crate::store::{MemoryBackend, StateBackend, StoreView};

const HISTORY: i64 = 30;

struct Bench {
    backend: Arc<MemoryBackend>,
    store: CachedStore<Versions<ValueArena<i64>>>,
    outbox: Outbox,
    /// By key and time: the value, or none for a deletion.
    model: BTreeMap<(Vec<u8>, i64), Option<i64>>,
    latest: i64,
}

impl Bench {
    fn new() -> Self {
        let backend = Arc::new(MemoryBackend::default());
        let place = StorePlace::in_test("v", StoreKind::Versioned { history_ms: HISTORY }, &backend, 1);
        let mut store = CachedStore::new(place, Versions::new(ValueArena::new(Arc::new(Int64))));
        store.restored(i64::MIN, true);
        let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(0))));
        let producer = log.producer(ProducerConfig::default()).unwrap();
        let outbox = Outbox::new(producer, ProcessingGuarantee::AtLeastOnce);
        Self { backend, store, outbox, model: BTreeMap::new(), latest: 0 }
    }

    fn put(&mut self, key: &[u8], value: Option<i64>, time: i64) {
        let outcome = match value {
            Some(value) => self.store.put_version(key, time, |arena, slot| {
                arena.values[slot as usize] = Some(value);
            }),
            None => self.store.delete_version(key, time),
        };
        self.latest = self.latest.max(time);
        let expected = if time < self.latest - HISTORY {
            PutOutcome::TooOld
        } else {
            self.model.insert((key.to_vec(), time), value);
            self.next(key, time).map_or(PutOutcome::Latest, PutOutcome::ValidTo)
        };
        assert_eq!(outcome.unwrap(), expected, "{key:?} at {time}");
    }

    fn next(&self, key: &[u8], time: i64) -> Option<i64> {
        let later = (key.to_vec(), time + 1)..=(key.to_vec(), i64::MAX);
        self.model.range(later).next().map(|((_, time), _)| *time)
    }

    fn commit(&mut self, budget: usize) {
        let (mut batch, mut key) = (WriteBatch::default(), Vec::new());
        let (kind, partition) = (self.store.kind(), PartitionId::new(1));
        let mut changelog =
            Changelog { outbox: &mut self.outbox, topic: None, partition, kind, key: &mut key };
        self.store.commit(&mut changelog, &mut batch).unwrap();
        self.backend.apply(&batch).unwrap();
        self.store.committed(budget);
    }

    fn value(&self, version: Version) -> i64 {
        *self.store.arena().inner.get(version.slot).unwrap()
    }

    fn check(&mut self, key: &[u8]) {
        for time in 0..=self.latest + 1 {
            let versions = self.model.range((key.to_vec(), i64::MIN)..=(key.to_vec(), time));
            let found = versions.last().map(|((_, time), value)| (*time, *value));
            let is_latest = found.is_some_and(|(from, _)| self.next(key, from).is_none());
            let expected = found.filter(|_| is_latest || time >= self.latest - HISTORY);
            let expected = expected.and_then(|(from, value)| Some((from, value?)));
            let version = self.store.version_at(key, time).unwrap();
            let found = version.map(|version| (version.timestamp, self.value(version)));
            assert_eq!(found, expected, "{key:?} at {time}, stream time {}", self.latest);
            if let Some(version) = version {
                let valid_to = self.store.valid_to(key, version.timestamp).unwrap();
                assert_eq!(valid_to, self.next(key, version.timestamp));
            }
        }
        let history = self.store.history(key, 0, i64::MAX).unwrap();
        let history: Vec<_> =
            history.into_iter().map(|(version, to)| (version.timestamp, self.value(version), to)).collect();
        let all = self.model.range((key.to_vec(), i64::MIN)..=(key.to_vec(), i64::MAX)).rev();
        let live = self.latest - HISTORY;
        let expected: Vec<_> = all
            .filter_map(|((_, from), value)| {
                let to = self.next(key, *from);
                let visible = to.is_none_or(|to| to > live);
                value.filter(|_| visible).map(|value| (*from, value, to))
            })
            .collect();
        assert_eq!(history, expected, "{key:?}, stream time {}", self.latest);
    }

    /// What is committed answers queries from outside in the same way.
    fn check_view(&mut self, keys: &[&[u8]]) {
        self.commit(usize::MAX);
        let place = self.store.place().clone();
        let mut batch = WriteBatch::default();
        let offset = millstream_log::Offset::new(0);
        crate::store::changelog::Progress { offset, stream_time: self.store.observed() }
            .write(&mut batch, &place);
        self.backend.apply(&batch).unwrap();
        let view = StoreView { place, partitions: vec![1] };
        for key in keys {
            for time in 0..=self.latest + 1 {
                let own = self.store.version_at(key, time).unwrap();
                let own = own.map(|version| (version.timestamp, self.value(version)));
                let found = view.version(key, time).unwrap().map(|version| {
                    (version.timestamp, i64::from_be_bytes(version.value.unwrap().try_into().unwrap()))
                });
                assert_eq!(found, own, "{key:?} at {time}");
            }
            let own = self.store.history(key, 0, self.latest).unwrap();
            let own: Vec<_> = own.into_iter().map(|(version, to)| (version.timestamp, to)).collect();
            let found = view.versions(key, 0, self.latest).unwrap();
            let found: Vec<_> =
                found.into_iter().map(|version| (version.timestamp, version.valid_to)).collect();
            assert_eq!(found, own, "{key:?}");
        }
    }
}

proptest! {
    #[test]
    fn versions_are_kept_as_long_as_they_can_be_asked_for(
        steps in proptest::collection::vec((0usize..3, 0i64..8, -3i64..9, any::<bool>(), 0u8..5), 1..60),
    ) {
        let keys: [&[u8]; 3] = [b"a", b"aa", b"a\0\0\0\0\0\0\0\0"];
        let mut bench = Bench::new();
        for (value, (key, ahead, behind, delete, what)) in (0i64..).zip(steps) {
            match what {
                0 => bench.commit(0),
                1 => bench.commit(usize::MAX),
                2 => {
                    let time = (bench.latest - behind * 4).max(0);
                    bench.put(keys[key], (!delete).then_some(value), time);
                }
                _ => {
                    let time = bench.latest + ahead;
                    bench.put(keys[key], (!delete).then_some(value), time);
                }
            }
            keys.iter().for_each(|key| bench.check(key));
        }
        bench.check_view(&keys);
        // Once all is far behind, only the latest version of each key stays.
        bench.put(b"z", Some(1), bench.latest + 1000);
        bench.commit(0);
        bench.commit(0);
        let family = bench.store.place().family;
        let rows = bench.backend.scan(family, &[], None, Direction::Forward).unwrap().count();
        let alive = keys.iter().filter(|key| bench.store.latest_version(key).unwrap().is_some()).count();
        prop_assert_eq!(rows, alive + 1);
    }
}
