//! Avro binary behind the id of its schema.
//!
//! ```text
//! text ─▶ AvroSchema ─▶ ConnectSchema                     infer
//!             ├───────▶ read plan ─▶ Column, row by row    AvroReader
//!             └───────▶ write plan ─▶ bytes, by columns    AvroWriter
//! columns ─▶ text                                          generate
//! Rust values ◀─▶ bytes                                    AvroSerde, through the Avro library
//! ```
//!
//! A plan is made once per schema and list of columns; running it looks up nothing. Reading order: [`schema`],
//! [`connect`], [`input`], [`read_plan`], [`read`], [`write_plan`], [`write_columns`],
//! [`write`], [`generate`].

mod connect;
mod default;
mod fault;
mod generate;
mod input;
mod read;
mod read_plan;
mod schema;
mod skip;
mod typed;
mod write;
mod write_columns;
mod write_plan;

pub(crate) use connect::{infer, record_name};
pub(crate) use generate::generate;
pub(crate) use read::AvroReader;
pub use typed::AvroSerde;
pub(crate) use write::AvroWriter;
