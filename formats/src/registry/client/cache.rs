//! What a client was told and will not be told otherwise.

use std::collections::HashMap;

use super::super::{RegisteredSchema, Schema};

/// Answers by what was asked. Each kind begins anew when it is full, so that what is not used any more goes.
#[derive(Debug)]
pub(super) struct Cache {
    capacity: usize,
    schemas: HashMap<i32, Schema>,
    versions: HashMap<(String, i32), RegisteredSchema>,
    /// By what was registered, as the client wrote it: the registry may write it in another way.
    ids: HashMap<(String, Schema), i32>,
    found: HashMap<(String, Schema), RegisteredSchema>,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            schemas: HashMap::new(),
            versions: HashMap::new(),
            ids: HashMap::new(),
            found: HashMap::new(),
        }
    }

    pub(super) fn schema(&self, id: i32) -> Option<Schema> {
        self.schemas.get(&id).cloned()
    }

    pub(super) fn keep_schema(&mut self, id: i32, schema: &Schema) {
        keep(&mut self.schemas, self.capacity, id, schema.clone());
    }

    pub(super) fn version(&self, subject: &str, number: i32) -> Option<RegisteredSchema> {
        self.versions.get(&(subject.to_owned(), number)).cloned()
    }

    pub(super) fn keep_version(&mut self, version: &RegisteredSchema) {
        let key = (version.subject.clone(), version.version);
        keep(&mut self.versions, self.capacity, key, version.clone());
    }

    pub(super) fn id(&self, subject: &str, schema: &Schema) -> Option<i32> {
        self.ids.get(&(subject.to_owned(), schema.clone())).copied()
    }

    pub(super) fn keep_id(&mut self, subject: &str, schema: &Schema, id: i32) {
        keep(&mut self.ids, self.capacity, (subject.to_owned(), schema.clone()), id);
    }

    pub(super) fn found(&self, subject: &str, schema: &Schema) -> Option<RegisteredSchema> {
        self.found.get(&(subject.to_owned(), schema.clone())).cloned()
    }

    pub(super) fn keep_found(&mut self, subject: &str, schema: &Schema, found: &RegisteredSchema) {
        keep(&mut self.found, self.capacity, (subject.to_owned(), schema.clone()), found.clone());
    }

    /// Forgets what is said about a subject. What ids stand for stays true.
    pub(super) fn forget(&mut self, subject: &str) {
        self.versions.retain(|(other, _), _| other != subject);
        self.ids.retain(|(other, _), _| other != subject);
        self.found.retain(|(other, _), _| other != subject);
    }
}

fn keep<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, capacity: usize, key: K, value: V) {
    if map.len() >= capacity {
        map.clear();
    }
    map.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::{super::super::SchemaType, *};

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut cache = Cache::new(2);
        for id in 1..=5 {
            cache.keep_schema(id, &Schema::new(SchemaType::Avro, "x"));
            assert!(cache.schema(id).is_some());
        }
        assert_eq!(cache.schemas.len(), 1);
    }

    #[test]
    fn a_deleted_subject_is_forgotten() {
        let mut cache = Cache::new(9);
        let schema = Schema::new(SchemaType::Avro, "x");
        cache.keep_id("a", &schema, 1);
        cache.keep_id("b", &schema, 1);
        cache.keep_schema(1, &schema);
        cache.forget("a");
        assert_eq!((cache.id("a", &schema), cache.id("b", &schema)), (None, Some(1)));
        assert_eq!(cache.schema(1), Some(schema));
    }
}
