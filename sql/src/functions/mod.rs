//! The built-in functions, with the behaviour of ksqlDB's.

mod aggregates;
mod arrays;
mod conditional;
mod datetime;
mod encodings;
mod geography;
mod json;
mod lambdas;
mod last;
mod lists;
mod maps;
mod masks;
mod math;
mod md5;
pub(crate) mod order;
mod regexes;
mod rounding;
mod strings;
mod tables;
mod units;
mod urls;

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
        encodings::functions(),
        geography::functions(),
        json::functions(),
        lambdas::functions(),
        maps::functions(),
        masks::functions(),
        math::functions(clock),
        regexes::functions(),
        strings::functions(),
        urls::functions(),
    ];
    for function in scalars.into_iter().flatten() {
        registry.register_scalar(function)?;
    }
    for function in aggregates::functions() {
        registry.register_aggregate(function)?;
    }
    for function in tables::functions() {
        registry.register_table(function)?;
    }
    Ok(())
}
