//! DELIMITED: one line of CSV, columns by position, no names.
//!
//! An empty field is NULL, so the empty string cannot be told from it. Quoting is that of Apache Commons
//! CSV's default format, which ksqlDB uses.

mod read;
mod write;

pub(crate) use read::DelimitedReader;
pub(crate) use write::write;
