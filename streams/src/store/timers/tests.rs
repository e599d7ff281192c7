//! Timers against an ordered map, with commits and crashes at any point.

use std::sync::Arc;

use millstream_log::{Log, ManualClock, PartitionId, ProducerConfig, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::config::ProcessingGuarantee;
use crate::runtime::outbox::Outbox;
use crate::store::{MemoryBackend, StateBackend, StoreKind, StoreSpec};

#[derive(Clone, Debug)]
enum Op {
    Set(bool, u8, u8, i64),
    Cancel(bool, u8, u8),
    /// Fires what is due by this time.
    Fire(bool, i64),
    Commit,
    /// What was not committed is lost.
    Crash,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (any::<bool>(), 0..2u8, 0..6u8, 0..40i64).prop_map(|(wall, name, key, time)| Op::Set(wall, name, key, time)),
        2 => (any::<bool>(), 0..2u8, 0..6u8).prop_map(|(wall, name, key)| Op::Cancel(wall, name, key)),
        3 => (any::<bool>(), 0..40i64).prop_map(|(wall, time)| Op::Fire(wall, time)),
        2 => Just(Op::Commit),
        1 => Just(Op::Crash),
    ]
}

fn kind(wall: bool) -> PunctuationType {
    if wall { PunctuationType::WallClockTime } else { PunctuationType::StreamTime }
}

fn name(name: u8) -> &'static str {
    ["n", "longer"][usize::from(name)]
}

proptest! {
    #[test]
    fn timers_are_an_ordered_map(ops in prop::collection::vec(any_op(), 0..120)) {
        let backend: Arc<dyn StateBackend> = Arc::new(MemoryBackend::default());
        let place = StorePlace::open(&StoreSpec::timers("timers"), &backend, 2).unwrap();
        let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(0))));
        let mut outbox = Outbox::new(log.producer(ProducerConfig::default()).unwrap(), ProcessingGuarantee::AtLeastOnce);
        let mut store = TimerStore::new(place.clone());
        store.begin().unwrap();
        let mut model: BTreeMap<(PunctuationType, &str, Vec<u8>), i64> = BTreeMap::new();
        let mut committed = model.clone();
        for op in ops {
            match op {
                Op::Set(wall, n, key, time) => {
                    store.set(kind(wall), name(n), &[key], time).unwrap();
                    model.insert((kind(wall), name(n), vec![key]), time);
                }
                Op::Cancel(wall, n, key) => {
                    let was_set = model.remove(&(kind(wall), name(n), vec![key])).is_some();
                    prop_assert_eq!(store.cancel(kind(wall), name(n), &[key]).unwrap(), was_set);
                }
                Op::Fire(wall, now) => {
                    let mut last = i64::MIN;
                    while store.due(kind(wall)).is_some_and(|due| due <= now) {
                        let Timer { kind, time, name, key } = store.take(kind(wall)).unwrap().unwrap();
                        prop_assert!(last <= time && time <= now);
                        last = time;
                        let entry = model.keys().find(|id| id.0 == kind && id.1 == name && id.2 == key).cloned();
                        prop_assert_eq!(model.remove(&entry.unwrap()), Some(time));
                    }
                }
                Op::Commit => {
                    let mut batch = WriteBatch::default();
                    let mut changelog = Changelog {
                        outbox: &mut outbox, topic: None, partition: PartitionId::new(2), kind: StoreKind::KeyValue, key: &mut Vec::new(),
                    };
                    store.commit(&mut changelog, &mut batch).unwrap();
                    backend.apply(&batch).unwrap();
                    store.committed(0);
                    committed = model.clone();
                    prop_assert_eq!(store.size().dirty, 0);
                }
                Op::Crash => {
                    store = TimerStore::new(place.clone());
                    store.begin().unwrap();
                    model = committed.clone();
                }
            }
            for wall in [false, true] {
                let due = model.iter().filter(|(id, _)| id.0 == kind(wall)).map(|(_, time)| *time).min();
                prop_assert_eq!(store.due(kind(wall)), due);
                prop_assert!(store.clocks.iter().all(|clock| clock.ahead.len() <= AHEAD_MAX));
            }
            for ((kind, name, key), time) in &model {
                prop_assert_eq!(store.get(*kind, name, key).unwrap(), Some(*time));
            }
        }
    }
}
