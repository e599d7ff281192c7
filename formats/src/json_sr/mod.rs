//! JSON behind the id of its JSON Schema.
//!
//! ```text
//! text ─▶ Documents ─▶ Type ─▶ ConnectSchema                 infer
//!                       ├───▶ read plan ─▶ Column, row by row  JsonSrReader
//!                       └───▶ write plan ─▶ text, row by row   JsonSrWriter
//! columns ─▶ text                                            generate
//! Rust values ◀─▶ bytes                                      JsonSchemaSerde, through serde
//! ```
//!
//! Payloads are read by the schema that they name, with the coercions of Kafka Connect and not with those of
//! JSON. Reading order: [`document`] references, [`types`] what a schema means, [`read_plan`], [`read`],
//! [`write_plan`], [`write`], [`generate`], [`validate`].

mod document;
mod generate;
mod read;
mod read_plan;
mod typed;
mod types;
mod validate;
mod write;
mod write_plan;

pub(crate) use document::{Documents, Part};
pub(crate) use generate::generate;
pub(crate) use read::JsonSrReader;
pub use typed::JsonSchemaSerde;
pub(crate) use types::infer;
pub(crate) use validate::validator;
pub(crate) use write::JsonSrWriter;
