//! What a registry knows: the sum of all [`Change`]s, in memory.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{
    Change, Compatibility, Deleted, Mode, Reference, RegisteredSchema, RegistryError, ResolvedSchema, Schema,
    SubjectConfig, VersionSpec, resolve_with,
    subject::{self, DEFAULT_CONTEXT},
};

/// All schemas, subjects and settings. A text is kept once, however many subjects have it.
#[derive(Debug, Default)]
pub(super) struct State {
    contexts: BTreeMap<Box<str>, Context>,
    /// Each in order of its versions, never empty.
    subjects: BTreeMap<Box<str>, Vec<Version>>,
    configs: BTreeMap<Option<Box<str>>, SubjectConfig>,
    modes: BTreeMap<Option<Box<str>>, Mode>,
}

/// Ids are counted per context.
#[derive(Debug, Default)]
struct Context {
    schemas: BTreeMap<i32, Stored>,
    /// Ids by the hash of their schemas. Only looked up, never listed.
    by_content: HashMap<u64, Vec<i32>>,
    id_last: i32,
}

#[derive(Debug)]
struct Stored {
    schema: Arc<Schema>,
    /// How many versions of subjects have it.
    versions: u32,
}

/// A version of a subject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    pub(super) number: i32,
    pub(super) id: i32,
    pub(super) deleted: bool,
}

impl State {
    /// Takes note of a change.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Version { subject, version, id, deleted, schema } => {
                self.put(&subject, Version { number: version, id, deleted }, schema);
            }
            Change::Gone { subject, version } => self.remove(&subject, |other| other.number == version),
            Change::DeleteSubject { subject, version } => {
                for other in self.subjects.get_mut(&*subject).into_iter().flatten() {
                    other.deleted |= other.number <= version;
                }
            }
            Change::ClearSubject { subject } => {
                for subject in self.matching(Some(&subject)) {
                    self.remove(&subject, |other| other.deleted);
                }
            }
            Change::Config { subject, config } => set(&mut self.configs, subject, config),
            Change::Mode { subject, mode } => set(&mut self.modes, subject, mode),
            Change::Context { context } => {
                self.contexts.entry(context.into()).or_default();
            }
            Change::Noop => {}
        }
    }

    fn put(&mut self, subject: &str, version: Version, schema: Schema) {
        self.remove(subject, |other| other.number == version.number);
        let context = self.contexts.entry(subject::split(subject).0.into()).or_default();
        let hash = content_hash(&schema);
        let stored = context.schemas.entry(version.id).or_insert_with(|| {
            context.by_content.entry(hash).or_default().push(version.id);
            Stored { schema: Arc::new(schema), versions: 0 }
        });
        stored.versions += 1;
        context.id_last = context.id_last.max(version.id);
        let versions = self.subjects.entry(subject.into()).or_insert_with(|| Vec::with_capacity(1));
        let at = versions.partition_point(|other| other.number < version.number);
        versions.insert(at, version);
    }

    /// Forgets versions of a subject, and schemas that no other version has.
    fn remove(&mut self, subject: &str, is_gone: impl Fn(&Version) -> bool) {
        let Some(versions) = self.subjects.get_mut(subject) else { return };
        let gone: Vec<Version> = versions.extract_if(.., |version| is_gone(version)).collect();
        if versions.is_empty() {
            self.subjects.remove(subject);
        }
        let Some(context) = self.contexts.get_mut(subject::split(subject).0) else { return };
        for version in gone {
            let Some(stored) = context.schemas.get_mut(&version.id) else { continue };
            stored.versions -= 1;
            if stored.versions == 0 {
                let hash = content_hash(&stored.schema);
                context.schemas.remove(&version.id);
                if let Some(ids) = context.by_content.get_mut(&hash) {
                    ids.retain(|id| *id != version.id);
                    if ids.is_empty() {
                        context.by_content.remove(&hash);
                    }
                }
            }
        }
    }

    /// The schema with this id in a context.
    pub(super) fn schema_in(&self, context: &str, id: i32) -> Option<&Arc<Schema>> {
        Some(&self.contexts.get(context)?.schemas.get(&id)?.schema)
    }

    /// The context in which an id is meant: that of the subject; or for a subject of the default context that does not
    /// have it there, the first context that has it in the subject of that name.
    pub(super) fn context_of_id(&self, id: i32, subject: Option<&str>) -> Option<&str> {
        let (context, name) = subject::split(subject.unwrap_or_default());
        let at_home =
            self.contexts.get_key_value(context).filter(|(_, found)| found.schemas.contains_key(&id));
        if at_home.is_some() || context != DEFAULT_CONTEXT || name.is_empty() {
            return at_home.map(|(context, _)| &**context);
        }
        self.contexts.keys().map(|context| &**context).find(|context| {
            let versions = self.subjects.get(&*subject::qualify(context, name));
            versions.is_some_and(|versions| versions.iter().any(|version| version.id == id))
        })
    }

    /// The id that this very schema has in a context.
    pub(super) fn id_of(&self, context: &str, schema: &Schema) -> Option<i32> {
        let context = self.contexts.get(context)?;
        let ids = context.by_content.get(&content_hash(schema))?;
        ids.iter().copied().find(|id| context.schemas.get(id).is_some_and(|stored| *stored.schema == *schema))
    }

    /// The id that the next new schema of a context gets.
    pub(super) fn id_next(&self, context: &str) -> Result<i32, RegistryError> {
        let last = self.contexts.get(context).map_or(0, |context| context.id_last);
        last.checked_add(1).ok_or_else(|| {
            RegistryError::new(42205, format!("Schema id {last} is the last that there can be."))
        })
    }

    /// The largest id of a context that was given out.
    pub(super) fn id_last(&self, context: &str) -> i32 {
        self.contexts.get(context).map_or(0, |context| context.id_last)
    }

    pub(super) fn has_context(&self, context: &str) -> bool {
        self.contexts.contains_key(context)
    }

    /// Names of the contexts, the default one first.
    pub(super) fn contexts(&self) -> Vec<String> {
        let others = self.contexts.keys().filter(|name| &***name != DEFAULT_CONTEXT);
        std::iter::once(DEFAULT_CONTEXT.to_owned()).chain(others.map(|name| name.to_string())).collect()
    }

    /// Every version of a subject, deleted or not; none if there is no such subject.
    pub(super) fn all_versions(&self, subject: &str) -> &[Version] {
        self.subjects.get(subject).map_or(&[], Vec::as_slice)
    }

    /// The versions of a subject that a reader asks for. Fails with 40401 if there are none.
    pub(super) fn versions(
        &self,
        subject: &str,
        deleted: Deleted,
    ) -> Result<impl DoubleEndedIterator<Item = &Version>, RegistryError> {
        let admitted =
            self.all_versions(subject).iter().filter(move |version| deleted.admits(version.deleted));
        if admitted.clone().next().is_none() {
            return Err(RegistryError::subject_not_found(subject));
        }
        Ok(admitted)
    }

    /// One version. Fails with 40401 or 40402.
    pub(super) fn version(
        &self,
        subject: &str,
        spec: VersionSpec,
        deleted: Deleted,
    ) -> Result<Version, RegistryError> {
        let mut versions = self.versions(subject, deleted)?;
        match spec {
            VersionSpec::Latest => Ok(*versions.next_back().expect("an empty list is an error")),
            VersionSpec::Number(number) => versions
                .find(|version| version.number == number)
                .copied()
                .ok_or_else(|| RegistryError::version_not_found(number)),
        }
    }

    /// A version with its schema.
    pub(super) fn registered(&self, subject: &str, version: Version) -> RegisteredSchema {
        let schema = self.schema_of(subject, version).as_ref().clone();
        RegisteredSchema { subject: subject.to_owned(), version: version.number, id: version.id, schema }
    }

    /// The schema of a version.
    pub(super) fn schema_of(&self, subject: &str, version: Version) -> &Arc<Schema> {
        self.schema_in(subject::split(subject).0, version.id).expect("a version's schema is kept with it")
    }

    /// Subjects whose names begin with a prefix and whose versions a reader asks for.
    pub(super) fn subjects<'a>(
        &'a self,
        prefix: &'a str,
        deleted: Deleted,
    ) -> impl Iterator<Item = (&'a str, &'a [Version])> {
        let all = prefix == subject::ALL_CONTEXTS;
        let (context, name) = subject::split(prefix);
        self.subjects
            .iter()
            .filter(move |(subject, _)| {
                let (its_context, its_name) = subject::split(subject);
                all || (its_context == context && its_name.starts_with(name))
            })
            .filter(move |(_, versions)| match deleted {
                Deleted::Only => versions.iter().all(|version| version.deleted),
                Deleted::Exclude | Deleted::Include => {
                    versions.iter().any(|version| deleted.admits(version.deleted))
                }
            })
            .map(|(subject, versions)| (&**subject, versions.as_slice()))
    }

    /// A schema with all that it refers to, deleted or not, as seen from a context.
    pub(super) fn resolve(&self, context: &str, schema: &Schema) -> Result<ResolvedSchema, RegistryError> {
        resolve_with(schema, |reference| {
            let subject = subject::qualify(context, &reference.subject);
            let spec = VersionSpec::Number(reference.version);
            let version = self.version(&subject, spec, Deleted::Include)?;
            Ok(self.schema_of(&subject, version).as_ref().clone())
        })
    }

    /// Ids of schemas that refer to a version and are not deleted.
    pub(super) fn referenced_by(&self, referred: &str, number: i32) -> Vec<i32> {
        let context = subject::split(referred).0;
        let refers = |reference: &Reference| {
            reference.version == number && subject::qualify(context, &reference.subject) == referred
        };
        let mut ids: Vec<i32> = self
            .subjects
            .iter()
            .filter(|(subject, _)| subject::split(subject).0 == context)
            .flat_map(|(subject, versions)| versions.iter().map(move |version| (subject, version)))
            .filter(|(_, version)| !version.deleted)
            .filter(|(subject, version)| self.schema_of(subject, **version).references.iter().any(refers))
            .map(|(_, version)| version.id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The subject that a name stands for: the one that it is an alias of, or itself in its normal form.
    pub(super) fn meant<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let name = subject::normalize(name);
        let alias = self.configs.get(&Some(name.as_ref().into())).and_then(|config| config.alias.as_deref());
        alias.map_or(name, |alias| Cow::Owned(subject::normalize(alias).into_owned()))
    }

    /// What is set for exactly this subject or context, or globally.
    pub(super) fn own_config(&self, subject: Option<&str>) -> Option<SubjectConfig> {
        self.configs.get(&subject.map(Box::from)).cloned()
    }

    /// What holds for a subject: its own settings, then its context's, then the global ones, then the defaults.
    pub(super) fn config_in_scope(&self, subject: Option<&str>) -> SubjectConfig {
        let defaults =
            SubjectConfig { compatibility: Some(Compatibility::Backward), ..SubjectConfig::default() };
        let own = subject.and_then(|subject| self.own_config(Some(subject))).unwrap_or_default();
        let context = subject.and_then(subject::context_key);
        let context = context.and_then(|context| self.own_config(Some(&context))).unwrap_or_default();
        // An alias is no setting that others inherit.
        let alias = own.alias.clone();
        let wider = context.or(self.own_config(None).unwrap_or_default()).or(defaults);
        SubjectConfig { alias, ..own.or(wider) }
    }

    /// The mode of exactly this subject or context, or the global one.
    pub(super) fn own_mode(&self, subject: Option<&str>) -> Option<Mode> {
        self.modes.get(&subject.map(Box::from)).copied()
    }

    /// The mode that holds for a subject.
    pub(super) fn mode_in_scope(&self, subject: Option<&str>) -> Mode {
        let global = self.own_mode(None).unwrap_or_default();
        if global == Mode::ReadOnlyOverride {
            return global;
        }
        let own = subject.and_then(|subject| self.own_mode(Some(subject)));
        let context = || subject.and_then(subject::context_key).and_then(|key| self.own_mode(Some(&key)));
        own.or_else(context).unwrap_or(global)
    }

    /// The subjects that a subject, a context (`:.ctx:`) or, without either, everything stands for.
    pub(super) fn matching(&self, scope: Option<&str>) -> Vec<String> {
        self.subjects
            .keys()
            .filter(|subject| match scope.map(subject::split) {
                None => true,
                Some((context, "")) => subject::split(subject).0 == context,
                Some(_) => scope == Some(&***subject),
            })
            .map(|subject| subject.to_string())
            .collect()
    }
}

fn set<T>(map: &mut BTreeMap<Option<Box<str>>, T>, subject: Option<String>, value: Option<T>) {
    let subject = subject.map(String::into_boxed_str);
    match value {
        Some(value) => drop(map.insert(subject, value)),
        None => drop(map.remove(&subject)),
    }
}

fn content_hash(schema: &Schema) -> u64 {
    let mut hasher = DefaultHasher::new();
    schema.hash(&mut hasher);
    hasher.finish()
}
