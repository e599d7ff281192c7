//! New versions, lookups of known ones, and whether a schema may follow those of a subject.

use super::super::{
    Change, Compatibility, Deleted, Mode, RegisteredSchema, RegistryError, ResolvedSchema, Schema,
    SchemaType, State, VersionSpec,
    compatibility::{canonical, check, normalized},
    subject::{self, DEFAULT_CONTEXT},
};
use super::EmbeddedRegistry;
use crate::{FormatError, protobuf::text_of_descriptor};

/// How a schema is registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// Whether its text is normalised first, even if the subject is not set to it.
    pub normalize: bool,
    /// The id that it had elsewhere. Only in mode IMPORT.
    pub id: Option<i32>,
    /// The version that it had elsewhere.
    pub version: Option<i32>,
}

impl EmbeddedRegistry {
    /// Puts a schema under a subject as its newest version, unless it is there already. Fails with 42201 if it is no
    /// schema, with 409 if it is incompatible with earlier versions, with 42205 if the mode forbids it, with 42208 for
    /// names that are no subjects.
    pub fn register_as(
        &self,
        subject: &str,
        schema: &Schema,
        how: Registration,
    ) -> Result<RegisteredSchema, RegistryError> {
        let mut journal = self.turn();
        let state = self.state();
        let subject = &*state.meant(subject);
        subject::check(subject)?;
        let (context, _) = subject::split(subject);
        let new = state.prepare(subject, schema, how.normalize)?;
        let known_id =
            state.id_of(context, &new.schema).filter(|id| how.id.is_none_or(|wanted| wanted == *id));
        if let Some(id) = known_id.filter(|_| how.version.is_none()) {
            let live = state.all_versions(subject).iter().rev().filter(|version| !version.deleted);
            if let Some(version) = live.into_iter().find(|version| version.id == id) {
                return Ok(state.registered(subject, *version));
            }
        }
        // What is there already is told in every mode, as producers ask that way.
        let mode = state.mode_in_scope(Some(subject));
        check_mode(subject, mode, how.id.is_some())?;
        if mode != Mode::Import {
            let lines = state.incompatibilities(subject, &new)?;
            if !lines.is_empty() {
                let message = format!(
                    "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", \
                     details: [{}]",
                    lines.join(", ")
                );
                return Err(RegistryError::new(409, message));
            }
        }
        let id = match how.id.or(known_id) {
            Some(id) => id,
            None => state.id_next(context)?,
        };
        if id < 1 || state.schema_in(context, id).is_some_and(|other| **other != new.schema) {
            let message = format!("Overwrite new schema with id {id} is not permitted.");
            return Err(RegistryError::new(42205, message));
        }
        let number = state.version_number(subject, how.version, mode)?;
        let mut changes = Vec::new();
        if context != DEFAULT_CONTEXT && !state.has_context(context) {
            changes.push(Change::Context { context: context.to_owned() });
        }
        changes.push(Change::Version {
            subject: subject.to_owned(),
            version: number,
            id,
            deleted: false,
            schema: new.schema.clone(),
        });
        // What was deleted and is there again is not deleted any more: its old version goes.
        let revived = state.all_versions(subject).iter();
        let revived = revived.filter(|other| other.deleted && other.id == id && other.number < number);
        changes
            .extend(revived.map(|other| Change::Gone { subject: subject.to_owned(), version: other.number }));
        drop(state);
        self.commit(&mut journal, changes)?;
        Ok(RegisteredSchema { subject: subject.to_owned(), version: number, id, schema: new.schema })
    }

    /// The newest version under which a subject knows a schema. Fails with 40401, 40403 or 42201.
    pub fn lookup_as(
        &self,
        subject: &str,
        schema: &Schema,
        normalize: bool,
        deleted: Deleted,
    ) -> Result<RegisteredSchema, RegistryError> {
        let state = self.state();
        let subject = &*state.meant(subject);
        let mut versions = state.versions(subject, deleted)?.rev();
        let missing = || RegistryError::new(40403, "Schema not found");
        let wanted = state.prepare(subject, schema, normalize)?;
        let id = state.id_of(subject::split(subject).0, &wanted.schema).ok_or_else(missing)?;
        let version = versions.find(|version| version.id == id);
        Ok(state.registered(subject, *version.ok_or_else(missing)?))
    }

    /// What keeps a schema from being registered: compared with one version, or with those that the subject's
    /// level asks for. Empty if nothing does, as for subjects that are not there. Fails with 40402 or 42201.
    pub fn check_compatibility(
        &self,
        subject: &str,
        schema: &Schema,
        version: Option<VersionSpec>,
        normalize: bool,
    ) -> Result<Vec<String>, RegistryError> {
        let state = self.state();
        let subject = &*state.meant(subject);
        let new = state.prepare(subject, schema, normalize)?;
        let Some(version) = version else { return state.incompatibilities(subject, &new) };
        match (state.version(subject, version, Deleted::Exclude), version) {
            (Ok(version), _) => {
                let old = state.resolved_version(subject, version)?;
                check(state.level(subject), &new, &[(version.number, old)])
            }
            (Err(_), VersionSpec::Latest) => Ok(Vec::new()),
            (Err(_), VersionSpec::Number(number)) => Err(RegistryError::version_not_found(number)),
        }
    }
}

fn check_mode(subject: &str, mode: Mode, has_id: bool) -> Result<(), RegistryError> {
    let wanted = match (mode, has_id) {
        (Mode::ReadOnly | Mode::ReadOnlyOverride, _) => "is in read-only mode",
        (Mode::ReadWrite, true) => "is not in import mode",
        (Mode::Import, false) => "is not in read-write mode",
        (Mode::ReadWrite, false) | (Mode::Import, true) => return Ok(()),
    };
    let context = subject::split(subject).0;
    Err(RegistryError::new(42205, format!("Subject {subject} in context {context} {wanted}")))
}

impl State {
    fn level(&self, subject: &str) -> Compatibility {
        self.config_in_scope(Some(subject)).compatibility.unwrap_or(Compatibility::Backward)
    }

    /// A schema as it is kept, with what it refers to.
    fn prepare(
        &self,
        subject: &str,
        schema: &Schema,
        normalize: bool,
    ) -> Result<ResolvedSchema, RegistryError> {
        if schema.text.trim().is_empty() {
            return Err(RegistryError::invalid_schema("Empty schema"));
        }
        let (context, _) = subject::split(subject);
        let mut schema = schema.clone();
        for reference in schema.references.iter_mut().filter(|reference| reference.version < 1) {
            // The original lets -1 stand for the newest version.
            let referred = subject::qualify(context, &reference.subject);
            let latest = self.version(&referred, VersionSpec::Latest, Deleted::Exclude);
            reference.version = latest.map_err(|error| missing_reference(&schema.text, &error))?.number;
        }
        let mut resolved =
            self.resolve(context, &schema).map_err(|error| missing_reference(&schema.text, &error))?;
        // Clients that know only descriptors register those; all others want to read the text.
        if schema.schema_type == SchemaType::Protobuf
            && let Some(text) = text_of_descriptor(&resolved)
        {
            let invalid = |error: FormatError| RegistryError::invalid_schema(error.to_string());
            resolved.schema.text = text.map_err(invalid)?;
        }
        let configured = self.config_in_scope(Some(subject)).normalize;
        resolved.schema.text = if normalize || configured == Some(true) {
            resolved.schema.references.sort_by(|a, b| a.name.cmp(&b.name));
            normalized(&resolved)?
        } else {
            canonical(&resolved)?
        };
        Ok(resolved)
    }

    fn resolved_version(
        &self,
        subject: &str,
        version: super::super::state::Version,
    ) -> Result<ResolvedSchema, RegistryError> {
        self.resolve(subject::split(subject).0, self.schema_of(subject, version))
    }

    /// What keeps a schema from following the versions of its subject that the level asks for.
    fn incompatibilities(&self, subject: &str, new: &ResolvedSchema) -> Result<Vec<String>, RegistryError> {
        let level = self.level(subject);
        let live = self.all_versions(subject).iter().filter(|version| !version.deleted);
        let compared = match level {
            Compatibility::None => 0,
            Compatibility::Backward | Compatibility::Forward | Compatibility::Full => 1,
            Compatibility::BackwardTransitive
            | Compatibility::ForwardTransitive
            | Compatibility::FullTransitive => usize::MAX,
        };
        let mut previous = Vec::new();
        for version in live.rev().take(compared) {
            previous.push((version.number, self.resolved_version(subject, *version)?));
        }
        previous.reverse();
        check(level, new, &previous)
    }

    /// The number of a new version: one more than the last, deleted or not, or in mode IMPORT any that is free.
    fn version_number(&self, subject: &str, wanted: Option<i32>, mode: Mode) -> Result<i32, RegistryError> {
        let versions = self.all_versions(subject);
        let last = versions.last().map_or(0, |version| version.number);
        match wanted {
            None => last.checked_add(1).ok_or_else(|| {
                let message = format!("Version {last} of {subject} is the last that there can be.");
                RegistryError::new(42205, message)
            }),
            Some(number) if last.checked_add(1) == Some(number) => Ok(number),
            Some(number) if mode == Mode::Import && number > 0 => {
                if versions.iter().any(|version| version.number == number && !version.deleted) {
                    let message = format!("Overwrite of version {number} of {subject} is not permitted.");
                    return Err(RegistryError::new(42205, message));
                }
                Ok(number)
            }
            Some(number) => Err(RegistryError::invalid_schema(format!(
                "Version {number} is not one more than previous version {last}"
            ))),
        }
    }
}

fn missing_reference(text: &str, error: &RegistryError) -> RegistryError {
    let start: String = text.chars().take(200).collect();
    RegistryError::invalid_schema(format!(
        "Invalid schema {start}, details: one of its references cannot be found: {}",
        error.message
    ))
}
