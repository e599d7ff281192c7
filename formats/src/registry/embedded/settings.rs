//! Modes and compatibility levels: global, of a context (`:.ctx:`), of a subject.

use std::borrow::Cow;

use super::super::{Change, Deleted, Mode, RegistryError, SubjectConfig, subject};
use super::EmbeddedRegistry;

/// Where a setting is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Only where it was set.
    Own,
    /// In wider scopes too, and then the default.
    Effective,
}

impl EmbeddedRegistry {
    /// What a subject or, without one, the registry is set to. Fails with 40408 for subjects without settings of their own.
    pub fn config(&self, subject: Option<&str>, scope: Scope) -> Result<SubjectConfig, RegistryError> {
        let subject = normalized(subject);
        let state = self.state();
        match (subject.as_deref(), scope) {
            (Some(subject), Scope::Own) => state.own_config(Some(subject)).ok_or_else(|| {
                let message =
                    format!("Subject '{subject}' does not have subject-level compatibility configured");
                RegistryError::new(40408, message)
            }),
            (subject, _) => Ok(state.config_in_scope(subject)),
        }
    }

    /// Sets what is given and leaves the rest as it was; an empty alias or group is taken back.
    pub fn set_config(
        &self,
        subject: Option<&str>,
        config: SubjectConfig,
    ) -> Result<SubjectConfig, RegistryError> {
        let subject = normalized(subject);
        let mut journal = self.turn();
        let state = self.state();
        if let Mode::ReadOnly | Mode::ReadOnlyOverride = state.mode_in_scope(subject.as_deref()) {
            return Err(read_only(subject.as_deref()));
        }
        let mut config = config.or(state.own_config(subject.as_deref()).unwrap_or_default());
        config.alias = config.alias.filter(|alias| !alias.is_empty());
        config.compatibility_group = config.compatibility_group.filter(|group| !group.is_empty());
        drop(state);
        let subject = subject.map(Cow::into_owned);
        self.commit(&mut journal, vec![Change::Config { subject, config: Some(config.clone()) }])?;
        Ok(config)
    }

    /// Takes settings back and tells what they were. Fails with 40401 for subjects without settings of their own.
    pub fn delete_config(&self, subject: Option<&str>) -> Result<SubjectConfig, RegistryError> {
        let subject = normalized(subject);
        let mut journal = self.turn();
        let state = self.state();
        if let Mode::ReadOnly | Mode::ReadOnlyOverride = state.mode_in_scope(subject.as_deref()) {
            return Err(read_only(subject.as_deref()));
        }
        let was = match (&subject, state.own_config(subject.as_deref())) {
            (_, Some(config)) => config,
            (Some(subject), None) => return Err(RegistryError::subject_not_found(subject)),
            (None, None) => return Ok(state.config_in_scope(None)),
        };
        drop(state);
        let subject = subject.map(Cow::into_owned);
        self.commit(&mut journal, vec![Change::Config { subject, config: None }])?;
        Ok(was)
    }

    /// The mode of a subject or, without one, of the registry. Fails with 40409 for subjects without a mode of their own.
    pub fn mode(&self, subject: Option<&str>, scope: Scope) -> Result<Mode, RegistryError> {
        let subject = normalized(subject);
        let state = self.state();
        match (subject.as_deref(), scope) {
            (Some(subject), Scope::Own) => state.own_mode(Some(subject)).ok_or_else(|| {
                let message = format!("Subject '{subject}' does not have subject-level mode configured");
                RegistryError::new(40409, message)
            }),
            (subject, _) => Ok(state.mode_in_scope(subject)),
        }
    }

    /// Sets a mode. IMPORT is refused with 42205 where there are schemas already, unless forced.
    pub fn set_mode(&self, subject: Option<&str>, mode: Mode, force: bool) -> Result<(), RegistryError> {
        let subject = normalized(subject);
        let scope = subject.as_deref();
        if mode == Mode::ReadOnlyOverride && scope.is_some() {
            let message = "READONLY_OVERRIDE can only be set for the whole registry";
            return Err(RegistryError::new(42204, message));
        }
        let mut journal = self.turn();
        let state = self.state();
        let mut changes = Vec::new();
        if mode == Mode::Import && state.mode_in_scope(scope) != Mode::Import && !force {
            let subjects = state.matching(scope);
            if subjects.iter().any(|subject| state.versions(subject, Deleted::Exclude).is_ok()) {
                return Err(RegistryError::new(42205, "Cannot import since found existing subjects"));
            }
            // Ids and versions of what is deleted are free for what comes. One by one: of a record that clears a subject
            // compaction could take away what was deleted when.
            for subject in subjects {
                let gone = state.all_versions(&subject).iter().filter(|version| version.deleted);
                let gone =
                    gone.map(|version| Change::Gone { subject: subject.clone(), version: version.number });
                changes.extend(gone);
            }
        }
        drop(state);
        changes.push(Change::Mode { subject: subject.map(Cow::into_owned), mode: Some(mode) });
        self.commit_each(&mut journal, changes)
    }

    /// Takes a mode back and tells what it was. Fails with 40401 for subjects without a mode of their own.
    pub fn delete_mode(&self, subject: Option<&str>) -> Result<Mode, RegistryError> {
        let subject = normalized(subject);
        let mut journal = self.turn();
        let was = match (&subject, self.state().own_mode(subject.as_deref())) {
            (_, Some(mode)) => mode,
            (Some(subject), None) => return Err(RegistryError::subject_not_found(subject)),
            (None, None) => return Ok(Mode::default()),
        };
        let subject = subject.map(Cow::into_owned);
        self.commit(&mut journal, vec![Change::Mode { subject, mode: None }])?;
        Ok(was)
    }
}

fn normalized(subject: Option<&str>) -> Option<Cow<'_, str>> {
    // `:.:` is the default context, whose settings are the global ones.
    subject.map(subject::normalize).filter(|subject| !subject.is_empty())
}

fn read_only(subject: Option<&str>) -> RegistryError {
    let subject = subject.map_or_else(String::new, |subject| format!("Subject {subject} "));
    RegistryError::new(42205, format!("{subject}is in read-only mode").trim().to_owned())
}
