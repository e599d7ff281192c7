//! What readers make of registered schemas, once per id.

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use super::{RegistryError, ResolvedSchema, SchemaRegistry};

/// Plans by the ids of their schemas.
pub(crate) struct Plans<P> {
    registry: Arc<dyn SchemaRegistry>,
    /// The language of the schemas, for messages.
    language: &'static str,
    plans: Vec<Result<P, String>>,
    /// Places in `plans` by schema id.
    places: BTreeMap<i32, usize>,
    last: Option<(i32, usize)>,
    /// A schema that the registry did not give, and the row that asked for it: it is asked once per batch.
    missing: Option<(i32, usize, String)>,
}

impl<P> Plans<P> {
    /// No plans yet.
    pub(crate) fn new(registry: &Arc<dyn SchemaRegistry>, language: &'static str) -> Self {
        Self {
            registry: Arc::clone(registry),
            language,
            plans: Vec::new(),
            places: BTreeMap::new(),
            last: None,
            missing: None,
        }
    }

    /// The plan for a schema that row `row` of a batch names; `make` makes it if it is new. Fails if the schema allows
    /// no plan, or if the registry does not give it.
    #[inline]
    pub(crate) fn get<E: Display>(
        &mut self,
        id: i32,
        row: usize,
        make: impl FnOnce(&ResolvedSchema) -> Result<P, E>,
    ) -> Result<&mut P, String> {
        let place = match self.last {
            Some((last, place)) if last == id => place,
            _ => self.find(id, row, make)?,
        };
        self.plans[place].as_mut().map_err(|message| message.clone())
    }

    #[cold]
    fn find<E: Display>(
        &mut self,
        id: i32,
        row: usize,
        make: impl FnOnce(&ResolvedSchema) -> Result<P, E>,
    ) -> Result<usize, String> {
        let place = match self.places.get(&id) {
            Some(place) => *place,
            None => {
                let resolved = self.resolve(id, row)?;
                self.plans.push(make(&resolved).map_err(|error| format!("schema {id}: {error}")));
                self.places.insert(id, self.plans.len() - 1);
                self.plans.len() - 1
            }
        };
        self.last = Some((id, place));
        Ok(place)
    }

    fn resolve(&mut self, id: i32, row: usize) -> Result<ResolvedSchema, String> {
        if let Some((missing, asked, message)) = &self.missing
            && *missing == id
            && *asked < row
        {
            return Err(message.clone());
        }
        let resolved = self.registry.schema(id).and_then(|schema| self.registry.resolve(&schema));
        resolved.map_err(|RegistryError { code, message }| {
            let language = self.language;
            let message =
                format!("Error retrieving {language} schema for id {id}: {message}; error code: {code}");
            self.missing = Some((id, row, message.clone()));
            message
        })
    }
}
