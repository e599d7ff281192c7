//! A registry elsewhere, over its REST API.
//!
//! ```text
//! RegistryClient ─▶ cache ─▶ Http (addresses, credentials, TLS) ─▶ anybody's registry
//! ```
//! Reading order: [`RegistryClientConfig`] the settings, then what is asked here, `http` how, `cache` how seldom.

mod cache;
mod config;
mod http;
mod wire;

pub use config::{Credentials, RegistryClientConfig};

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::IgnoredAny;

use super::{
    Deleted, Mode, Reference, RegisteredSchema, Registration, RegistryAdmin, RegistryError, Schema,
    SchemaRegistry, Scope, SubjectConfig, VersionSpec,
};
use cache::Cache;
use http::{Http, encode};
use wire::{Checked, ConfigBody, ConfigRequest, Id, ModeBody, SchemaBody, SchemaRequest, VersionBody};

/// A client of a schema registry. What cannot change is asked once: schemas by id and by version, and ids of
/// schemas that were registered or looked up.
///
/// Methods fail with the registry's code and message; with 503 if no address can be reached, with 502 if what answers
/// is no registry.
#[derive(Debug)]
pub struct RegistryClient {
    http: Http,
    cache: Mutex<Cache>,
}

impl RegistryClient {
    /// A client; connects when it is first asked. Fails if certificates cannot be read.
    pub fn new(config: &RegistryClientConfig) -> Result<Self, RegistryError> {
        Ok(Self { http: Http::new(config)?, cache: Mutex::new(Cache::new(config.cache_capacity)) })
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get_version(
        &self,
        subject: &str,
        version: VersionSpec,
        deleted: bool,
    ) -> Result<RegisteredSchema, RegistryError> {
        let known = match version {
            VersionSpec::Latest => None,
            VersionSpec::Number(number) => self.cache().version(subject, number),
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let query = if deleted { "?deleted=true" } else { "" };
        let path = format!("/subjects/{}/versions/{version}{query}", encode(subject));
        let found = self.http.get::<VersionBody>(&path)?.registered()?;
        // Deleted versions are not kept: others must not find them.
        if !deleted {
            self.cache().keep_version(&found);
        }
        Ok(found)
    }
}

impl SchemaRegistry for RegistryClient {
    fn schema(&self, id: i32) -> Result<Schema, RegistryError> {
        if let Some(schema) = self.cache().schema(id) {
            return Ok(schema);
        }
        let schema = self.http.get::<SchemaBody>(&format!("/schemas/ids/{id}"))?.schema()?;
        self.cache().keep_schema(id, &schema);
        Ok(schema)
    }

    fn register(&self, subject: &str, schema: &Schema) -> Result<i32, RegistryError> {
        if let Some(id) = self.cache().id(subject, schema) {
            return Ok(id);
        }
        let path = format!("/subjects/{}/versions", encode(subject));
        let Id { id } = self.http.post(&path, &SchemaRequest::from(schema))?;
        self.cache().keep_id(subject, schema, id);
        Ok(id)
    }

    fn latest(&self, subject: &str) -> Result<RegisteredSchema, RegistryError> {
        self.get_version(subject, VersionSpec::Latest, false)
    }

    fn version(&self, subject: &str, version: i32) -> Result<RegisteredSchema, RegistryError> {
        self.get_version(subject, VersionSpec::Number(version), false)
    }

    fn lookup(&self, subject: &str, schema: &Schema) -> Result<RegisteredSchema, RegistryError> {
        if let Some(found) = self.cache().found(subject, schema) {
            return Ok(found);
        }
        let path = format!("/subjects/{}", encode(subject));
        let found = self.http.post::<VersionBody>(&path, &SchemaRequest::from(schema))?.registered()?;
        self.cache().keep_found(subject, schema, &found);
        Ok(found)
    }

    fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        self.all_subjects("", Deleted::Exclude)
    }

    fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>, RegistryError> {
        let versions = self.http.delete(&format!("/subjects/{}?permanent={permanent}", encode(subject)))?;
        self.cache().forget(subject);
        Ok(versions)
    }

    fn referred(&self, reference: &Reference) -> Result<Schema, RegistryError> {
        let version = VersionSpec::Number(reference.version);
        Ok(self.get_version(&reference.subject, version, true)?.schema)
    }
}

impl RegistryAdmin for RegistryClient {
    fn all_subjects(&self, prefix: &str, deleted: Deleted) -> Result<Vec<String>, RegistryError> {
        let (prefix, deleted) = (encode(prefix), deleted_query(deleted));
        self.http.get(&format!("/subjects?subjectPrefix={prefix}&{deleted}"))
    }

    fn versions(&self, subject: &str, deleted: Deleted) -> Result<Vec<i32>, RegistryError> {
        let (subject, deleted) = (encode(subject), deleted_query(deleted));
        self.http.get(&format!("/subjects/{subject}/versions?{deleted}"))
    }

    fn find(&self, subject: &str, version: VersionSpec) -> Result<RegisteredSchema, RegistryError> {
        self.get_version(subject, version, false)
    }

    fn delete_version(
        &self,
        subject: &str,
        version: VersionSpec,
        permanent: bool,
    ) -> Result<i32, RegistryError> {
        let path = format!("/subjects/{}/versions/{version}?permanent={permanent}", encode(subject));
        let number = self.http.delete(&path)?;
        self.cache().forget(subject);
        Ok(number)
    }

    fn check(&self, subject: &str, schema: &Schema, normalize: bool) -> Result<Vec<String>, RegistryError> {
        let subject = encode(subject);
        let path = format!("/compatibility/subjects/{subject}/versions?verbose=true&normalize={normalize}");
        let checked: Checked = self.http.post(&path, &SchemaRequest::from(schema))?;
        Ok(checked.incompatibilities())
    }

    fn register_as(&self, subject: &str, schema: &Schema, how: Registration) -> Result<i32, RegistryError> {
        let path = format!("/subjects/{}/versions?normalize={}", encode(subject), how.normalize);
        let Id { id } = self.http.post(&path, &SchemaRequest::from(schema).with(how))?;
        Ok(id)
    }

    fn config(&self, subject: Option<&str>, scope: Scope) -> Result<SubjectConfig, RegistryError> {
        self.http.get::<ConfigBody>(&scoped("/config", subject, scope))?.config()
    }

    fn set_config(&self, subject: Option<&str>, config: SubjectConfig) -> Result<(), RegistryError> {
        let _: IgnoredAny = self.http.put(&of("/config", subject), &ConfigRequest::from(config))?;
        // It may be an alias now.
        subject.into_iter().for_each(|subject| self.cache().forget(subject));
        Ok(())
    }

    fn delete_config(&self, subject: Option<&str>) -> Result<(), RegistryError> {
        let _: IgnoredAny = self.http.delete(&of("/config", subject))?;
        subject.into_iter().for_each(|subject| self.cache().forget(subject));
        Ok(())
    }

    fn mode(&self, subject: Option<&str>, scope: Scope) -> Result<Mode, RegistryError> {
        self.http.get::<ModeBody>(&scoped("/mode", subject, scope))?.mode.parse()
    }

    fn set_mode(&self, subject: Option<&str>, mode: Mode, force: bool) -> Result<(), RegistryError> {
        let path = format!("{}?force={force}", of("/mode", subject));
        let _: IgnoredAny = self.http.put(&path, &ModeBody { mode: mode.name().to_owned() })?;
        Ok(())
    }

    fn delete_mode(&self, subject: Option<&str>) -> Result<(), RegistryError> {
        let _: IgnoredAny = self.http.delete(&of("/mode", subject))?;
        Ok(())
    }
}

/// The path of a setting of a subject, or of the registry.
fn of(path: &str, subject: Option<&str>) -> String {
    subject.map_or_else(|| path.to_owned(), |subject| format!("{path}/{}", encode(subject)))
}

fn scoped(path: &str, subject: Option<&str>, scope: Scope) -> String {
    format!("{}?defaultToGlobal={}", of(path, subject), scope == Scope::Effective)
}

fn deleted_query(deleted: Deleted) -> &'static str {
    match deleted {
        Deleted::Exclude => "deleted=false",
        Deleted::Include => "deleted=true",
        Deleted::Only => "deletedOnly=true",
    }
}
