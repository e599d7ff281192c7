//! Deleting versions and subjects: first softly, so that their ids stay readable, then for good.

use super::super::{Change, Deleted, Mode, RegistryError, State, VersionSpec, subject};
use super::EmbeddedRegistry;

impl EmbeddedRegistry {
    /// Deletes a version; for good only if it was deleted softly before. Tells its number. Fails with 40401, 40402, 40406
    /// if it was deleted already, 40407 if it was not, 42205 in a read-only mode, 42206 if others refer to it.
    pub fn remove_version(
        &self,
        subject: &str,
        version: VersionSpec,
        permanent: bool,
    ) -> Result<i32, RegistryError> {
        let mut journal = self.turn();
        let state = self.state();
        let subject = &*state.meant(subject);
        state.check_writable(subject)?;
        let known = if version == VersionSpec::Latest { Deleted::Exclude } else { Deleted::Include };
        let version = state.version(subject, version, known)?;
        let number = version.number;
        state.check_unreferenced(subject, number)?;
        let changes = match (permanent, version.deleted) {
            (false, true) => {
                let message = format!(
                    "Subject '{subject}' Version {number} was soft deleted.Set permanent=true to delete permanently"
                );
                return Err(RegistryError::new(40406, message));
            }
            (true, false) => {
                let message = format!(
                    "Subject '{subject}' Version {number} was not deleted first before being permanently deleted"
                );
                return Err(RegistryError::new(40407, message));
            }
            (true, true) => vec![Change::Gone { subject: subject.to_owned(), version: number }],
            (false, false) => {
                let schema = state.schema_of(subject, version).as_ref().clone();
                let is_last = state.versions(subject, Deleted::Exclude)?.count() == 1;
                let mut changes = vec![Change::Version {
                    subject: subject.to_owned(),
                    version: number,
                    id: version.id,
                    deleted: true,
                    schema,
                }];
                if is_last {
                    changes.extend(state.settings_gone(subject));
                }
                changes
            }
        };
        drop(state);
        self.commit(&mut journal, changes)?;
        Ok(number)
    }

    /// Deletes a subject; for good only if it was deleted softly before. Tells the numbers of its versions. Fails with
    /// 40401, 40404 if it was deleted already, 40405 if it was not, 42205 in a read-only mode, 42206 if others refer to it.
    pub fn remove_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>, RegistryError> {
        let mut journal = self.turn();
        let state = self.state();
        let subject = &*state.meant(subject);
        state.check_writable(subject)?;
        let all: Vec<i32> =
            state.versions(subject, Deleted::Include)?.map(|version| version.number).collect();
        let live: Vec<i32> = state
            .versions(subject, Deleted::Exclude)
            .map(|versions| versions.map(|version| version.number).collect())
            .unwrap_or_default();
        let (gone, changes) = match (permanent, live.is_empty()) {
            (false, true) => {
                let message =
                    format!("Subject '{subject}' was soft deleted.Set permanent=true to delete permanently");
                return Err(RegistryError::new(40404, message));
            }
            (true, false) => {
                let message =
                    format!("Subject '{subject}' was not deleted first before being permanently deleted");
                return Err(RegistryError::new(40405, message));
            }
            (true, true) => {
                let changes = all.iter();
                let changes =
                    changes.map(|number| Change::Gone { subject: subject.to_owned(), version: *number });
                (all.clone(), changes.collect())
            }
            (false, false) => {
                let last = *all.last().expect("a subject without versions is an error");
                let mut changes = vec![Change::DeleteSubject { subject: subject.to_owned(), version: last }];
                changes.extend(state.settings_gone(subject));
                (live, changes)
            }
        };
        for number in &gone {
            state.check_unreferenced(subject, *number)?;
        }
        drop(state);
        self.commit_each(&mut journal, changes)?;
        Ok(gone)
    }
}

impl State {
    fn check_writable(&self, subject: &str) -> Result<(), RegistryError> {
        match self.mode_in_scope(Some(subject)) {
            Mode::ReadWrite | Mode::Import => Ok(()),
            Mode::ReadOnly | Mode::ReadOnlyOverride => {
                let context = subject::split(subject).0;
                let message = format!("Subject {subject} in context {context} is in read-only mode");
                Err(RegistryError::new(42205, message))
            }
        }
    }

    fn check_unreferenced(&self, subject: &str, number: i32) -> Result<(), RegistryError> {
        if self.referenced_by(subject, number).is_empty() {
            return Ok(());
        }
        Err(RegistryError::new(
            42206,
            format!(
                "One or more references exist to the schema \
                 {{magic=1,keytype=SCHEMA,subject={subject},version={number}}}."
            ),
        ))
    }

    /// A subject that is deleted keeps no settings.
    fn settings_gone(&self, subject: &str) -> impl Iterator<Item = Change> {
        let subject = subject.to_owned();
        let mode = self.own_mode(Some(&subject)).is_some();
        let config = self.own_config(Some(&subject)).is_some();
        let mode = mode.then(|| Change::Mode { subject: Some(subject.clone()), mode: None });
        let config = config.then_some(Change::Config { subject: Some(subject), config: None });
        mode.into_iter().chain(config)
    }
}
