//! SQL: parse, analyse, plan, run.

pub mod analysis;
pub mod ast;
pub mod catalogue;
pub mod columnar;
pub mod error;
pub mod expression;
pub mod function;
mod functions;
mod lexer;
mod operator;
pub mod parser;
mod plan;
mod topology;
pub mod types;
mod with;

pub use error::SqlError;
pub use types::SqlType;
