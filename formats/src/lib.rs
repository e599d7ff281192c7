//! Bytes to Arrow columns and back, a batch at a time.
//!
//! ```text
//! payloads ─▶ Decoder ─▶ columns + null rows + row errors
//! columns  ─▶ Encoder ─▶ Payloads
//! ```
//!
//! A [`FormatSpec`] says how one side (key or value) of a topic is written. [`FormatSpec::check`] tells
//! whether a list of fields fits it, [`FormatSpec::decoder`] and [`FormatSpec::encoder`] prepare the two
//! directions once, and both then work batch after batch. A payload that cannot be read never stops a batch:
//! its row holds NULLs and a [`RowError`] says why.
//!
//! SQL types are Arrow types, one to one:
//!
//! | SQL | Arrow |
//! |---|---|
//! | BOOLEAN | Boolean |
//! | INT, BIGINT, DOUBLE | Int32, Int64, Float64 |
//! | DECIMAL(p, s) | Decimal128(p, s) up to 38 digits, Decimal256(p, s) up to 76 |
//! | STRING, BYTES | Utf8, Binary |
//! | TIME, DATE, TIMESTAMP | Time32(ms), Date32, Timestamp(ms, no zone) |
//! | ARRAY | List |
//! | MAP | Map (keys Utf8) |
//! | STRUCT | Struct |
//!
//! Reading order: [`Format`] the closed set, [`FormatSpec`] what fits where, [`Decoder`] and [`Encoder`] the
//! two directions. Inside: `column` grows one Arrow column and can undo half a row, then one module per
//! format. Not here: topics, and whose key or value it is; callers put that in front of a message.

mod avro;
mod base64_text;
mod cells;
mod column;
mod connect_schema;
mod decimal;
mod decoder;
mod delimited;
mod encoder;
mod error;
mod format;
mod java;
mod json;
mod json_sr;
mod kafka;
mod number;
mod payloads;
mod protobuf;
mod registry;
mod spec;
mod types;

pub use avro::AvroSerde;
pub use decimal::{DECIMAL_PRECISION_MAX, decimal_type};
pub use decoder::{Decoded, Decoder, RowError};
pub use encoder::Encoder;
pub use error::FormatError;
pub use format::Format;
pub use json_sr::JsonSchemaSerde;
pub use payloads::Payloads;
pub use protobuf::{ProtobufSerde, message_name_at, split_message_indexes};
pub use registry::compatibility::{self, Compatibility};
pub use registry::{
    Credentials, Deleted, EmbeddedRegistry, Mode, Reference, RegisteredSchema, Registration, RegistryAdmin,
    RegistryClient, RegistryClientConfig, RegistryError, RegistryServer, RegistryServerConfig,
    ResolvedSchema, SCHEMAS_TOPIC, Schema, SchemaRegistry, SchemaType, Scope, SerdeConfig, SubjectConfig,
    VersionSpec, split_header, write_header,
};
pub use spec::{FormatSpec, ProtobufNulls, Subject, parse_delimiter};
pub use types::type_name;
