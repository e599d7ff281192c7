//! Our registry and formats against the serializers and deserializers of confluent-kafka, in both directions, with fastavro
//! and the protobuf package as second opinions.
//!
//! The Python packages are installed once, beside what cargo builds, and so are Java's serializers where Maven has them.
//! Where that cannot be done, the tests say that they are skipped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod java;
#[path = "../../../log/tests/log/interop/maven.rs"]
mod maven;
mod peer;
mod python;
mod references;

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, Date32Array, Decimal128Array, Decimal256Array, Int32Builder, Int64Array, ListBuilder,
        MapBuilder, StringArray, StringBuilder, TimestampMillisecondArray,
    },
    datatypes::{DataType, Field, Fields, TimeUnit, i256},
    util::display::{ArrayFormatter, FormatOptions},
};
use millstream_formats::{
    EmbeddedRegistry, Format, FormatSpec, Payloads, RegistryClient, RegistryClientConfig, RegistryServer,
    RegistryServerConfig, Subject,
};
use peer::Peer;
use serde_json::{Value, json};

/// A registry on a port of its own, and a peer that speaks to it.
struct Bench {
    server: RegistryServer,
    peer: Peer,
}

impl Bench {
    /// `None`, said aloud, if Python is not to be had.
    fn new() -> Option<Self> {
        python::peer().map(Self::with)
    }

    /// The same for Java.
    fn with_java() -> Option<Self> {
        java::peer().map(Self::with)
    }

    fn with(peer: Peer) -> Self {
        let address = ([127, 0, 0, 1], 0).into();
        let config = RegistryServerConfig { address, ..RegistryServerConfig::default() };
        let server = RegistryServer::start(Arc::new(EmbeddedRegistry::new()), &config).unwrap();
        Self { server, peer }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    fn run(&self, command: &str, input: &Value) -> Value {
        self.peer.run(command, &self.url(), input)
    }

    /// A subject of ours, over the network like theirs.
    fn subject(&self, name: &str) -> Subject {
        let registry = RegistryClient::new(&RegistryClientConfig::new(&self.url())).unwrap();
        Subject { registry: Arc::new(registry), name: name.to_owned(), full_name: None, schema_id: None }
    }

    /// Rows that the peer wrote, as our decoder sees them.
    fn read(&self, command: &str, spec: FormatSpec, fields: &Fields) -> Vec<String> {
        let payloads = self.run(command, &Value::Null);
        let payloads: Vec<Vec<u8>> =
            payloads.as_array().unwrap().iter().map(|payload| from_hex(payload.as_str().unwrap())).collect();
        let payloads: Vec<Option<&[u8]>> = payloads.iter().map(|payload| Some(payload.as_slice())).collect();
        let subject = self.subject("orders-value");
        let decoded = spec.decoder(fields, None, Some(&subject)).unwrap().decode(&payloads);
        assert!(decoded.errors.is_empty(), "{:?}", decoded.errors);
        let options = FormatOptions::default().with_null("NULL");
        let show = |column: &ArrayRef, row| {
            ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string()
        };
        let rows = 0..payloads.len();
        rows.map(|row| {
            let cells: Vec<String> = decoded.columns.iter().map(|column| show(column, row)).collect();
            cells.join(" | ")
        })
        .collect()
    }

    /// What the peer reads of rows that we wrote.
    fn write(&self, command: &str, spec: FormatSpec, columns: &[(&str, ArrayRef)]) -> Value {
        let fields: Fields = columns
            .iter()
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
            .collect();
        let columns: Vec<ArrayRef> = columns.iter().map(|(_, column)| Arc::clone(column)).collect();
        let subject = self.subject("ours-value");
        let mut payloads = Payloads::new();
        let mut encoder = spec.encoder(&fields, Some(&subject)).unwrap();
        encoder.encode(&columns, columns[0].len(), None, &mut payloads).unwrap();
        assert_eq!(subject.registry.latest("ours-value").unwrap().version, 1);
        let payloads: Vec<String> = payloads.iter().map(|payload| to_hex(payload.unwrap())).collect();
        self.run(command, &json!(payloads))
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn map_field(value: DataType) -> DataType {
    let pair =
        Fields::from(vec![Field::new("keys", DataType::Utf8, false), Field::new("values", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false)
}

fn list_field(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn item() -> DataType {
    let fields = [Field::new("SKU", DataType::Utf8, true), Field::new("N", DataType::Int32, true)];
    DataType::Struct(fields.to_vec().into())
}

fn fields(columns: &[(&str, DataType)]) -> Fields {
    columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect()
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// Columns of two rows; in the second, all that may be NULL is.
fn tags() -> ArrayRef {
    let field = Field::new("item", DataType::Utf8, true);
    let mut tags = ListBuilder::new(StringBuilder::new()).with_field(field);
    tags.append_value([Some("a"), Some("ü")]);
    tags.append_value([None::<&str>; 0]);
    Arc::new(tags.finish())
}

fn attrs() -> ArrayRef {
    let mut attrs = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    attrs.keys().append_value("x");
    attrs.values().append_value(1);
    attrs.append(true).unwrap();
    attrs.append(true).unwrap();
    Arc::new(attrs.finish())
}

/// Columns that all three formats have, of two rows.
fn columns() -> [(&'static str, ArrayRef); 5] {
    [
        ("ID", Arc::new(Int64Array::from(vec![7, -1]))),
        ("NAME", Arc::new(StringArray::from(vec![Some("bo"), None]))),
        ("AT", Arc::new(TimestampMillisecondArray::from(vec![Some(1_000), None]))),
        ("TAGS", tags()),
        ("ATTRS", attrs()),
    ]
}

/// What others make of these rows where values are told as they are.
fn rows_as_json() -> Value {
    json!([
        {"ID": 7, "NAME": "bo", "AT": 1000, "TAGS": ["a", "ü"], "ATTRS": [{"key": "x", "value": 1}]},
        {"ID": -1, "NAME": null, "AT": null, "TAGS": [], "ATTRS": []},
    ])
}

/// The same as Protobuf's JSON: without what is not there.
fn rows_of_protobuf() -> Value {
    json!([
        {
            "ID": "7", "NAME": "bo", "AT": "1970-01-01T00:00:01Z", "TAGS": ["a", "ü"],
            "ATTRS": [{"key": "x", "value": 1}],
        },
        {"ID": "-1"},
    ])
}

#[test]
fn the_client_of_python_administers_our_registry() {
    let Some(bench) = Bench::new() else { return };
    assert_eq!(bench.run("registry", &Value::Null), json!("done"));
}

#[test]
fn avro_of_python_is_read() {
    let Some(bench) = Bench::new() else { return };
    let columns = fields(&[
        ("ID", DataType::Int64),
        ("NAME", DataType::Utf8),
        ("AMOUNT", DataType::Decimal128(6, 2)),
        ("TOTAL", DataType::Decimal256(60, 10)),
        ("AT", timestamp()),
        ("DAY", DataType::Date32),
        ("TAGS", list_field(DataType::Utf8)),
        ("ATTRS", map_field(DataType::Int32)),
        ("KIND", DataType::Utf8),
        ("ITEM", item()),
        ("NOTE", DataType::Utf8),
    ]);
    let rest = format!("12.50 | -{}.0123456789 | 1970-01-01T00:00:01 | 2021-01-31", "1234567890".repeat(5));
    assert_eq!(
        bench.read("avro_write", FormatSpec::value(Format::Avro), &columns),
        [
            format!("7 | bo | {rest} | [a, ü] | {{x: 1}} | B | {{SKU: s, N: 3}} | NULL"),
            format!("-1 | NULL | {rest} | [] | {{}} | B | {{SKU: s, N: 3}} | NULL"),
            format!("7 | bo | {rest} | [a, ü] | {{x: 1}} | B | {{SKU: s, N: 3}} | new"),
        ]
    );
}

#[test]
fn avro_of_fastavro_is_read() {
    let Some(bench) = Bench::new() else { return };
    let choice =
        [Field::new("INT", DataType::Int32, true), Field::new("STRING", DataType::Utf8, true)].to_vec();
    let columns = fields(&[
        ("FLAG", DataType::Boolean),
        ("SINGLE", DataType::Float64),
        ("WIDE", DataType::Float64),
        ("RAW", DataType::Binary),
        ("FIXED", DataType::Binary),
        ("AMOUNT", DataType::Decimal128(9, 2)),
        ("TIME", DataType::Time32(TimeUnit::Millisecond)),
        ("CHOICE", DataType::Struct(choice.into())),
        ("DEEP", list_field(map_field(item()))),
        ("MAYBE", DataType::Int64),
    ]);
    assert_eq!(
        bench.read("fastavro_write", FormatSpec::value(Format::Avro), &columns),
        [
            "true | 1.5 | 1e300 | 00ff | 010203 | -12.50 | 01:02:03.004 | {INT: -7, STRING: NULL} \
             | [{a: {SKU: s, N: 3}}, {}] | -9223372036854775808",
            "false | -0.25 | -0.0 |  | ffffff | 9999999.99 | 23:59:59.999 | {INT: NULL, STRING: ü} \
             | [] | NULL",
            "false | -0.25 | -0.0 |  | ffffff | 9999999.99 | 23:59:59.999 | NULL | [] | 0",
        ]
    );
}

#[test]
fn our_avro_is_read_by_python() {
    let Some(bench) = Bench::new() else { return };
    let amount = Decimal128Array::from(vec![Some(1250), None]).with_precision_and_scale(6, 2).unwrap();
    let digits = "1234567890".repeat(6);
    let total = Decimal256Array::from(vec![i256::from_string(&digits), None]);
    let columns: [(&str, ArrayRef); 8] = [
        ("ID", Arc::new(Int64Array::from(vec![7, -1]))),
        ("NAME", Arc::new(StringArray::from(vec![Some("bo"), None]))),
        ("AMOUNT", Arc::new(amount)),
        ("TOTAL", Arc::new(total.with_precision_and_scale(60, 10).unwrap())),
        ("AT", Arc::new(TimestampMillisecondArray::from(vec![Some(1_000), None]))),
        ("DAY", Arc::new(Date32Array::from(vec![Some(18_658), None]))),
        ("TAGS", tags()),
        ("ATTRS", attrs()),
    ];
    assert_eq!(
        bench.write("avro_read", FormatSpec::value(Format::Avro), &columns),
        json!({
            "rows": [
                {
                    "ID": 7, "NAME": "bo", "AMOUNT": "12.50",
                    "TOTAL": format!("{}.1234567890", "1234567890".repeat(5)), "AT": "1970-01-01 00:00:01+00:00",
                    "DAY": "2021-01-31", "TAGS": ["a", "ü"], "ATTRS": [{"key": "x", "value": 1}],
                },
                {
                    "ID": -1, "NAME": null, "AMOUNT": null, "TOTAL": null, "AT": null, "DAY": null, "TAGS": [], "ATTRS": [],
                },
            ],
            "evolved": {"ID": 7, "EXTRA": "none"},
        })
    );
}

#[test]
fn protobuf_of_python_is_read() {
    let Some(bench) = Bench::new() else { return };
    let columns = fields(&[
        ("ID", DataType::Int64),
        ("NAME", DataType::Utf8),
        ("TAGS", list_field(DataType::Utf8)),
        ("ATTRS", map_field(DataType::Int32)),
        ("AT", timestamp()),
        ("ITEM", item()),
        ("NOTE", DataType::Utf8),
    ]);
    let rest = "7 | bo | [a, ü] | {x: 1} | 1970-01-01T00:00:01 | {SKU: s, N: 3}";
    assert_eq!(
        bench.read("protobuf_write", FormatSpec::value(Format::Protobuf), &columns),
        [format!("{rest} | NULL"), format!("{rest} | new")]
    );
    let schema = bench.subject("orders-value").registry.latest("orders-value").unwrap().schema;
    assert!(schema.text.starts_with("syntax = \"proto3\";"), "a descriptor is kept as text: {}", schema.text);
    assert_eq!(schema.references.len(), 1);
}

#[test]
fn protobuf_of_its_own_package_is_read() {
    let Some(bench) = Bench::new() else { return };
    let columns = fields(&[
        ("INT32", DataType::Int32),
        ("SINT32", DataType::Int32),
        ("SFIXED32", DataType::Int32),
        ("UINT32", DataType::Int64),
        ("FIXED32", DataType::Int64),
        ("INT64", DataType::Int64),
        ("SINT64", DataType::Int64),
        ("SFIXED64", DataType::Int64),
        ("UINT64", DataType::Int64),
        ("FIXED64", DataType::Int64),
        ("FLOAT", DataType::Float64),
        ("DOUBLE", DataType::Float64),
        ("BOOL", DataType::Boolean),
        ("BYTES", DataType::Binary),
        ("KIND", DataType::Utf8),
        ("PACKED", list_field(DataType::Int32)),
        ("LOOSE", list_field(DataType::Int64)),
    ]);
    let (int, long) = ("-2147483648", "-9223372036854775808");
    let first = format!(
        "{int} | {int} | {int} | 4294967295 | 4294967295 | {long} | {long} | {long} | 9223372036854775807 \
         | 9223372036854775807 | 1.5 | 1e300 | true | 00ff | ONE"
    );
    let zeros = format!("{}0.0 | 0.0 | false |  | ZERO", "0 | ".repeat(10));
    assert_eq!(
        bench.read("protobuf_package_write", FormatSpec::value(Format::Protobuf), &columns),
        [
            format!("{first} | [1, -1] | [2, -2]"),
            format!("{zeros} | [] | []"),
            // Of two messages in a row the later fields count, and lists go on.
            format!("5{} | [1, -1, 3] | [2, -2]", first.strip_prefix(int).unwrap()),
        ]
    );
}

#[test]
fn our_protobuf_is_read_by_python() {
    let Some(bench) = Bench::new() else { return };
    assert_eq!(
        bench.write("protobuf_read", FormatSpec::value(Format::Protobuf), &columns()),
        rows_of_protobuf()
    );
}

#[test]
fn json_of_python_is_read() {
    let Some(bench) = Bench::new() else { return };
    let item = [Field::new("SKU", DataType::Utf8, true), Field::new("N", DataType::Int64, true)];
    let columns = fields(&[
        ("ID", DataType::Int64),
        ("NAME", DataType::Utf8),
        ("PRICE", DataType::Float64),
        ("TAGS", list_field(DataType::Utf8)),
        ("ATTRS", map_field(DataType::Int64)),
        ("ITEM", DataType::Struct(item.to_vec().into())),
        ("NOTE", DataType::Utf8),
    ]);
    let rest = "1.5 | [a, ü] | {x: 1} | {SKU: s, N: 3}";
    assert_eq!(
        bench.read("json_write", FormatSpec::value(Format::JsonSr), &columns),
        [
            format!("7 | bo | {rest} | NULL"),
            format!("7 | NULL | {rest} | NULL"),
            format!("7 | bo | {rest} | new"),
            format!("7 | NULL | {rest} | NULL"),
        ]
    );
}

#[test]
fn our_json_is_read_by_python() {
    let Some(bench) = Bench::new() else { return };
    assert_eq!(bench.write("json_read", FormatSpec::value(Format::JsonSr), &columns()), rows_as_json());
}
