//! The schemas of a typed serde.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use millstream_log::serde::SerdeError;

use super::{RegistryError, ResolvedSchema, Schema, SchemaRegistry, SerdeConfig, split_header};

/// The schema that a typed serde writes with under each subject, and those that payloads name, each as the serde uses it
/// (`P`). The registry is asked once for each.
pub(crate) struct SerdeSchemas<P> {
    pub(crate) registry: Arc<dyn SchemaRegistry>,
    /// What follows the topic in a subject.
    suffix: &'static str,
    /// The subject where no topic is known.
    pub(crate) subject: String,
    pub(crate) schema: Schema,
    pub(crate) own: Arc<P>,
    pub(crate) config: SerdeConfig,
    writers: RwLock<BTreeMap<String, (i32, Arc<P>)>>,
    readers: RwLock<BTreeMap<i32, Arc<P>>>,
}

impl<P> SerdeSchemas<P> {
    /// Those of a serde whose own schema is this one.
    pub(crate) fn new(
        registry: Arc<dyn SchemaRegistry>,
        suffix: &'static str,
        subject: String,
        schema: Schema,
        own: P,
    ) -> Self {
        let (writers, readers) = (RwLock::default(), RwLock::default());
        let config = SerdeConfig::default();
        Self { registry, suffix, subject, schema, own: Arc::new(own), config, writers, readers }
    }

    /// The same with other settings.
    pub(crate) fn with_config(self, config: SerdeConfig) -> Self {
        Self { config, ..self }
    }

    /// The same with another subject where no topic is known.
    pub(crate) fn with_subject(self, subject: String) -> Self {
        Self { subject, ..self }
    }

    /// The same where the serde uses its own schema in another way.
    pub(crate) fn with_own(self, own: P) -> Self {
        Self { own: Arc::new(own), ..self }
    }

    /// The subject of values of a topic.
    pub(crate) fn subject_of(&self, topic: &str) -> String {
        format!("{topic}-{}", self.suffix)
    }

    /// The schema to write with under a subject, and its id.
    pub(crate) fn writer(
        &self,
        subject: &str,
        parse: impl FnOnce(&ResolvedSchema) -> Result<P, SerdeError>,
    ) -> Result<(i32, Arc<P>), SerdeError> {
        let known = self.writers.read().unwrap_or_else(PoisonError::into_inner).get(subject).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let registry = &self.registry;
        let found = if self.config.auto_register_schemas {
            (registry.register(subject, &self.schema).map_err(refused)?, Arc::clone(&self.own))
        } else if self.config.use_latest_version {
            let latest = registry.latest(subject).map_err(refused)?;
            (latest.id, self.resolved(&latest.schema, parse)?)
        } else {
            (registry.lookup(subject, &self.schema).map_err(refused)?.id, Arc::clone(&self.own))
        };
        let mut writers = self.writers.write().unwrap_or_else(PoisonError::into_inner);
        writers.insert(subject.to_owned(), found.clone());
        Ok(found)
    }

    /// The schema with an id.
    pub(crate) fn written_by(
        &self,
        id: i32,
        parse: impl FnOnce(&ResolvedSchema) -> Result<P, SerdeError>,
    ) -> Result<Arc<P>, SerdeError> {
        let known = self.readers.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = self.resolved(&self.registry.schema(id).map_err(refused)?, parse)?;
        let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        readers.insert(id, Arc::clone(&found));
        Ok(found)
    }

    fn resolved(
        &self,
        schema: &Schema,
        parse: impl FnOnce(&ResolvedSchema) -> Result<P, SerdeError>,
    ) -> Result<Arc<P>, SerdeError> {
        let resolved = self.registry.resolve(schema).map_err(refused)?;
        parse(&resolved).map(Arc::new)
    }
}

fn refused(RegistryError { code, message }: RegistryError) -> SerdeError {
    SerdeError::new(format!("{message}; error code: {code}"))
}

/// The id of a payload's schema and what follows it.
pub(crate) fn header_of(payload: &[u8]) -> Result<(i32, &[u8]), SerdeError> {
    split_header(payload)
        .ok_or_else(|| SerdeError::new("Unknown magic byte! The payload has no schema id in front"))
}
