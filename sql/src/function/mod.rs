//! Functions: how they are declared, found by name and argument types, and called a batch at a time.
//!
//! ```text
//! ScalarFunction    ┐                                              ┌▶ ResolvedScalar::evaluate
//! AggregateFunction ├▶ FunctionRegistry ─▶ resolve(name, types) ───┼▶ ResolvedAggregate::accumulator
//! TableFunction     ┘                                              └▶ ResolvedTable::list, a row per item
//! ```
//! A function has one or more forms, each with a [`Signature`]; statements call it by name, and the types of the arguments
//! choose the form. A scalar or table function computes a whole batch at once from columns ([`Call`]); an aggregate is a
//! [`Fold`]: what it keeps per group, and what a row does to that. A row that cannot be computed is reported with
//! [`Call::fail`], becomes NULL and stops nothing.
//!
//! Functions of users go into the registry that the engine starts with:
//!
//! ```
//! use millstream_log::SystemClock;
//! use millstream_sql::SqlConfig;
//! use millstream_sql::function::{FunctionRegistry, ScalarFunction};
//!
//! let mut functions = FunctionRegistry::builtin(std::sync::Arc::new(SystemClock::default()));
//! functions.register_scalar(
//!     ScalarFunction::new("SHOUT", "The text in capitals, with a bang.").form("(STRING) -> STRING", |call| {
//!         let texts = call.strings(0);
//!         call.build_strings(|row, out| {
//!             out.push_str(&texts.get(row)?.to_uppercase());
//!             out.push('!');
//!             Some(())
//!         })
//!     }),
//! )?;
//! let config = SqlConfig::new("data/state").functions(functions);
//! # Ok::<(), millstream_sql::SqlError>(())
//! ```
//!
//! The built-in functions in [`crate::functions`] are registered through this same interface.

mod aggregate;
mod call;
pub(crate) mod fold;
mod lambda;
mod registry;
mod resolve;
mod scalar;
mod signature;
mod table;

pub use aggregate::{Accumulator, AggregateArg, AggregateCall, AggregateFunction, ResolvedAggregate};
pub use call::{Call, Column, text_of};
pub use fold::{Fold, put_bytes, take_bytes, take_exact};
pub use lambda::{Lambda, LambdaTypes};
pub use registry::{FunctionInfo, FunctionKind, FunctionRegistry};
pub use scalar::{ResolvedScalar, ScalarFunction};
pub use signature::{ArgType, Category, Parameter, Pattern, Signature};
pub use table::{ResolvedTable, TableFunction};
