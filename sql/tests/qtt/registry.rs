//! The registry of one case, and what it holds before the first statement.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use millstream_formats::{Reference, RegisteredSchema, RegistryError, Schema, SchemaRegistry, SchemaType};
use millstream_sql::{ast::Statement, parser::parse, testing::TestEngine};

use crate::{case, json::Json};

/// Schemas that are only referred to have ids from here on: they do not count.
const REFERENCED: i32 = 1_000_000;

/// A registry that takes everything, and gives ids where a case asks for them.
#[derive(Debug, Default)]
pub(crate) struct TestRegistry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    schemas: BTreeMap<i32, Schema>,
    /// The ids of each subject's versions.
    subjects: BTreeMap<String, Vec<i32>>,
}

impl TestRegistry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a schema under this id.
    fn place(&self, subject: &str, schema: &Schema, id: i32) -> i32 {
        let mut state = self.state();
        state.schemas.insert(id, schema.clone());
        let versions = state.subjects.entry(subject.to_owned()).or_default();
        if !versions.contains(&id) {
            versions.push(id);
        }
        id
    }

    fn free_id(&self, from: i32) -> i32 {
        let state = self.state();
        (from..).find(|id| !state.schemas.contains_key(id)).unwrap_or(from)
    }

    /// Registers what the entry of a topic says of one side; true if it says anything.
    fn add_side(&self, entry: &Json, side: &str) -> Result<bool, String> {
        let json = entry.get(&format!("{side}Schema"));
        if json.is_null() {
            return Ok(false);
        }
        let format = entry.get(&format!("{side}Format"));
        let mut schema = schema(json, format)?;
        for reference in entry.get(&format!("{side}SchemaReferences")).items() {
            let name = reference.get("name").as_str().unwrap_or_default();
            let referred = self::schema(reference.get("schema"), reference.get("format"))?;
            if self.latest(name).is_err() {
                self.place(name, &referred, self.free_id(REFERENCED));
            }
            schema.references.push(Reference { name: name.to_owned(), subject: name.to_owned(), version: 1 });
        }
        let subject = format!("{}-{side}", entry.get("name").as_str().unwrap_or_default());
        match entry.get(&format!("{side}SchemaId")).as_i64() {
            Some(id) => self.place(&subject, &schema, id as i32),
            None => self.register(&subject, &schema).map_err(|error| error.to_string())?,
        };
        Ok(true)
    }
}

fn schema(json: &Json, format: &Json) -> Result<Schema, String> {
    let schema_type = match format.as_str().unwrap_or("AVRO").to_uppercase().as_str() {
        "AVRO" => SchemaType::Avro,
        "JSON" | "JSON_SR" => SchemaType::Json,
        "PROTOBUF" => SchemaType::Protobuf,
        other => return Err(format!("{other} has no schemas")),
    };
    let text = if schema_type == SchemaType::Protobuf { json.text() } else { json.to_string() };
    Ok(Schema::new(schema_type, text))
}

impl SchemaRegistry for TestRegistry {
    fn schema(&self, id: i32) -> Result<Schema, RegistryError> {
        self.state().schemas.get(&id).cloned().ok_or_else(|| RegistryError::schema_not_found(id))
    }

    fn register(&self, subject: &str, schema: &Schema) -> Result<i32, RegistryError> {
        if let Ok(known) = self.lookup(subject, schema) {
            return Ok(known.id);
        }
        let known = self.state().schemas.iter().find(|(_, known)| *known == schema).map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| self.free_id(1));
        Ok(self.place(subject, schema, id))
    }

    fn latest(&self, subject: &str) -> Result<RegisteredSchema, RegistryError> {
        let versions = self.state().subjects.get(subject).map_or(0, Vec::len);
        match versions {
            0 => Err(RegistryError::subject_not_found(subject)),
            version => self.version(subject, version as i32),
        }
    }

    fn version(&self, subject: &str, version: i32) -> Result<RegisteredSchema, RegistryError> {
        let ids = self.state().subjects.get(subject).cloned().unwrap_or_default();
        let id = ids.get((version - 1) as usize).ok_or_else(|| RegistryError::version_not_found(version))?;
        Ok(RegisteredSchema { subject: subject.to_owned(), version, id: *id, schema: self.schema(*id)? })
    }

    fn lookup(&self, subject: &str, schema: &Schema) -> Result<RegisteredSchema, RegistryError> {
        let versions = self.state().subjects.get(subject).map_or(0, Vec::len);
        let found = (1..=versions as i32).filter_map(|version| self.version(subject, version).ok());
        found
            .into_iter()
            .find(|version| version.schema == *schema)
            .ok_or_else(|| RegistryError::subject_not_found(subject))
    }

    fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        Ok(self.state().subjects.keys().cloned().collect())
    }

    fn delete_subject(&self, subject: &str, _permanent: bool) -> Result<Vec<i32>, RegistryError> {
        let versions = self.state().subjects.remove(subject);
        let versions = versions.ok_or_else(|| RegistryError::subject_not_found(subject))?;
        Ok((1..=versions.len() as i32).collect())
    }
}

/// The registry as the statements of a case find it: what `topics` says, and elsewhere the schemas that follow from
/// the columns of sources.
pub(crate) fn seeded(case: &Json) -> Result<Arc<TestRegistry>, String> {
    let entries = case.get("topics").items();
    let declared = declared(case, entries)?;
    let registry = Arc::new(TestRegistry::default());
    for entry in entries {
        for side in ["key", "value"] {
            if entry.get(&format!("{side}SchemaId")).as_i64().is_some() {
                registry.add_side(entry, side)?;
            }
        }
    }
    let mut topics: Vec<String> = case::topics(case).into_iter().map(|(topic, _)| topic).collect();
    // The suite's own runner keeps topics in one of Java's hash maps, and ids follow from its order.
    topics.sort_by_key(|topic| java_bucket(topic));
    for topic in topics {
        let entry = entries.iter().find(|entry| entry.get("name").as_str() == Some(&topic));
        for side in ["key", "value"] {
            let said = entry.map_or(Ok(false), |entry| registry.add_side(entry, side))?;
            let subject = format!("{topic}-{side}");
            if let (false, Ok(generated)) = (said, declared.latest(&subject)) {
                registry.register(&subject, &generated.schema).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(registry)
}

/// A registry in which the sources of the case have registered what follows from their columns.
fn declared(case: &Json, entries: &[Json]) -> Result<Arc<TestRegistry>, String> {
    let registry = Arc::new(TestRegistry::default());
    for entry in entries {
        for side in ["key", "value"] {
            registry.add_side(entry, side)?;
        }
    }
    let mut engine = case::engine(case, registry.clone())?;
    for text in case.get("statements").items().iter().filter_map(Json::as_str) {
        for statement in parse(text).into_iter().flatten() {
            if let Statement::CreateSource(_) | Statement::CreateType { .. } = statement.node {
                // What is wrong with it shows when the case runs.
                let _ = TestEngine::execute_statement(&mut engine, &statement);
            }
        }
    }
    Ok(registry)
}

/// The place of a text among the first 16 of a `java.util.HashMap`.
fn java_bucket(text: &str) -> i32 {
    let hash = text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    (hash ^ ((hash as u32) >> 16) as i32) & 15
}
