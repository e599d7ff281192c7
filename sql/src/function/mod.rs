//! Functions: how they are declared, found by name and argument types, and called a batch at a time.
//!
//! ```text
//! ScalarFunction, AggregateFunction ─▶ FunctionRegistry ─▶ resolve(name, types) ─▶ ResolvedScalar::evaluate
//!                                                                              └─▶ ResolvedAggregate::accumulator
//! ```
//! The built-in functions in [`crate::functions`] are registered through this same interface.

mod aggregate;
mod call;
mod registry;
mod resolve;
mod scalar;
mod signature;

pub use aggregate::{Accumulator, AggregateArg, AggregateCall, AggregateFunction, ResolvedAggregate};
pub use call::{Call, Column};
pub use registry::{FunctionInfo, FunctionKind, FunctionRegistry};
pub use scalar::{ResolvedScalar, ScalarFunction};
pub use signature::{ArgType, Category, Parameter, Pattern, Signature};
