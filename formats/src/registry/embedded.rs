//! A registry in this process.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{RegisteredSchema, RegistryError, Schema, SchemaRegistry};

/// A registry that lives in memory.
#[derive(Debug, Default)]
pub struct EmbeddedRegistry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The schema with id n is at n - 1.
    schemas: Vec<Schema>,
    subjects: BTreeMap<String, Subject>,
}

#[derive(Debug, Default)]
struct Subject {
    /// Version n is at n - 1.
    versions: Vec<Version>,
}

#[derive(Clone, Copy, Debug)]
struct Version {
    id: i32,
    deleted: bool,
}

impl EmbeddedRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn schema(&self, id: i32) -> Option<&Schema> {
        self.schemas.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    /// The versions of a subject that are not deleted.
    fn versions(&self, subject: &str) -> Result<Vec<(i32, i32)>, RegistryError> {
        let versions: Vec<(i32, i32)> = (1..)
            .zip(self.subjects.get(subject).map_or(&[][..], |subject| &subject.versions))
            .filter(|(_, version)| !version.deleted)
            .map(|(number, version)| (number, version.id))
            .collect();
        if versions.is_empty() { Err(RegistryError::subject_not_found(subject)) } else { Ok(versions) }
    }

    fn registered(
        &self,
        subject: &str,
        (version, id): (i32, i32),
    ) -> Result<RegisteredSchema, RegistryError> {
        let schema = self.schema(id).ok_or_else(|| RegistryError::schema_not_found(id))?.clone();
        Ok(RegisteredSchema { subject: subject.to_owned(), version, id, schema })
    }
}

impl SchemaRegistry for EmbeddedRegistry {
    fn schema(&self, id: i32) -> Result<Schema, RegistryError> {
        self.state().schema(id).cloned().ok_or_else(|| RegistryError::schema_not_found(id))
    }

    fn register(&self, subject: &str, schema: &Schema) -> Result<i32, RegistryError> {
        let mut state = self.state();
        let known = state.schemas.iter().position(|other| other == schema);
        let place = known.unwrap_or_else(|| {
            state.schemas.push(schema.clone());
            state.schemas.len() - 1
        });
        let id = i32::try_from(place + 1).map_err(|_| RegistryError::new(50001, "out of schema ids"))?;
        let versions = &mut state.subjects.entry(subject.to_owned()).or_default().versions;
        if !versions.iter().any(|version| version.id == id && !version.deleted) {
            versions.push(Version { id, deleted: false });
        }
        Ok(id)
    }

    fn latest(&self, subject: &str) -> Result<RegisteredSchema, RegistryError> {
        let state = self.state();
        let versions = state.versions(subject)?;
        state.registered(subject, *versions.last().expect("versions() never returns an empty list"))
    }

    fn version(&self, subject: &str, version: i32) -> Result<RegisteredSchema, RegistryError> {
        let state = self.state();
        let found = state.versions(subject)?.into_iter().find(|(number, _)| *number == version);
        state.registered(subject, found.ok_or_else(|| RegistryError::version_not_found(version))?)
    }

    fn lookup(&self, subject: &str, schema: &Schema) -> Result<RegisteredSchema, RegistryError> {
        let state = self.state();
        let found = state.versions(subject)?.into_iter().find(|(_, id)| state.schema(*id) == Some(schema));
        state.registered(subject, found.ok_or_else(|| RegistryError::new(40403, "Schema not found"))?)
    }

    fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        let state = self.state();
        Ok(state.subjects.keys().filter(|name| state.versions(name).is_ok()).cloned().collect())
    }

    fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>, RegistryError> {
        let mut state = self.state();
        let versions = state.versions(subject)?.into_iter().map(|(version, _)| version).collect();
        if permanent {
            state.subjects.remove(subject);
        } else if let Some(subject) = state.subjects.get_mut(subject) {
            subject.versions.iter_mut().for_each(|version| version.deleted = true);
        }
        Ok(versions)
    }
}
