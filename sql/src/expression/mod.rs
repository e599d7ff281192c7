//! Expressions: from what was written to what DataFusion evaluates over Arrow columns.
//!
//! ```text
//! ast::Expr ─▶ Compiler (names, types, coercions, errors with places) ─▶ Typed ─▶ Bound (places in a batch) ─▶ columns
//! ```
//!
//! Operators with ksqlDB's own rules are DataFusion functions: [`comparison`] has two outcomes, [`arithmetic`] wraps
//! and nulls, [`cast`] knows ksqlDB's text. An error in one row nulls that row's value and goes to [`RowErrors`]; it
//! never stops a query.

pub(crate) mod arithmetic;
mod bound;
mod call;
pub(crate) mod cast;
pub(crate) mod comparison;
mod compiler;
mod constant;
pub(crate) mod datetime;
mod like;
mod nested;
pub(crate) mod operation;
mod row_errors;

pub(crate) use bound::{Bound, bind};
pub(crate) use compiler::{Compiler, Names, Typed, column};
pub(crate) use constant::{coerce_lax, evaluate_constant};
pub use row_errors::RowErrors;
