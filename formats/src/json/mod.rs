//! JSON: an object of named fields, or one bare value.
//!
//! ```text
//! payload ─▶ cursor ─▶ names (which column is this?) ─▶ value (by SQL type) ─▶ column
//! cells   ─▶ write  ─▶ text
//! ```
//! One pass over the bytes, no tree in between: [`cursor`] walks the text, [`names`] learns in which order
//! the names come and then finds a column by one comparison, [`value`] reads each text straight into its
//! column. Values of unknown names are checked and skipped. The coercions and their messages are those of
//! ksqlDB's JSON deserializer.

mod cursor;
mod escape;
mod fault;
mod names;
mod read;
mod text;
mod value;
mod write;

pub(crate) use read::JsonReader;
pub(crate) use write::JsonWriter;
