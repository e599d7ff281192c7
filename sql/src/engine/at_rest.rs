//! What a query over data at rest reads of the engine.

use std::sync::Arc;

use millstream_log::Log;

use super::EngineState;
use crate::{
    analysis,
    ast::{Ident, SourceKind},
    catalogue::Source,
    error::SqlError,
    expression::RowErrors,
    function::FunctionRegistry,
    pull::{Latest, Readable, Sources, StoredTable, Topic, Until},
    query::PersistentQuery,
};

/// The sources of an engine, while it does nothing else.
pub(super) struct AtRestSources<'a> {
    pub(super) log: &'a Log,
    pub(super) functions: &'a FunctionRegistry,
    pub(super) state: &'a EngineState,
}

impl Sources for AtRestSources<'_> {
    fn source(&self, name: &Ident) -> Result<Arc<Source>, SqlError> {
        self.state.catalogue.find(name).cloned()
    }

    fn readable(
        &self,
        source: &Arc<Source>,
        until: Until,
        wanted: &dyn Fn(&str) -> bool,
        errors: &RowErrors,
    ) -> Result<Readable, SqlError> {
        let mut step = analysis::whole_source(source, wanted);
        step.time = analysis::row_time(source, self.functions, errors)?;
        let schema = step.schema.clone();
        if source.kind == SourceKind::Stream {
            let topic = Topic::new(self.log, &step, until, errors);
            return Ok(Readable::new(Arc::new(topic), schema));
        }
        let query = source.query.as_ref().and_then(|id| self.state.queries.get(id));
        let stored = query.map(PersistentQuery::table).transpose()?.flatten();
        match stored {
            Some((view, stored)) if until == Until::Now => {
                let table = StoredTable::new(view, stored, &step)?;
                Ok(Readable::new(Arc::new(table), schema))
            }
            _ => Ok(Readable::new(Arc::new(Latest::new(self.log, &step, until, errors)), schema)),
        }
    }
}
