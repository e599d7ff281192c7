//! Schemas that refer to others: what we register and write, the peer reads, and what it then writes by the same
//! schemas, our typed serdes read.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, ListArray, StringArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{Field, FieldRef, Fields},
};
use millstream_formats::{
    AvroSerde, Format, FormatSpec, JsonSchemaSerde, Payloads, ProtobufSerde, Reference, Schema, SchemaType,
    Subject,
};
use millstream_log::serde::Serde;
use protox::file::{File, FileResolver};
use serde_json::json;

use crate::{Bench, from_hex, to_hex};

#[derive(Clone, PartialEq, prost::Message, serde::Serialize, serde::Deserialize)]
struct Size {
    #[prost(int64, tag = "1")]
    cm: i64,
}

#[derive(Clone, PartialEq, prost::Message, serde::Serialize, serde::Deserialize)]
struct Item {
    #[prost(string, tag = "1")]
    sku: String,
    #[prost(message, optional, tag = "2")]
    size: Option<Size>,
}

#[derive(Clone, PartialEq, prost::Message, serde::Serialize, serde::Deserialize)]
struct Order {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(string, optional, tag = "2")]
    note: Option<String>,
    #[prost(message, optional, tag = "3")]
    item: Option<Item>,
    #[prost(message, repeated, tag = "4")]
    items: Vec<Item>,
}

fn order(id: i64, note: Option<&str>, item: (&str, i64), items: &[(&str, i64)]) -> Order {
    let built = |(sku, cm): (&str, i64)| Item { sku: sku.to_owned(), size: Some(Size { cm }) };
    let items = items.iter().copied().map(built).collect();
    Order { id, note: note.map(str::to_owned), item: Some(built(item)), items }
}

fn orders() -> Vec<Order> {
    vec![order(7, Some("bo"), ("s", 3), &[("ü", -1), ("", 0)]), order(-1, None, ("", 0), &[])]
}

/// The orders as columns.
fn columns() -> Vec<(FieldRef, ArrayRef)> {
    fn field(name: &str, column: &ArrayRef) -> FieldRef {
        Arc::new(Field::new(name, column.data_type().clone(), true))
    }
    fn column(name: &str, column: ArrayRef) -> (FieldRef, ArrayRef) {
        (field(name, &column), column)
    }
    fn items(items: &[&Item]) -> ArrayRef {
        let cm = items.iter().map(|item| item.size.as_ref().unwrap().cm);
        let cm: ArrayRef = Arc::new(Int64Array::from_iter_values(cm));
        let size: ArrayRef = Arc::new(StructArray::from(vec![column("cm", cm)]));
        let sku: ArrayRef = Arc::new(StringArray::from_iter_values(items.iter().map(|item| &item.sku)));
        Arc::new(StructArray::from(vec![column("sku", sku), column("size", size)]))
    }
    let orders = orders();
    let many = items(&orders.iter().flat_map(|order| &order.items).collect::<Vec<_>>());
    let lengths = OffsetBuffer::from_lengths(orders.iter().map(|order| order.items.len()));
    let notes: StringArray = orders.iter().map(|order| order.note.as_deref()).collect();
    vec![
        column("id", Arc::new(Int64Array::from_iter_values(orders.iter().map(|order| order.id)))),
        column("note", Arc::new(notes)),
        column("item", items(&orders.iter().filter_map(|order| order.item.as_ref()).collect::<Vec<_>>())),
        column("items", Arc::new(ListArray::new(field("item", &many), lengths, many, None))),
    ]
}

/// The schema of a text that refers to the last of `named`, which refers to the one before it. Those are registered
/// under the names by which they are called.
fn referring(bench: &Bench, schema_type: SchemaType, named: [(&str, &str); 2], text: &str) -> Schema {
    let registry = bench.subject("").registry;
    let mut references = Vec::new();
    for (name, text) in named {
        registry.register(name, &Schema { references, ..Schema::new(schema_type, text) }).unwrap();
        references = vec![Reference { name: name.to_owned(), subject: name.to_owned(), version: 1 }];
    }
    Schema { references, ..Schema::new(schema_type, text) }
}

/// The orders, written by a typed serde and by an encoder with the schema that it registered, and back.
fn exchange(
    bench: &Bench,
    command: &str,
    spec: FormatSpec,
    full_name: Option<&str>,
    serde: &dyn Serde<Order>,
) {
    let orders = orders();
    let typed: Vec<Vec<u8>> = orders
        .iter()
        .map(|order| {
            let mut bytes = Vec::new();
            serde.serialize_for("ours", &mut Vec::new(), order, &mut bytes).unwrap();
            bytes
        })
        .collect();

    let subject = bench.subject("ours-value");
    let latest = subject.registry.latest("ours-value").unwrap();
    assert_eq!(latest.schema.references.len(), 1, "{:?}", latest.schema);
    let full_name = full_name.map(str::to_owned);
    let subject = Subject { full_name, schema_id: Some(latest.id), ..subject };
    let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = columns().into_iter().unzip();
    let mut encoded = Payloads::new();
    let mut encoder = spec.encoder(&Fields::from(fields), Some(&subject)).unwrap();
    encoder.encode(&columns, orders.len(), None, &mut encoded).unwrap();

    let payloads: Vec<String> =
        typed.iter().map(Vec::as_slice).chain(encoded.iter().map(Option::unwrap)).map(to_hex).collect();
    let twice = [orders.clone(), orders].concat();
    let found = bench.run(command, &json!(payloads));
    assert_eq!(found["rows"], json!(twice));
    let back: Vec<Order> = found["payloads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|payload| serde.deserialize(&from_hex(payload.as_str().unwrap())).unwrap())
        .collect();
    assert_eq!(back, twice);
}

#[test]
fn avro_records_of_other_subjects_go_both_ways() {
    let Some(bench) = Bench::new() else { return };
    let size = r#"{"type":"record","name":"shop.Size","fields":[{"name":"cm","type":"long"}]}"#;
    let item = r#"{"type":"record","name":"shop.Item","fields":[
        {"name":"sku","type":"string"},{"name":"size","type":["null","shop.Size"]}]}"#;
    let order = r#"{"type":"record","name":"shop.Order","fields":[
        {"name":"id","type":"long"},{"name":"note","type":["null","string"]},
        {"name":"item","type":["null","shop.Item"]},{"name":"items","type":{"type":"array","items":"shop.Item"}}]}"#;
    let schema = referring(&bench, SchemaType::Avro, [("shop.Size", size), ("shop.Item", item)], order);
    let serde = AvroSerde::value_of(bench.subject("").registry, schema).unwrap();
    exchange(&bench, "avro_exchange", FormatSpec::value(Format::Avro), None, &serde);
}

/// The descriptors of files, as `protoc` writes them.
fn descriptors() -> Vec<u8> {
    struct Files;
    impl FileResolver for Files {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            let text = match name {
                "shop/size.proto" => "message Size { int64 cm = 1; }",
                "shop/item.proto" => {
                    "import \"shop/size.proto\"; message Item { string sku = 1; Size size = 2; }"
                }
                "shop/order.proto" => {
                    "import \"shop/item.proto\"; message Unused {} message Order { \
                     int64 id = 1; optional string note = 2; Item item = 3; repeated Item items = 4; }"
                }
                _ => return Err(protox::Error::file_not_found(name)),
            };
            File::from_source(name, &format!("syntax = \"proto3\"; package shop; {text}"))
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(Files);
    compiler.include_imports(true).open_file("shop/order.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

#[test]
fn protobuf_messages_of_other_files_go_both_ways() {
    let Some(bench) = Bench::new() else { return };
    let registry = bench.subject("").registry;
    let serde = ProtobufSerde::value_of_descriptors(registry, &descriptors(), "shop/order.proto").unwrap();
    let serde = serde.with_message("shop.Order").unwrap();
    exchange(&bench, "protobuf_exchange", FormatSpec::value(Format::Protobuf), Some("shop.Order"), &serde);
}

#[test]
fn json_schemas_of_other_subjects_go_both_ways() {
    let Some(bench) = Bench::new() else { return };
    let size = r#"{"title":"Size","type":"object","properties":{"cm":{"type":"integer"}}}"#;
    let item = r#"{"title":"Item","type":"object","properties":{
        "sku":{"type":"string"},"size":{"$ref":"size.json"}}}"#;
    let order = r#"{"title":"Order","type":"object","properties":{
        "id":{"type":"integer"},"note":{"oneOf":[{"type":"null"},{"type":"string"}]},
        "item":{"$ref":"item.json"},"items":{"type":"array","items":{"$ref":"item.json"}}}}"#;
    let schema = referring(&bench, SchemaType::Json, [("size.json", size), ("item.json", item)], order);
    let serde = JsonSchemaSerde::value_of(bench.subject("").registry, schema).unwrap();
    exchange(&bench, "json_exchange", FormatSpec::value(Format::JsonSr), None, &serde);
}
