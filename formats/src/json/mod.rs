//! JSON: an object of named fields, or one bare value.
//!
//! ```text
//! payload ─▶ jiter ─▶ names (which column is this?) ─▶ value (by SQL type) ─▶ column
//! cells   ─▶ write  ─▶ text
//! ```
//! One pass over the bytes, no tree in between: the crate `jiter` walks the text and checks its grammar,
//! [`names`] learns in which order the names come and then finds a column by one comparison, [`value`] reads
//! each value straight into its column. Values of unknown names are checked and skipped. The coercions and
//! their messages are those of ksqlDB's JSON deserializer. [`tree`] is for documents that are schemas.

mod entries;
mod escape;
mod fault;
mod names;
mod read;
mod surrogate;
mod text;
mod tree;
mod value;
mod write;

pub(crate) use entries::{read_distinct, read_members};
pub(crate) use escape::push_quoted;
pub(crate) use fault::{Fault, Step, What};
pub(crate) use names::Names;
pub(crate) use read::JsonReader;
pub(crate) use surrogate::replace_halves;
pub(crate) use tree::{DEPTH_MAX, Json};
pub(crate) use value::{mismatch, push_decimal};
pub(crate) use write::{JsonWriter, push_plain};
