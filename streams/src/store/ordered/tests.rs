//! The store against a sorted map, over random operations, commits and memory budgets.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_log::{Log, PartitionId, ProducerConfig, SystemClock};
use proptest::prelude::*;

use super::*;
use crate::config::ProcessingGuarantee;
use crate::runtime::outbox::Outbox;
use crate::store::{MemoryBackend, StateBackend, StoreKind};

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Remove(u8),
    TakeFirst,
    /// With this many bytes for the entries that stay in memory.
    Commit(usize),
    /// A new store on what is committed; what is not, is lost.
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => any::<u8>().prop_map(Step::Remove),
        3 => Just(Step::TakeFirst),
        2 => (0usize..2000).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

fn outbox() -> Outbox {
    let log = Log::in_memory(Arc::new(SystemClock::new()));
    Outbox::new(log.producer(ProducerConfig::default()).unwrap(), ProcessingGuarantee::AtLeastOnce)
}

fn open(backend: &Arc<MemoryBackend>, empty: bool) -> OrderedStore {
    let place = StorePlace::in_test("waiting", StoreKind::KeyValue, backend, 7);
    let mut store = OrderedStore::new(place);
    store.restored(i64::MIN, empty);
    store
}

proptest! {
    #[test]
    fn it_is_a_sorted_map(steps in proptest::collection::vec(any_step(), 1..120)) {
        let backend = Arc::new(MemoryBackend::default());
        let mut outbox = outbox();
        let mut store = open(&backend, true);
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut committed = model.clone();
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    store.put(&[key], &[value], 5);
                    model.insert(vec![key], vec![value]);
                }
                Step::Remove(key) => {
                    store.remove(&[key], 5).unwrap();
                    model.remove(&[key][..]);
                }
                Step::TakeFirst => {
                    let first = store.first().unwrap().map(|(key, value)| (key.to_vec(), value.to_vec()));
                    prop_assert_eq!(&first, &model.pop_first());
                    if let Some((key, _)) = first {
                        store.remove(&key, 5).unwrap();
                    }
                }
                Step::Commit(budget) => {
                    let (mut batch, mut key) = (WriteBatch::default(), Vec::new());
                    let mut changelog = Changelog {
                        outbox: &mut outbox,
                        topic: None,
                        partition: PartitionId::new(7),
                        kind: StoreKind::KeyValue,
                        key: &mut key,
                    };
                    store.commit(&mut changelog, &mut batch).unwrap();
                    backend.apply(&batch).unwrap();
                    store.committed(budget);
                    committed.clone_from(&model);
                    let in_memory = store.clean.len();
                    prop_assert!(store.size().cached <= budget || in_memory <= 1, "{} entries", in_memory);
                }
                Step::Reopen => {
                    store = open(&backend, false);
                    model.clone_from(&committed);
                }
            }
        }
        while let Some((key, value)) = store.first().unwrap().map(|(key, value)| (key.to_vec(), value.to_vec())) {
            prop_assert_eq!(Some((key.clone(), value)), model.pop_first());
            store.remove(&key, 5).unwrap();
        }
        prop_assert!(model.is_empty());
    }
}
