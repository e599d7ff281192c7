//! The `_schemas` topic as others may have left it, and a registry that holds what nobody has checked.

use std::sync::{Arc, Mutex, PoisonError};

use millstream_formats::{
    Deleted, EmbeddedRegistry, RegisteredSchema, RegistryError, SCHEMAS_TOPIC, Schema, SchemaRegistry,
    SchemaType,
};
use millstream_log::{Acks, BatchBuilder, Log, ManualClock, NewTopic, Timestamp, TopicPartition};

/// A registry that takes every text for a schema, as one elsewhere may.
#[derive(Debug)]
pub struct Given(Mutex<Vec<Schema>>);

impl Given {
    /// A registry in which this schema has the id 1.
    pub fn new(schema: Schema) -> Self {
        Self(Mutex::new(vec![schema]))
    }
}

impl SchemaRegistry for Given {
    fn schema(&self, id: i32) -> Result<Schema, RegistryError> {
        let schemas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        at.and_then(|at| schemas.get(at).cloned()).ok_or_else(|| RegistryError::schema_not_found(id))
    }

    fn register(&self, _: &str, schema: &Schema) -> Result<i32, RegistryError> {
        let mut schemas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = schemas.iter().position(|other| other == schema).unwrap_or_else(|| {
            schemas.push(schema.clone());
            schemas.len() - 1
        });
        Ok(known as i32 + 1)
    }

    fn latest(&self, subject: &str) -> Result<RegisteredSchema, RegistryError> {
        self.version(subject, 1)
    }

    fn version(&self, subject: &str, version: i32) -> Result<RegisteredSchema, RegistryError> {
        let schema = self.schema(version)?;
        Ok(RegisteredSchema { subject: subject.to_owned(), version, id: version, schema })
    }

    fn lookup(&self, subject: &str, schema: &Schema) -> Result<RegisteredSchema, RegistryError> {
        self.version(subject, self.register(subject, schema)?)
    }

    fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        Ok(Vec::new())
    }

    fn delete_subject(&self, _: &str, _: bool) -> Result<Vec<i32>, RegistryError> {
        Ok(Vec::new())
    }
}

/// Records of `_schemas`, a line each: `key | tab | value`, without a tab the value is null. Such a registry opens, answers, takes
/// another schema and opens again as the same.
pub fn schemas_topic(data: &[u8]) -> bool {
    let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(1_000))));
    let topic = NewTopic::new(SCHEMAS_TOPIC).partitions(1).config("cleanup.policy", "compact");
    log.create_topic(topic).expect("an empty log");
    let mut batch = BatchBuilder::new();
    for line in data.split(|byte| *byte == b'\n') {
        let tab = line.iter().position(|byte| *byte == b'\t');
        let (key, value) = tab.map_or((line, None), |tab| (&line[..tab], Some(&line[tab + 1..])));
        batch.append(Timestamp::new(0), Some(key), value, &[]);
    }
    let partition = TopicPartition::new(SCHEMAS_TOPIC, 0);
    log.append(&partition, batch.finish(), Acks::Synced).expect("memory takes all");

    let registry = EmbeddedRegistry::open(&log).expect("every record is a change or passed over");
    let known = answers(&registry);
    // It may be refused: the last id may be taken, or the mode forbid it.
    drop(registry.register("fuzzed-value", &Schema::new(SchemaType::Avro, r#""string""#)));
    let after = answers(&registry);
    assert_eq!(answers(&EmbeddedRegistry::open(&log).expect("it opened before")), after);
    !known.is_empty()
}

/// All subjects with what the registry says of their versions.
pub fn answers(registry: &EmbeddedRegistry) -> Vec<String> {
    let mut found = Vec::new();
    for subject in registry.subjects_with_prefix(":*:", Deleted::Include) {
        for version in registry.versions_of(&subject, Deleted::Include).unwrap_or_default() {
            let schema = registry.version(&subject, version);
            let resolved = schema.as_ref().map(|schema| registry.resolve(&schema.schema));
            found.push(format!("{subject} {version} {schema:?} {resolved:?}"));
        }
    }
    found
}
