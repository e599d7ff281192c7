//! SQL: parse, analyse, plan, run.

pub mod ast;
pub mod error;
mod lexer;
pub mod parser;
pub mod types;

pub use error::SqlError;
pub use types::SqlType;
