//! Expressions: from what was written to what DataFusion evaluates over Arrow columns.
//!
//! ```text
//! ast::Expr ─▶ Compiler (names, types, coercions, errors with places) ─▶ Typed ─▶ Bound (places in a batch) ─▶ columns
//! ```
//!
//! Operators with ksqlDB's own rules are DataFusion functions: [`comparison`] has two outcomes, [`arithmetic`] wraps
//! and nulls, [`cast`] knows ksqlDB's text. An error in one row nulls that row's value, the whole expression and not
//! just the part that failed, and goes to [`RowErrors`]; it never stops a query. An item of an ARRAY, MAP or STRUCT that
//! fails is NULL by itself.

pub(crate) mod arithmetic;
mod bound;
mod call;
pub(crate) mod cast;
mod coercion;
pub(crate) mod comparison;
mod compiler;
mod constant;
pub(crate) mod datetime;
mod decimal_arithmetic;
mod lambda;
mod like;
mod nested;
pub(crate) mod operation;
mod row_errors;
#[cfg(test)]
mod tests;

pub(crate) use bound::{Bound, bind, bind_condition, select};
pub(crate) use call::compile_table;
pub(crate) use compiler::{Compiler, Names, Typed, column};
pub(crate) use constant::{coerce_lax, evaluate_constant, value_of};
pub(crate) use row_errors::Detail;
pub use row_errors::RowErrors;
