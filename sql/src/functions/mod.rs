//! The built-in functions, with the behaviour of ksqlDB's.

mod aggregates;
mod order;

use std::sync::Arc;

use millstream_log::Clock;

use crate::error::SqlError;
use crate::function::FunctionRegistry;

/// Registers all of them. Those that tell the time ask `clock`.
pub(crate) fn register(registry: &mut FunctionRegistry, _clock: &Arc<dyn Clock>) -> Result<(), SqlError> {
    for function in aggregates::functions() {
        registry.register_aggregate(function)?;
    }
    Ok(())
}
