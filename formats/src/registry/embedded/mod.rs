//! A registry in this process.
//!
//! ```text
//! command ─▶ decide from State ─▶ Changes ─▶ Journal (on disk) ─▶ State
//! ```
//!
//! One command at a time changes something; readers do not wait for the disk. Reading order: [`EmbeddedRegistry`] and
//! its questions here, then `register`, `delete`, `settings`.

mod delete;
#[cfg(test)]
mod laws;
mod register;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use millstream_log::Log;

pub use register::Registration;
pub use settings::Scope;

use super::{
    Change, Deleted, Journal, Mode, Reference, RegisteredSchema, RegistryAdmin, RegistryError,
    ResolvedSchema, Schema, SchemaRegistry, State, SubjectConfig, VersionSpec,
    error::SCHEMA_TOO_LARGE,
    subject::{self, DEFAULT_CONTEXT},
};

/// A registry without a server: subjects, versions, ids and settings as in Confluent's, in memory, and in a log's
/// `_schemas` topic if it was opened on one. There must be one per log.
///
/// ```
/// # use millstream_formats::*;
/// let registry = EmbeddedRegistry::new();
/// let schema = Schema::new(SchemaType::Avro, r#"{"type": "string"}"#);
/// let id = registry.register("orders-value", &schema)?;
/// assert_eq!(registry.schema(id)?.text, r#""string""#);
/// # Ok::<(), RegistryError>(())
/// ```
#[derive(Debug)]
pub struct EmbeddedRegistry {
    /// Held from a decision to the moment when it counts.
    journal: Mutex<Journal>,
    state: RwLock<State>,
}

impl Default for EmbeddedRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl EmbeddedRegistry {
    /// An empty registry that ends with the process.
    pub fn new() -> Self {
        Self { journal: Mutex::new(Journal::Memory), state: RwLock::default() }
    }

    /// The registry of a log, as its `_schemas` topic has it; the first change creates the topic. Fails with 50001.
    pub fn open(log: &Log) -> Result<Self, RegistryError> {
        let journal = Journal::open(log)?;
        let mut state = State::default();
        journal.replay(|change| state.apply(change))?;
        Ok(Self { journal: Mutex::new(journal), state: RwLock::new(state) })
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps others from changing something in between.
    fn turn(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for changes of which each is whole: they are kept in as many batches as the topic asks for, and those
    /// before a failure count.
    fn commit_each(&self, journal: &mut Journal, mut changes: Vec<Change>) -> Result<(), RegistryError> {
        match journal.write(&changes) {
            Err(error) if error.code == SCHEMA_TOO_LARGE && changes.len() > 1 => {
                let rest = changes.split_off(changes.len() / 2);
                self.commit_each(journal, changes)?;
                self.commit_each(journal, rest)
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.apply(changes);
                Ok(())
            }
        }
    }

    /// Makes changes count, once they are kept.
    fn commit(&self, journal: &mut Journal, changes: Vec<Change>) -> Result<(), RegistryError> {
        journal.write(&changes)?;
        self.apply(changes);
        Ok(())
    }

    fn apply(&self, changes: Vec<Change>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        changes.into_iter().for_each(|change| state.apply(change));
    }

    /// Names of the subjects that begin with a prefix: in the default context, in one (`:.ctx:`), or with `:*:` all.
    pub fn subjects_with_prefix(&self, prefix: &str, deleted: Deleted) -> Vec<String> {
        self.state().subjects(prefix, deleted).map(|(subject, _)| subject.to_owned()).collect()
    }

    /// The version numbers of a subject. Fails with 40401.
    pub fn versions_of(&self, subject: &str, deleted: Deleted) -> Result<Vec<i32>, RegistryError> {
        let state = self.state();
        let subject = &*state.meant(subject);
        let versions = state.versions(subject, deleted)?;
        Ok(versions.map(|version| version.number).collect())
    }

    /// One version of a subject. Fails with 40401 or 40402.
    pub fn get(
        &self,
        subject: &str,
        version: VersionSpec,
        deleted: Deleted,
    ) -> Result<RegisteredSchema, RegistryError> {
        let state = self.state();
        let subject = &*state.meant(subject);
        let version = state.version(subject, version, deleted)?;
        Ok(state.registered(subject, version))
    }

    /// Ids of the schemas that refer to a version. Fails with 40401 or 40402.
    pub fn referenced_by(&self, subject: &str, version: VersionSpec) -> Result<Vec<i32>, RegistryError> {
        let state = self.state();
        let subject = &*state.meant(subject);
        let version = state.version(subject, version, Deleted::Include)?;
        Ok(state.referenced_by(subject, version.number))
    }

    /// The schema with an id and all that it refers to. Ids are counted per context; a subject says which is meant.
    /// Fails with 40403.
    pub fn schema_by_id(&self, id: i32, subject: Option<&str>) -> Result<ResolvedSchema, RegistryError> {
        let state = self.state();
        let missing = || RegistryError::schema_not_found(id);
        let subject = subject.map(|subject| state.meant(subject));
        let context = state.context_of_id(id, subject.as_deref()).ok_or_else(missing)?;
        let schema = state.schema_in(context, id).ok_or_else(missing)?;
        state.resolve(context, schema)
    }

    /// The largest id of the context of a subject.
    pub fn id_max(&self, subject: Option<&str>) -> i32 {
        self.state().id_last(subject::split(subject.unwrap_or_default()).0)
    }

    /// Subjects and versions that have the schema with an id. Fails with 40403.
    pub fn uses_of_id(
        &self,
        id: i32,
        subject: Option<&str>,
        deleted: Deleted,
    ) -> Result<Vec<(String, i32)>, RegistryError> {
        let state = self.state();
        let missing = || RegistryError::schema_not_found(id);
        let subject = subject.map(|subject| state.meant(subject));
        let context = state.context_of_id(id, subject.as_deref()).ok_or_else(missing)?;
        let name = subject.as_deref().map(|subject| subject::split(subject).1);
        let name = name.filter(|name| !name.is_empty());
        let prefix = subject::qualify(context, "");
        let found: Vec<(String, i32)> = state
            .subjects(&prefix, Deleted::Include)
            .filter(|(subject, _)| name.is_none_or(|name| subject::split(subject).1 == name))
            .flat_map(|(subject, versions)| versions.iter().map(move |version| (subject, version)))
            .filter(|(_, version)| version.id == id && deleted.admits(version.deleted))
            .map(|(subject, version)| (subject.to_owned(), version.number))
            .collect();
        if found.is_empty() { Err(missing()) } else { Ok(found) }
    }

    /// All versions of the subjects with a prefix, or only the newest of each, with a mark on the deleted ones.
    pub fn list(&self, prefix: &str, deleted: Deleted, latest_only: bool) -> Vec<(RegisteredSchema, bool)> {
        let state = self.state();
        let mut found = Vec::new();
        for (subject, versions) in state.subjects(prefix, Deleted::Include) {
            let admitted = versions.iter().rev().filter(|version| deleted.admits(version.deleted));
            let taken = admitted.take(if latest_only { 1 } else { usize::MAX });
            let from = found.len();
            found.extend(taken.map(|version| (state.registered(subject, *version), version.deleted)));
            found[from..].reverse();
        }
        found
    }

    /// Names of the contexts, the default one (`.`) first.
    pub fn contexts(&self) -> Vec<String> {
        self.state().contexts()
    }
}

impl SchemaRegistry for EmbeddedRegistry {
    fn schema(&self, id: i32) -> Result<Schema, RegistryError> {
        let state = self.state();
        let schema =
            state.schema_in(DEFAULT_CONTEXT, id).ok_or_else(|| RegistryError::schema_not_found(id))?;
        Ok(schema.as_ref().clone())
    }

    fn register(&self, subject: &str, schema: &Schema) -> Result<i32, RegistryError> {
        self.register_as(subject, schema, Registration::default()).map(|registered| registered.id)
    }

    fn latest(&self, subject: &str) -> Result<RegisteredSchema, RegistryError> {
        self.get(subject, VersionSpec::Latest, Deleted::Exclude)
    }

    fn version(&self, subject: &str, version: i32) -> Result<RegisteredSchema, RegistryError> {
        self.get(subject, VersionSpec::Number(version), Deleted::Exclude)
    }

    fn lookup(&self, subject: &str, schema: &Schema) -> Result<RegisteredSchema, RegistryError> {
        self.lookup_as(subject, schema, false, Deleted::Exclude)
    }

    fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        Ok(self.subjects_with_prefix("", Deleted::Exclude))
    }

    fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>, RegistryError> {
        self.remove_subject(subject, permanent)
    }

    fn referred(&self, reference: &Reference) -> Result<Schema, RegistryError> {
        let version = VersionSpec::Number(reference.version);
        self.get(&reference.subject, version, Deleted::Include).map(|registered| registered.schema)
    }
}

impl RegistryAdmin for EmbeddedRegistry {
    fn versions(&self, subject: &str, deleted: Deleted) -> Result<Vec<i32>, RegistryError> {
        self.versions_of(subject, deleted)
    }

    fn all_subjects(&self, prefix: &str, deleted: Deleted) -> Result<Vec<String>, RegistryError> {
        Ok(self.subjects_with_prefix(prefix, deleted))
    }

    fn delete_version(
        &self,
        subject: &str,
        version: VersionSpec,
        permanent: bool,
    ) -> Result<i32, RegistryError> {
        self.remove_version(subject, version, permanent)
    }

    fn check(&self, subject: &str, schema: &Schema, normalize: bool) -> Result<Vec<String>, RegistryError> {
        self.check_compatibility(subject, schema, None, normalize)
    }

    fn register_as(&self, subject: &str, schema: &Schema, how: Registration) -> Result<i32, RegistryError> {
        EmbeddedRegistry::register_as(self, subject, schema, how).map(|registered| registered.id)
    }

    fn config(&self, subject: Option<&str>, scope: Scope) -> Result<SubjectConfig, RegistryError> {
        EmbeddedRegistry::config(self, subject, scope)
    }

    fn set_config(&self, subject: Option<&str>, config: SubjectConfig) -> Result<(), RegistryError> {
        EmbeddedRegistry::set_config(self, subject, config).map(drop)
    }

    fn delete_config(&self, subject: Option<&str>) -> Result<(), RegistryError> {
        EmbeddedRegistry::delete_config(self, subject).map(drop)
    }

    fn mode(&self, subject: Option<&str>, scope: Scope) -> Result<Mode, RegistryError> {
        EmbeddedRegistry::mode(self, subject, scope)
    }

    fn set_mode(&self, subject: Option<&str>, mode: Mode, force: bool) -> Result<(), RegistryError> {
        EmbeddedRegistry::set_mode(self, subject, mode, force)
    }

    fn delete_mode(&self, subject: Option<&str>) -> Result<(), RegistryError> {
        EmbeddedRegistry::delete_mode(self, subject).map(drop)
    }

    fn find(&self, subject: &str, version: VersionSpec) -> Result<RegisteredSchema, RegistryError> {
        self.get(subject, version, Deleted::Exclude)
    }
}
