//! Both backends against an ordered map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::{MemoryBackend, RocksBackend};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;
/// A key with its new value, or none for a removal.
type KeyChange = (Vec<u8>, Option<Vec<u8>>);

fn any_changes() -> impl Strategy<Value = Vec<Vec<KeyChange>>> {
    let key = proptest::collection::vec(0u8..4, 0..4);
    let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..4));
    proptest::collection::vec(proptest::collection::vec((key, value), 0..20), 0..6)
}

fn apply(backend: &dyn StateBackend, family: Family, model: &mut Model, changes: &[KeyChange]) {
    let mut batch = WriteBatch::default();
    for (key, value) in changes {
        match value {
            Some(value) => {
                batch.put(family, &[key], &[&value[..value.len() / 2], &value[value.len() / 2..]]);
                model.insert(key.clone(), value.clone());
            }
            None => {
                batch.delete(family, &[key]);
                model.remove(key);
            }
        }
    }
    backend.apply(&batch).unwrap();
}

fn check(backend: &dyn StateBackend, family: Family, model: &Model) {
    let owned = |entries: Scan<'_>| -> Vec<(Vec<u8>, Vec<u8>)> {
        entries.map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())).unwrap()).collect()
    };
    let all: Vec<_> = model.clone().into_iter().collect();
    assert_eq!(owned(backend.scan(family, &[], None, Direction::Forward).unwrap()), all);
    let (from, to) = (vec![1], vec![2, 1]);
    let mut some: Vec<_> =
        model.range(from.clone()..to.clone()).map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(owned(backend.scan(family, &from, Some(&to), Direction::Forward).unwrap()), some);
    some.reverse();
    assert_eq!(owned(backend.scan(family, &from, Some(&to), Direction::Reverse).unwrap()), some);
    let keys: Vec<Vec<u8>> = (0..4).flat_map(|a| (0..4).map(move |b| vec![a, b])).collect();
    let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut found = Model::new();
    let mut collect = |index: usize, value: &[u8]| {
        found.insert(keys[index].clone(), value.to_vec());
        Ok(())
    };
    backend.get_many(family, &slices, &mut collect).unwrap();
    for key in &keys {
        assert_eq!(found.get(key), model.get(key));
        assert_eq!(backend.get(family, key).unwrap().as_ref(), model.get(key));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_backend_acts_like_an_ordered_map(batches in any_changes()) {
        let dir = tempfile::tempdir().unwrap();
        let backends: [Box<dyn StateBackend>; 2] =
            [Box::new(MemoryBackend::default()), Box::new(RocksBackend::open(dir.path()).unwrap())];
        for backend in backends {
            let family = backend.family("counts").unwrap();
            let other = backend.family("other").unwrap();
            let (mut model, mut others) = (Model::new(), Model::new());
            for changes in &batches {
                apply(backend.as_ref(), family, &mut model, changes);
                check(backend.as_ref(), family, &model);
            }
            apply(backend.as_ref(), other, &mut others, &[(vec![1], Some(vec![2]))]);
            check(backend.as_ref(), family, &model);
            check(backend.as_ref(), other, &others);
        }
    }
}

proptest! {
    #[test]
    fn sorting_changes_keeps_their_effect(
        prefix in proptest::collection::vec(any::<u8>(), 0..20),
        changes in proptest::collection::vec((0usize..3, proptest::collection::vec(0u8..3, 0..20), 0u8..9), 0..60),
    ) {
        let mut batch = WriteBatch::default();
        for (number, (family, key, kind)) in (0u32..).zip(&changes) {
            match kind {
                0 => batch.delete_range(Family(*family), key, &[key, &[1][..]].concat()),
                1 => batch.delete(Family(*family), &[&prefix, key]),
                _ => batch.put(Family(*family), &[&prefix, key], &[&number.to_be_bytes()]),
            }
        }
        let mut expected: Vec<_> = batch.changes().collect();
        let is_range = |change: &(Family, Change<'_>)| matches!(change.1, Change::DeleteRange(..));
        expected.split_mut(is_range).for_each(|run| run.sort_by_key(|change| (change.0, key_of(change))));
        prop_assert_eq!(batch.sorted(), expected);
    }
}

#[test]
fn rocksdb_keeps_its_families_when_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    {
        let backend = RocksBackend::open(dir.path()).unwrap();
        let family = backend.family("counts").unwrap();
        apply(&backend, family, &mut model, &[(vec![1], Some(vec![2])), (vec![3], Some(vec![4]))]);
    }
    let backend = RocksBackend::open(dir.path()).unwrap();
    let family = backend.family("counts").unwrap();
    check(&backend, family, &model);
}

#[test]
fn a_state_directory_is_held_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let _held = RocksBackend::open(dir.path()).unwrap();
    let error = RocksBackend::open(dir.path()).err().expect("the directory is locked");
    assert!(error.to_string().starts_with("could not open the state directory"), "{error}");
}

#[test]
fn prefixes_end_before_the_next_prefix() {
    for (prefix, end) in
        [(&[1u8, 2][..], Some(vec![1, 3])), (&[1, 255], Some(vec![2])), (&[255, 255], None), (&[], None)]
    {
        assert_eq!(prefix_end(prefix), end, "after {prefix:?}");
    }
}

#[test]
fn a_range_is_removed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let disk = std::sync::Arc::new(RocksBackend::open(dir.path()).unwrap());
    let mixed = crate::store::mixed::MixedBackend::new(disk.clone());
    let backends: [(&dyn StateBackend, &str); 4] = [
        (&MemoryBackend::default(), "counts"),
        (disk.as_ref(), "counts"),
        (&mixed, "mixed"),
        (&mixed, "memory/mixed"),
    ];
    for (backend, name) in backends {
        let (family, other) = (backend.family(name).unwrap(), backend.family("other").unwrap());
        let mut batch = WriteBatch::default();
        (0..10u8).for_each(|key| batch.put(family, &[&[key]], &[&[key]]));
        batch.put(other, &[&[5]], &[&[5]]);
        batch.delete_range(family, &[3], &[7]);
        batch.delete_range(family, &[9], &[2]);
        batch.put(family, &[&[4]], &[&[44]]);
        backend.apply(&batch).unwrap();
        let keys: Vec<u8> = backend
            .scan(family, &[], None, Direction::Forward)
            .unwrap()
            .map(|row| row.unwrap().0[0])
            .collect();
        assert_eq!(keys, [0, 1, 2, 4, 7, 8, 9], "{name}");
        assert_eq!(backend.get(family, &[4]).unwrap(), Some(vec![44]), "{name}");
        assert_eq!(backend.get(other, &[5]).unwrap(), Some(vec![5]), "{name}");
    }
    assert_eq!(disk.family("memory/mixed").unwrap(), Family(4), "made just now: it was never on disk");
}
