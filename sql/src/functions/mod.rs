//! The built-in functions, with the behaviour of ksqlDB's.

mod aggregates;
mod arrays;
mod conditional;
mod datetime;
mod json;
mod last;
mod math;
mod order;
mod regexes;
mod rounding;
mod strings;
mod units;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use millstream_log::Clock;

use crate::error::SqlError;
use crate::function::FunctionRegistry;

/// Registers all of them. Those that tell the time ask `clock`.
pub(crate) fn register(registry: &mut FunctionRegistry, clock: &Arc<dyn Clock>) -> Result<(), SqlError> {
    let scalars = [
        arrays::functions(),
        conditional::functions(),
        datetime::functions(clock),
        json::functions(),
        math::functions(),
        regexes::functions(),
        strings::functions(),
    ];
    for function in scalars.into_iter().flatten() {
        registry.register_scalar(function)?;
    }
    for function in aggregates::functions() {
        registry.register_aggregate(function)?;
    }
    Ok(())
}
