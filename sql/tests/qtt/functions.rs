//! The functions that only the suite has.

use millstream_sql::{SqlError, function::FunctionRegistry};

/// Adds them.
pub(crate) fn register(_registry: &mut FunctionRegistry) -> Result<(), SqlError> {
    Ok(())
}
