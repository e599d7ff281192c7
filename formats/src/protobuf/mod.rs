//! Protobuf messages, with the id of their schema (PROTOBUF) or without (PROTOBUF_NOSR).
//!
//! ```text
//! PROTOBUF       0 · id (4 bytes) · message indexes · message
//! PROTOBUF_NOSR  message, of the schema that follows from the columns
//!
//! message indexes: number of indexes, then each, as zigzag varints: the path to the message among those of
//!                  its file. One zero byte stands for the first message.
//! ```
//!
//! Reading order: [`schema`] text to descriptors, [`shape`] what a field is to Connect, [`generate`] columns to
//! text, [`wire`] bytes, [`plan`] and [`read`] message to columns, [`write`] columns to message, [`typed`]
//! Rust's messages.

mod builtin;
mod generate;
mod imports;
mod plan;
mod print;
mod read;
mod scalar;
mod schema;
mod shape;
mod typed;
mod wire;
mod write;

pub(crate) use generate::generate;
pub(crate) use read::ProtobufReader;
pub use read::split_message_indexes;
pub use schema::message_name_at;
pub(crate) use schema::{Proto, text_of_descriptor};
pub(crate) use shape::{infer, message_name};
pub use typed::ProtobufSerde;
pub(crate) use write::ProtobufWriter;
