//! Payloads for the typed serdes, behind whatever schema. `flags | schema | 0 | payload behind its header`, as for the
//! formats.

use std::{collections::BTreeMap, sync::Arc};

use millstream_formats::{
    AvroSerde, JsonSchemaSerde, ProtobufSerde, Schema, SchemaType, SerdeConfig, write_header,
};
use millstream_log::serde::Serde;
use serde::{Deserialize, Serialize};

use super::registry::Given;

/// A field of every kind that serde knows and schemas have.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Order {
    flag: bool,
    small: i32,
    id: i64,
    single: f32,
    price: f64,
    name: String,
    note: Option<String>,
    kind: Kind,
    tags: Vec<String>,
    attrs: BTreeMap<String, Option<i64>>,
    item: Item,
    items: Vec<Item>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
enum Kind {
    A,
    B,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Item {
    sku: String,
    inner: Option<Box<Item>>,
}

const AVRO: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "flag", "type": "boolean", "default": false},
    {"name": "small", "type": "int", "default": 0},
    {"name": "id", "type": "long"},
    {"name": "single", "type": "float", "default": 0},
    {"name": "price", "type": "double", "default": 0},
    {"name": "name", "type": "string", "default": ""},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"], "default": "A"}, "default": "A"},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    {"name": "attrs", "type": {"type": "map", "values": ["null", "long"]}, "default": {}},
    {"name": "item", "type": {"type": "record", "name": "Item", "fields": [
        {"name": "sku", "type": "string"}, {"name": "inner", "type": ["null", "Item"], "default": null}]},
     "default": {"sku": "", "inner": null}},
    {"name": "items", "type": {"type": "array", "items": "Item"}, "default": []}]}"#;

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(string, optional, tag = "2")]
    note: Option<String>,
    #[prost(sint32, repeated, tag = "3")]
    numbers: Vec<i32>,
    #[prost(btree_map = "string, message", tag = "4")]
    attrs: BTreeMap<String, Message>,
    #[prost(message, optional, boxed, tag = "5")]
    inner: Option<Box<Message>>,
    #[prost(oneof = "Choice", tags = "6, 7")]
    choice: Option<Choice>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Choice {
    #[prost(bytes, tag = "6")]
    Raw(Vec<u8>),
    #[prost(double, tag = "7")]
    Number(f64),
}

const PROTOBUF: &str = r#"syntax = "proto3";
    message Message {
        int64 id = 1;
        optional string note = 2;
        repeated sint32 numbers = 3;
        map<string, Message> attrs = 4;
        Message inner = 5;
        oneof choice { bytes raw = 6; double number = 7; }
    }"#;

/// Payloads of any schema are resolved to that of the orders.
pub fn avro_typed(data: &[u8]) -> bool {
    let Some((_, registry, payload)) = given(SchemaType::Avro, data) else { return false };
    let serde: AvroSerde<Order> = AvroSerde::value(registry, AVRO).expect("a valid schema");
    settles(&serde, &payload)
}

/// The payload begins with the indexes of its message. The schema says nothing here.
pub fn protobuf_typed(data: &[u8]) -> bool {
    let Some((_, registry, payload)) = given(SchemaType::Protobuf, data) else { return false };
    let serde: ProtobufSerde<Message> = ProtobufSerde::value(registry, PROTOBUF).expect("a valid schema");
    settles(&serde, &payload)
}

/// Bit 0 of the flags says whether documents are checked by the schema that they name.
pub fn json_typed(data: &[u8]) -> bool {
    let Some((flags, registry, payload)) = given(SchemaType::Json, data) else { return false };
    let check = if flags & 1 == 1 { "true" } else { "false" };
    let config = SerdeConfig::parse([("json.fail.invalid.schema", check)]).expect("a known setting");
    let serde: JsonSchemaSerde<Order> =
        JsonSchemaSerde::value(registry, "{}").expect("a valid schema").with_config(config);
    settles(&serde, &payload)
}

/// The flags, a registry that has the schema, and a payload that names it.
fn given(schema_type: SchemaType, data: &[u8]) -> Option<(u8, Arc<Given>, Vec<u8>)> {
    let (&flags, rest) = data.split_first()?;
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    let mut payload = Vec::new();
    write_header(1, &mut payload);
    payload.extend_from_slice(rest.get(end + 1..).unwrap_or_default());
    Some((flags, Arc::new(Given::new(Schema::new(schema_type, text))), payload))
}

/// A value that can be read is written, and is then the same whenever it is read and written again.
fn settles<T>(serde: &impl Serde<T>, payload: &[u8]) -> bool {
    let Ok(value) = serde.deserialize(payload) else { return false };
    let write = |value: &T| {
        let mut out = Vec::new();
        serde.serialize(value, &mut out).expect("every value of the type is one of its schema");
        out
    };
    let first = write(&value);
    let again = serde.deserialize(&first).expect("written just now");
    assert_eq!(write(&again), first);
    true
}
