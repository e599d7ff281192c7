//! Functions that are passed to functions.

use std::fmt;

use arrow::array::{ArrayRef, UInt32Array};

use crate::error::SqlError;
use crate::types::SqlType;

/// Finds the type that the lambda at a position among the arguments returns, given the types of its parameters.
pub type LambdaTypes<'a> = &'a mut dyn FnMut(usize, &[SqlType]) -> Result<SqlType, SqlError>;

/// A lambda, as the function that it is passed to sees it.
pub trait Lambda: fmt::Debug {
    /// Applies it to every set of parameters: one column per parameter, one result per value.
    ///
    /// `rows` says to which row of the call each set belongs, for a lambda may also read columns of that row.
    fn apply(&self, parameters: &[ArrayRef], rows: &UInt32Array) -> Result<ArrayRef, SqlError>;
}
