//! PROTOBUF and PROTOBUF_NOSR: the text of schemas, inference, bytes by hand, and prost-reflect as a second
//! opinion.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, Field, Fields},
};
use millstream_formats::{
    EmbeddedRegistry, Format, FormatSpec, Payloads, ProtobufNulls, Reference, ResolvedSchema, Schema,
    SchemaRegistry, SchemaType, Subject, type_name,
};
use proptest::{collection::vec, prelude::*};
use prost::Message;
use prost_reflect::DynamicMessage;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::{
    array_of, fields, map_of,
    round_trip::{any_type, table},
    show, struct_of, time, timestamp,
};

const NOSR: FormatSpec = FormatSpec::new(Format::ProtobufNosr, true);
const REGISTERED: FormatSpec =
    FormatSpec { unwrap_primitives: true, ..FormatSpec::new(Format::Protobuf, true) };

fn nulls(nulls: ProtobufNulls) -> FormatSpec {
    FormatSpec { nulls, ..NOSR }
}

fn proto(text: &str) -> Schema {
    Schema::new(SchemaType::Protobuf, text)
}

/// A registry that holds one schema, with the id 1.
fn subject(text: &str) -> Subject {
    let registry = Arc::new(EmbeddedRegistry::new());
    registry.register("t-value", &proto(text)).expect("an empty registry");
    Subject { registry, name: "t-value".into(), full_name: None, schema_id: None }
}

fn generated(spec: &FormatSpec, fields: &Fields, full_name: Option<&str>) -> String {
    match spec.generate_schema(fields, full_name) {
        Ok(schema) => schema.expect("Protobuf has schemas").text,
        Err(error) => error.to_string(),
    }
}

#[test]
fn columns_become_the_text_that_confluents_converter_prints() {
    let columns = fields(&[
        ("ID", DataType::Int64),
        ("D", DataType::Decimal128(4, 2)),
        ("TS", timestamp()),
        ("A", array_of(DataType::Utf8)),
        ("M", map_of(DataType::Int32)),
        ("S", struct_of(&[("F1", DataType::Int32), ("F2", struct_of(&[("X", DataType::Binary)]))])),
        ("L", array_of(struct_of(&[("DAY", DataType::Date32), ("AT", time())]))),
    ]);
    let message = |label: &str, int64: &str, int32: &str, bytes: &str, string: &str| {
        format!(
            r#"message ConnectDefault1 {{
  {label}{int64} ID = 1;
  {label}confluent.type.Decimal D = 2 [(confluent.field_meta) = {{
    params: [
      {{
        value: "4",
        key: "precision"
      }},
      {{
        value: "2",
        key: "scale"
      }}
    ]
  }}];
  {label}google.protobuf.Timestamp TS = 3;
  repeated {string} A = 4;
  repeated ConnectDefault2Entry M = 5;
  {label}ConnectDefault3 S = 6;
  repeated ConnectDefault5 L = 7;

  message ConnectDefault2Entry {{
    {label}{string} key = 1;
    {label}{int32} value = 2;
  }}
  message ConnectDefault3 {{
    {label}{int32} F1 = 1;
    {label}ConnectDefault4 F2 = 2;

    message ConnectDefault4 {{
      {label}{bytes} X = 1;
    }}
  }}
  message ConnectDefault5 {{
    {label}google.type.Date DAY = 1;
    {label}google.type.TimeOfDay AT = 2;
  }}
}}
"#
        )
    };
    let head = |first: &str, last: &str| {
        format!(
            "syntax = \"proto3\";\n\n{first}import \"confluent/type/decimal.proto\";\n\
             import \"google/protobuf/timestamp.proto\";\n{last}import \"google/type/date.proto\";\n\
             import \"google/type/timeofday.proto\";\n\n"
        )
    };
    let wrappers = "import \"google/protobuf/wrappers.proto\";\n";
    for (null, head, message) in [
        (ProtobufNulls::Absent, head("", ""), message("", "int64", "int32", "bytes", "string")),
        (ProtobufNulls::Optional, head("", ""), message("optional ", "int64", "int32", "bytes", "string")),
        (
            ProtobufNulls::Wrapper,
            head(wrappers, ""),
            message(
                "",
                "google.protobuf.Int64Value",
                "google.protobuf.Int32Value",
                "google.protobuf.BytesValue",
                "google.protobuf.StringValue",
            ),
        ),
    ] {
        assert_eq!(generated(&nulls(null), &columns, None), head + &message, "{null:?}");
    }
}

#[test]
fn names_come_from_the_full_name_and_must_be_names() {
    let one = |name: &str, data_type: DataType| fields(&[(name, data_type)]);
    let nested = struct_of(&[("V1", DataType::Utf8)]);
    for (columns, full_name, expected) in [
        (
            one("V", nested.clone()),
            Some("io.test.value"),
            "syntax = \"proto3\";\npackage io.test;\n\nmessage value {\n  ConnectDefault1 V = 1;\n\n  \
             message ConnectDefault1 {\n    string V1 = 1;\n  }\n}\n",
        ),
        (
            one("ConnectDefault2", nested),
            None,
            "syntax = \"proto3\";\n\nmessage ConnectDefault1 {\n  ConnectDefault2Message ConnectDefault2 = 1;\n\n  \
             message ConnectDefault2Message {\n    string V1 = 1;\n  }\n}\n",
        ),
        (Fields::empty(), Some("E"), "syntax = \"proto3\";\n\nmessage E {}\n"),
        (one("V", array_of(array_of(DataType::Int32))), None, "Array cannot be nested"),
        (one("V", array_of(map_of(DataType::Int32))), None, "Map cannot be nested in an array"),
        (
            one("my col", DataType::Int32),
            None,
            "Schema is not compatible with Protobuf: the column 'my col' may only have ASCII letters, digits and \
             underscores, and must not begin with a digit",
        ),
        (
            one("V", DataType::Int32),
            Some("a..b"),
            "Schema is not compatible with Protobuf: the name '' may only have ASCII letters, digits and \
             underscores, and must not begin with a digit",
        ),
    ] {
        assert_eq!(generated(&NOSR, &columns, full_name), expected);
    }
}

fn inferred(spec: &FormatSpec, text: &str, full_name: Option<&str>) -> String {
    let schema = ResolvedSchema { schema: proto(text), references: Vec::new() };
    match spec.infer(&schema, full_name, "ROWVAL") {
        Ok(fields) => type_name(&DataType::Struct(fields)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn schemas_become_columns() {
    let plain = FormatSpec { unwrap_primitives: false, ..REGISTERED };
    for (spec, body, expected) in [
        (
            REGISTERED,
            "int32 a=1; sint32 b=2; sfixed32 c=3; uint32 d=4; fixed32 e=5; int64 f=6; uint64 g=7; fixed64 h=8;",
            "`a` INTEGER, `b` INTEGER, `c` INTEGER, `d` BIGINT, `e` BIGINT, `f` BIGINT, `g` BIGINT, `h` BIGINT",
        ),
        (
            REGISTERED,
            "bool a=1; float b=2; double c=3; string d=4; bytes e=5; E f=6; enum E {ZERO=0;}",
            "`a` BOOLEAN, `b` DOUBLE, `c` DOUBLE, `d` STRING, `e` BYTES, `f` STRING",
        ),
        (
            REGISTERED,
            "repeated string a=1; map<int32, bool> b=2; map<string, M> c=3; repeated PairEntry d=4; \
             message PairEntry {string key=1; int64 value=2;}",
            "`a` ARRAY<STRING>, `b` MAP<STRING, BOOLEAN>, `c` MAP<STRING, STRUCT<`c` INTEGER>>, \
             `d` MAP<STRING, BIGINT>",
        ),
        (
            REGISTERED,
            "google.protobuf.Timestamp a=1; google.type.Date b=2; google.type.TimeOfDay c=3;",
            "`a` TIMESTAMP, `b` DATE, `c` TIME",
        ),
        (
            REGISTERED,
            "confluent.type.Decimal a=1 [(confluent.field_meta) = {params: [{key: \"precision\", value: \"4\"}, \
             {key: \"scale\", value: \"2\"}]}]; confluent.type.Decimal b=2;",
            "`a` DECIMAL(4, 2), `b` DECIMAL(64, 0)",
        ),
        (
            REGISTERED,
            "int32 z=9; google.protobuf.Int32Value a=1; google.protobuf.UInt32Value b=2; google.protobuf.StringValue c=3;",
            "`z` INTEGER, `a` INTEGER, `b` BIGINT, `c` STRING",
        ),
        (plain, "google.protobuf.Int32Value a=1;", "`a` STRUCT<`value` INTEGER>"),
        // A oneof is a struct in front; what is `optional` is not one.
        (
            REGISTERED,
            "int32 a=1; optional int32 b=2; oneof pick {string c=3; M d=4;}",
            "`pick_0` STRUCT<`c` STRING, `d` STRUCT<`c` INTEGER>>, `a` INTEGER, `b` INTEGER",
        ),
        // What leads back to itself has no type, and what has no type is left out.
        (REGISTERED, "int32 a=1; T again=2; repeated T more=3;", "`a` INTEGER"),
        (REGISTERED, "T again=1;", "!Schema does not include any columns with types that ksqlDB supports."),
        (
            REGISTERED,
            "int32 a=1 [(confluent.field_meta) = {params: [{key: \"connect.type\", value: \"int8\"}]}];",
            "`a` INTEGER",
        ),
    ] {
        let text = format!(
            "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; import \"google/type/date.proto\"; \
             import \"google/type/timeofday.proto\"; import \"confluent/type/decimal.proto\"; \
             import \"google/protobuf/wrappers.proto\"; message T {{ {body} }} message M {{int32 c=1;}}"
        );
        let found = inferred(&spec, &text, Some("T"));
        let expected =
            expected.strip_prefix('!').map_or_else(|| format!("STRUCT<{expected}>"), str::to_owned);
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn a_message_is_picked_by_its_name() {
    let two = "syntax = \"proto3\"; package p; message A {int32 a=1; message C {int32 c=1;}} message B {int32 b=1;}";
    for (text, name, expected) in [
        (two, Some("B"), "STRUCT<`b` INTEGER>"),
        (two, Some("p.B"), "STRUCT<`b` INTEGER>"),
        (two, Some("p.A.C"), "STRUCT<`c` INTEGER>"),
        (two, Some("D"), "the schema does not define a message 'D': it defines p.A, p.B"),
        (
            two,
            None,
            "The schema has multiple schema definitions.\n\n- p.A\n- p.B\n\nPlease specify a schema full name in the \
             WITH clause using KEY_SCHEMA_FULL_NAME or VALUE_SCHEMA_FULL_NAME",
        ),
        ("syntax = \"proto3\"; message A {int32 a=1;} enum E {X=0;}", None, "STRUCT<`a` INTEGER>"),
        ("syntax = \"proto3\";", None, "the schema defines no message"),
    ] {
        assert_eq!(inferred(&REGISTERED, text, name), expected, "{name:?} in {text}");
    }
}

#[test]
fn schemas_refer_to_others_and_may_be_descriptors() {
    let registry = EmbeddedRegistry::new();
    let event = proto("syntax = \"proto3\"; message Event {int64 timestamp = 1;}");
    registry.register("event", &event).expect("an empty registry");
    let reference = Reference { name: "event.proto".into(), subject: "event".into(), version: 1 };
    let text = "syntax = \"proto3\"; import \"event.proto\"; message Logistics {Event event = 1;}";
    let schema = Schema { references: vec![reference], ..proto(text) };
    let resolved = registry.resolve(&schema).expect("the reference is registered");
    let fields = REGISTERED.infer(&resolved, None, "").expect("one message");
    assert_eq!(type_name(&DataType::Struct(fields)), "STRUCT<`event` STRUCT<`timestamp` BIGINT>>");

    // As Python's serializer registers a file: its descriptor in base64.
    let file =
        File::from_source("other.proto", text).expect("a valid file").file_descriptor_proto().encode_to_vec();
    let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, file);
    let resolved = ResolvedSchema { schema: proto(&text), ..resolved };
    let fields = REGISTERED.infer(&resolved, None, "").expect("one message");
    assert_eq!(type_name(&DataType::Struct(fields)), "STRUCT<`event` STRUCT<`timestamp` BIGINT>>");
}

#[test]
fn bad_schemas_are_refused() {
    let deep = format!("syntax = \"proto3\"; option (x) = {}1{};", "{ a: ".repeat(5000), "}".repeat(5000));
    let nested = format!("syntax = \"proto3\"; {} {}", "message A {".repeat(60), "}".repeat(60));
    let wide: String = (0..40)
        .map(|n| format!("message M{n} {{M{m} a=1; M{m} b=2; int32 c=3;}}\n", m = n + 1))
        .chain(["message M40 {int32 a=1;}".into()])
        .collect();
    let wide = format!("syntax = \"proto3\"; {wide}");
    for (text, name, expected) in [
        ("message", None, "Invalid schema"),
        ("syntax = \"proto3\"; import \"none.proto\"; message A {}", None, "none.proto"),
        ("syntax = \"proto3\"; import \":schema\"; message A {}", None, "import"),
        ("syntax = \"proto3\"; message A {B b = 1;}", None, "B"),
        (&deep, None, "nested deeper than 100"),
        (&nested, None, "Invalid schema"),
        (&wide, Some("M0"), "more than 20000 fields"),
    ] {
        let message = inferred(&REGISTERED, text, name);
        assert!(message.contains(expected), "{message}");
    }
    let other = ResolvedSchema { schema: Schema::new(SchemaType::Avro, "\"int\""), references: Vec::new() };
    let message = REGISTERED.infer(&other, None, "").expect_err("another language").to_string();
    assert_eq!(message, "expected a PROTOBUF schema, found one of type AVRO");
}

/// Reads `hex` behind the header of schema 1 and shows the row, or the message of its error.
fn read(text: &str, columns: &Fields, hex: &str) -> String {
    let bytes: Vec<u8> = hex
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("bytes in hexadecimal"))
        .collect();
    let payload = [&[0, 0, 0, 0, 1][..], &bytes].concat();
    let mut decoder = REGISTERED.decoder(columns, None, Some(&subject(text))).expect("the columns fit");
    let decoded = decoder.decode(&[Some(&payload)]);
    match decoded.errors.first() {
        Some(error) => error.message.clone(),
        None => decoded.columns.iter().map(|column| show(column, 0)).collect::<Vec<_>>().join(" | "),
    }
}

#[test]
fn bytes_become_cells() {
    let t = |body: &str| {
        format!("syntax = \"proto3\"; import \"google/protobuf/wrappers.proto\"; message T {{ {body} }}")
    };
    let two = "syntax = \"proto3\"; message A {int32 a=1; message N {} message C {int32 c=1;}} message B {int32 b=1;}";
    let old = "syntax = \"proto2\"; message T {optional int32 a=1 [default=-7]; optional string b=2 [default=\"x\"]; \
               optional E c=3; repeated E d=4; enum E {ONE=1; TWO=2;} optional sint32 e=5 [default=-2];}";
    let all = [
        ("A", DataType::Int32),
        ("B", DataType::Utf8),
        ("C", DataType::Utf8),
        ("D", array_of(DataType::Utf8)),
    ];
    let strings = |columns: &str| -> Fields {
        columns.split(' ').map(|name| Field::new(name, DataType::Utf8, true)).collect()
    };
    for (text, columns, hex, expected) in [
        // The header: 0 is the first message, else the path, as zigzag numbers.
        (two.to_owned(), fields(&[("A", DataType::Int32)]), "00 08 05", "5"),
        (two.to_owned(), fields(&[("A", DataType::Int32)]), "02 00 08 05", "5"),
        (two.to_owned(), fields(&[("B", DataType::Int32)]), "02 02 08 05", "5"),
        (two.to_owned(), fields(&[("C", DataType::Int32)]), "04 00 02 08 05", "5"),
        (
            two.to_owned(),
            fields(&[("C", DataType::Int32)]),
            "02 04 08 05",
            "schema 1 has no message at the indexes [2]",
        ),
        (
            two.to_owned(),
            fields(&[("C", DataType::Int32)]),
            "01",
            "the message indexes behind the schema id are out of range",
        ),
        (
            two.to_owned(),
            fields(&[("C", DataType::Int32)]),
            "",
            "malformed Protobuf message: it ends inside a field",
        ),
        // Absent fields: zero, or NULL where the schema can tell; unknown ones are skipped, groups too.
        (
            t(
                "int32 a=1; string b=2; optional int32 c=3; google.protobuf.StringValue d=4; repeated int32 e=5; M f=6; \
               map<string,int32> g=7; message M {int32 x=1;}",
            ),
            fields(&[
                ("A", DataType::Int32),
                ("B", DataType::Utf8),
                ("C", DataType::Int32),
                ("D", DataType::Utf8),
                ("E", array_of(DataType::Int32)),
                ("F", struct_of(&[("X", DataType::Int32)])),
                ("G", map_of(DataType::Int32)),
                ("H", DataType::Int32),
            ]),
            "00",
            "0 |  | NULL | NULL | [] | NULL | {} | NULL",
        ),
        (
            t("optional int32 c=3; google.protobuf.StringValue d=4; M f=6; message M {int32 x=1;}"),
            fields(&[
                ("C", DataType::Int32),
                ("D", DataType::Utf8),
                ("F", struct_of(&[("X", DataType::Int32)])),
            ]),
            "00 22 00 18 00 32 00 9b 06 08 01 a3 06 a4 06 9c 06 a1 06 01 02 03 04 05 06 07 08 9d 06 01 02 03 04",
            "0 |  | {X: 0}",
        ),
        // Integers of every encoding, as text.
        (
            t(
                "int32 a=1; uint32 b=2; sint32 c=3; fixed32 d=4; sfixed32 e=5; int64 f=6; uint64 g=7; sint64 h=8;",
            ),
            strings("A B C D E F G H"),
            "00 08 ff ff ff ff ff ff ff ff ff 01 10 ff ff ff ff 0f 18 03 25 ff ff ff ff 2d fe ff ff ff 30 96 01 \
             38 ff ff ff ff ff ff ff ff ff 01 40 01",
            "-1 | 4294967295 | -2 | 4294967295 | -2 | 150 | -1 | -1",
        ),
        (
            t("float a=1; double b=2; bool c=3; bool d=4; E e=5; E f=6; enum E {ZERO=0; ONE=1;}"),
            strings("A B C D E F"),
            "00 0d cd cc 8c 3f 11 00 00 00 00 00 00 f8 3f 18 02 28 01 30 07",
            "1.1 | 1.5 | true | false | ONE | UNKNOWN_ENUM_VALUE_E_7",
        ),
        // Wrong wire types are unknown fields.
        (t("int32 a=1;"), fields(&[("A", DataType::Int32)]), "00 0a 01 05 0d 01 00 00 00", "0"),
        // The last one counts; messages are merged; lists are appended, packed or not.
        (t("int32 a=1;"), fields(&[("A", DataType::Int32)]), "00 08 01 08 02", "2"),
        (
            t("M a=1; message M {int32 x=1; int32 y=2; repeated int32 z=3; M m=4;}"),
            fields(&[(
                "A",
                struct_of(&[
                    ("X", DataType::Int32),
                    ("Y", DataType::Int32),
                    ("Z", array_of(DataType::Int32)),
                    ("M", struct_of(&[("X", DataType::Int32), ("Y", DataType::Int32)])),
                ]),
            )]),
            "00 0a 0c 08 01 10 02 1a 02 03 04 22 02 08 09 0a 0a 08 05 18 06 18 07 22 02 10 0a 0a 02 18 08",
            "{X: 5, Y: 2, Z: [3, 4, 6, 7, 8], M: {X: 9, Y: 10}}",
        ),
        // Maps: of repeated keys the last counts, and what is missing is zero.
        (
            t("map<int32, string> a=1;"),
            fields(&[("A", map_of(DataType::Utf8))]),
            "00 0a 05 08 01 12 01 61 0a 00 0a 05 08 01 12 01 62",
            "{0: , 1: b}",
        ),
        // Of a oneof only the last field is set.
        (
            t("oneof o {int32 a=1; string b=2; M c=3;} message M {int32 x=1; int32 y=2;}"),
            fields(&[(
                "O_0",
                struct_of(&[
                    ("A", DataType::Int32),
                    ("B", DataType::Utf8),
                    ("C", struct_of(&[("X", DataType::Int32), ("Y", DataType::Int32)])),
                ]),
            )]),
            "00 08 05 1a 02 08 01 1a 02 10 02",
            "{A: NULL, B: NULL, C: {X: 1, Y: 2}}",
        ),
        (
            t("oneof o {int32 a=1; string b=2;}"),
            fields(&[("O_0", struct_of(&[("A", DataType::Int32)]))]),
            "00 08 05 12 01 61",
            "{A: NULL}",
        ),
        (t("oneof o {int32 a=1;}"), fields(&[("O_0", struct_of(&[("A", DataType::Int32)]))]), "00", "NULL"),
        // proto2: declared defaults, and numbers that are no symbols do not count.
        (
            old.to_owned(),
            fields(&[&all[..], &[("E", DataType::Int32)]].concat()),
            "00 18 02 18 09 20 01 20 05 22 02 02 07",
            "-7 | x | TWO | [ONE, TWO] | -2",
        ),
        (old.to_owned(), fields(&all), "00 18 09", "-7 | x | ONE | []"),
        // Names match exactly or in upper case, and of several fields the last counts.
        (t("int32 id=1; int32 ID=2;"), fields(&[("ID", DataType::Int32)]), "00 08 01 10 02", "2"),
        // Types that do not feed the column.
        (
            t("int64 a=1;"),
            fields(&[("A", DataType::Int32)]),
            "00",
            "Cannot deserialize type int64 as type int32 for path: ->A",
        ),
        (
            t("map<string, M> a=1; message M {repeated string x=1;}"),
            fields(&[("A", map_of(struct_of(&[("X", array_of(DataType::Int32))])))]),
            "00",
            "Cannot deserialize type string as type int32 for path: ->A->MAP_VAL->X->ARRAY",
        ),
        (
            t("int32 a=1;"),
            fields(&[("A", struct_of(&[("X", DataType::Int32)]))]),
            "00",
            "Cannot deserialize type int32 as type struct for path: ->A",
        ),
        // Damage.
        (t("string a=1;"), strings("A"), "00 0a 05 61", "malformed Protobuf message: it ends inside a field"),
        (
            t("string a=1;"),
            strings("A"),
            "00 0a ff ff ff ff 0f 61",
            "malformed Protobuf message: it ends inside a field",
        ),
        (t("string a=1;"), strings("A"), "00 0a 01 ff", "malformed Protobuf message: a string is not UTF-8"),
        (
            t("int32 a=1;"),
            strings("A"),
            "00 08 ff ff ff ff ff ff ff ff ff ff 01",
            "malformed Protobuf message: a varint has more than ten bytes",
        ),
        (
            t("int32 a=1;"),
            strings("A"),
            "00 00",
            "malformed Protobuf message: a tag has no valid field number and wire type",
        ),
        (
            t("int32 a=1;"),
            strings("A"),
            "00 0f",
            "malformed Protobuf message: a tag has no valid field number and wire type",
        ),
        (
            t("int32 a=1;"),
            strings("A"),
            "00 13 0c",
            "malformed Protobuf message: a group does not end, or has no begin, or is nested too deep",
        ),
    ] {
        assert_eq!(read(&text, &columns, hex), expected, "{hex} as {text}");
    }
}

#[test]
fn deep_groups_are_refused() {
    let groups = |depth: usize| format!("00 {} {}", "13 ".repeat(depth), "14 ".repeat(depth));
    let text = "syntax = \"proto3\"; message T {int32 a=1;}";
    let columns = fields(&[("A", DataType::Int32)]);
    assert_eq!(read(text, &columns, &groups(100)), "0");
    assert!(read(text, &columns, &groups(101)).contains("nested too deep"));
}

#[test]
fn logical_types_become_cells() {
    let text = "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; import \"google/type/date.proto\"; \
                import \"google/type/timeofday.proto\"; import \"confluent/type/decimal.proto\"; message T { \
                google.protobuf.Timestamp ts=1; google.type.Date d=2; google.type.TimeOfDay t=3; \
                confluent.type.Decimal n=4;}";
    let columns = fields(&[
        ("TS", timestamp()),
        ("D", DataType::Date32),
        ("T", time()),
        ("N", DataType::Decimal128(4, 2)),
    ]);
    for (hex, expected) in [
        ("00", "NULL | NULL | NULL | NULL"),
        (
            // 1 s and 5 ms; 2024-02-29; 13:02:03.004; 1250 with two places.
            "00 0a 07 08 01 10 c0 96 b1 02 12 07 08 e8 0f 10 02 18 1d 1a 0b 08 0d 10 02 18 03 20 80 92 f4 01 \
             22 08 0a 02 04 e2 10 04 18 02",
            "1970-01-01T00:00:01.005 | 2024-02-29 | 13:02:03.004 | 12.50",
        ),
        // The scale of the value is brought to that of the column.
        ("00 22 03 0a 01 0c", "NULL | NULL | NULL | 12.00"),
        ("00 22 05 0a 01 fb 18 01", "NULL | NULL | NULL | -0.50"),
        (
            "00 22 06 0a 02 30 39 18 03",
            "Cannot fit decimal '12.345' into DECIMAL(4, 2) without rounding. (Requires 5,3)",
        ),
        (
            "00 22 08 0a 01 01 18 ff ff ff 07",
            "Cannot fit decimal '1e-16777215' into DECIMAL(4, 2) without rounding. (Requires 1,16777215)",
        ),
        // Zero has any scale.
        ("00 22 0b 18 80 80 80 80 f8 ff ff ff ff 01", "NULL | NULL | NULL | 0.00"),
        (
            "00 22 13 0a 11 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
            "Cannot fit decimal '340282366920938463463374607431768211456' into DECIMAL(4, 2) without rounding. \
             (Requires 39,0)",
        ),
        (
            "00 22 23 0a 21 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 \
             00 00 00 00 00 00",
            "Cannot fit a decimal of 33 bytes into DECIMAL(4, 2)",
        ),
        ("00 12 00", "0-0-0 is not a date"),
        (
            "00 1a 02 08 18",
            "Time values must use number of milliseconds greater than 0 and less than 86400000, got 86400000",
        ),
        ("00 0a 0a 08 ff ff ff ff ff ff ff ff 7f", "a timestamp is out of range"),
    ] {
        assert_eq!(read(text, &columns, hex), expected, "{hex}");
    }
}

#[test]
fn payloads_without_a_known_schema_are_row_errors() {
    let columns = fields(&[("A", DataType::Int32)]);
    let subject = subject("syntax = \"proto3\"; message T {int32 a=1;}");
    let mut decoder = REGISTERED.decoder(&columns, None, Some(&subject)).expect("the columns fit");
    let good: &[u8] = &[0, 0, 0, 0, 1, 0, 8, 7];
    let payloads: [&[u8]; 5] = [good, b"{}", &[0, 0, 0, 0, 9, 0, 8, 7], b"", good];
    let decoded = decoder.decode(&payloads.map(Some));
    assert_eq!((show(&decoded.columns[0], 0), show(&decoded.columns[0], 4)), ("7".into(), "7".into()));
    let errors: Vec<_> = decoded.errors.iter().map(|error| (error.row, error.message.as_str())).collect();
    let magic = "Unknown magic byte! A PROTOBUF message begins with a zero byte and the id of its schema";
    let unknown = "Error retrieving Protobuf schema for id 9: Schema 9 not found; error code: 40403";
    assert_eq!(errors, [(1, magic), (2, unknown), (3, magic)]);
    // Many that do not exist do not make many questions.
    let strange: Vec<Vec<u8>> = (100..200u8).map(|id| vec![0, 0, 0, 0, id, 0, 8, 7]).collect();
    let strange: Vec<Option<&[u8]>> = strange.iter().map(|payload| Some(payload.as_slice())).collect();
    let decoded = decoder.decode(&strange);
    assert_eq!(decoded.errors.len(), 100);
    assert_eq!(
        decoded.errors[99].message,
        "schema 199 is not asked for: 32 others of this batch do not exist"
    );
    // What was not known may be later.
    (2..=9).for_each(|n| {
        let text = format!("syntax = \"proto3\"; message T {{int32 b=1; int32 a={n};}}");
        subject.registry.register(&format!("t{n}-value"), &proto(&text)).expect("a new subject");
    });
    let decoded = decoder.decode(&[Some(&[0, 0, 0, 0, 9, 0, 72, 7])]);
    assert_eq!((decoded.errors.len(), show(&decoded.columns[0], 0)), (0, "7".into()));
}

fn write(spec: &FormatSpec, columns: &[(&str, ArrayRef)], subject: Option<&Subject>) -> Vec<String> {
    let fields: Fields =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let mut out = Payloads::new();
    let result = spec
        .encoder(&fields, subject)
        .and_then(|mut encoder| encoder.encode(&arrays, arrays[0].len(), None, &mut out));
    let hex = |payload: Option<&[u8]>| {
        let bytes = payload.expect("no NULLs").iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>();
        bytes.join(" ")
    };
    let mut rows: Vec<String> = out.iter().map(hex).collect();
    rows.extend(result.err().map(|error| error.to_string()));
    rows
}

#[test]
fn cells_become_bytes() {
    use arrow::array::{
        BooleanArray, Decimal128Array, Decimal256Array, Float64Array, Int32Array, Int64Array, StringArray,
    };
    use arrow::datatypes::i256;

    fn column(array: impl Array + 'static) -> ArrayRef {
        Arc::new(array)
    }
    let ints = || column(Int32Array::from(vec![Some(5), Some(0), None]));
    let texts = || column(StringArray::from(vec![Some("a"), Some(""), None]));
    // NULL is zero, which is not written, unless the schema can tell them apart.
    for (nulls, expected) in [
        (ProtobufNulls::Absent, ["08 05 12 01 61", "", ""]),
        (ProtobufNulls::Optional, ["08 05 12 01 61", "08 00 12 00", ""]),
        (ProtobufNulls::Wrapper, ["0a 02 08 05 12 03 0a 01 61", "0a 00 12 00", ""]),
    ] {
        let spec = FormatSpec { nulls, ..NOSR };
        assert_eq!(write(&spec, &[("A", ints()), ("B", texts())], None), expected, "{nulls:?}");
    }
    let unscaled = vec![0, 127, 128, -128, -129, 1250, i128::MAX / 2];
    let decimals = column(Decimal128Array::from(unscaled).with_data_type(DataType::Decimal128(38, 2)));
    let expected = [
        "0a 07 0a 01 00 10 01 18 02",
        "0a 07 0a 01 7f 10 03 18 02",
        "0a 08 0a 02 00 80 10 03 18 02",
        "0a 07 0a 01 80 10 03 18 02",
        "0a 08 0a 02 ff 7f 10 03 18 02",
        "0a 08 0a 02 04 e2 10 04 18 02",
        "0a 16 0a 10 3f ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff 10 26 18 02",
    ];
    assert_eq!(write(&NOSR, &[("A", decimals)], None), expected);
    let unscaled = vec![i256::from_i128(-129), i256::from_i128(i128::MAX)];
    let decimals = column(Decimal256Array::from(unscaled).with_data_type(DataType::Decimal256(76, 2)));
    let expected = [
        "0a 08 0a 02 ff 7f 10 03 18 02",
        "0a 16 0a 10 7f ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff 10 27 18 02",
    ];
    assert_eq!(write(&NOSR, &[("A", decimals)], None), expected);

    // By the schema that an id asks for: columns by name, numbers in its types, fields in the order of numbers.
    let by_id = |text: &str, full_name: Option<&str>| Subject {
        full_name: full_name.map(str::to_owned),
        schema_id: Some(1),
        ..subject(text)
    };
    let bigint = |value| column(Int64Array::from(vec![value]));
    let text = |value: &str| column(StringArray::from(vec![value]));
    let first = "syntax = \"proto3\"; message O {} message T {string z=9; uint32 a=2; sint64 b=3; E e=4; float f=5; \
                 fixed64 g=6; message N {bool x=1;} enum E {ZERO=0; ONE=1;}}";
    for (name, columns, expected) in [
        (Some("T"), vec![("z", text("x")), ("a", bigint(7))], "00 00 00 00 01 02 02 10 07 4a 01 78"),
        (Some("T"), vec![("b", bigint(-1)), ("e", text("ONE"))], "00 00 00 00 01 02 02 18 01 20 01"),
        (
            Some("T"),
            vec![("f", column(Float64Array::from(vec![1.5]))), ("g", bigint(-1))],
            "00 00 00 00 01 02 02 2d 00 00 c0 3f 31 ff ff ff ff ff ff ff ff",
        ),
        (Some("N"), vec![("x", column(BooleanArray::from(vec![true])))], "00 00 00 00 01 04 02 00 08 01"),
        (Some("T"), vec![("a", bigint(-1))], "-1 does not fit an unsigned field of 32 bits"),
        (Some("T"), vec![("e", text("TWO"))], "enum E has no symbol 'TWO'"),
        (Some("T"), vec![("c", bigint(1))], "Schema from Schema Registry misses field with name: c"),
        (
            Some("T"),
            vec![("z", bigint(1))],
            "column 'z' of type BIGINT cannot be written to a field of type string of the schema",
        ),
        (None, vec![("z", bigint(1))], "Schema from Schema Registry misses field with name: z"),
    ] {
        assert_eq!(write(&REGISTERED, &columns, Some(&by_id(first, name))), [expected]);
    }
    let old = "syntax = \"proto2\"; message T {required int32 a=1; optional int32 b=2;}";
    let missing = "Missing default value for required Protobuf field: [a]. This field appears in Protobuf schema in \
                   Schema Registry";
    assert_eq!(
        write(&REGISTERED, &[("a", ints())], Some(&by_id(old, None))),
        ["00 00 00 00 01 00 08 05", "00 00 00 00 01 00 08 00", missing]
    );
    assert_eq!(write(&REGISTERED, &[("b", ints())], Some(&by_id(old, None))), [missing]);
}

#[test]
fn what_was_not_registered_is() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let subject = Subject {
        registry: registry.clone(),
        name: "t-value".into(),
        full_name: Some("p.T".into()),
        schema_id: None,
    };
    let columns = fields(&[("A", DataType::Int32), ("A_", DataType::Utf8), ("a", DataType::Utf8)]);
    REGISTERED.encoder(&columns, Some(&subject)).expect("the columns fit");
    let latest = registry.latest("t-value").expect("just registered");
    assert_eq!(
        latest.schema.text,
        "syntax = \"proto3\";\npackage p;\n\nmessage T {\n  int32 A = 1;\n  string A_ = 2;\n  string a = 3;\n}\n"
    );
}

/// The message that a schema of ours defines, by the library alone.
fn descriptor(text: &str) -> prost_reflect::MessageDescriptor {
    struct One(String);
    impl FileResolver for One {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            let text = match name {
                "one.proto" => self.0.as_str(),
                "confluent/meta.proto" => {
                    "syntax = \"proto2\"; package confluent; import \"google/protobuf/descriptor.proto\"; \
                     message Meta {optional string doc=1; map<string,string> params=2;} \
                     extend google.protobuf.FieldOptions {optional Meta field_meta=1088;}"
                }
                "confluent/type/decimal.proto" => {
                    "syntax = \"proto3\"; package confluent.type; import public \"confluent/meta.proto\"; \
                     message Decimal {bytes value=1; uint32 precision=2; int32 scale=3;}"
                }
                "google/type/date.proto" => {
                    "syntax = \"proto3\"; package google.type; message Date {int32 year=1; int32 month=2; int32 day=3;}"
                }
                "google/type/timeofday.proto" => {
                    "syntax = \"proto3\"; package google.type; message TimeOfDay {int32 hours=1; int32 minutes=2; \
                     int32 seconds=3; int32 nanos=4;}"
                }
                _ => return Err(protox::Error::file_not_found(name)),
            };
            File::from_source(name, text)
        }
    }
    let mut resolver = ChainFileResolver::new();
    resolver.add(One(text.to_owned()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.open_file("one.proto").expect("a valid schema");
    compiler.descriptor_pool().get_message_by_name("ConnectDefault1").expect("the message")
}

/// The same type with names that Protobuf can write.
fn named(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => array_of(named(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => map_of(named(pair[1].data_type())),
            other => unreachable!("map entries are {other}"),
        },
        DataType::Struct(fields) => {
            let names = ["X", "Y", "z"];
            let fields: Vec<_> =
                names.into_iter().zip(fields).map(|(name, field)| (name, named(field.data_type()))).collect();
            struct_of(&fields)
        }
        other => other.clone(),
    }
}

fn representable(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => {
            !matches!(item.data_type(), DataType::List(_) | DataType::Map(..))
                && representable(item.data_type())
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => representable(pair[1].data_type()),
            _ => false,
        },
        DataType::Struct(fields) => fields.iter().all(|field| representable(field.data_type())),
        _ => true,
    }
}

fn any_nulls() -> impl Strategy<Value = ProtobufNulls> {
    prop_oneof![Just(ProtobufNulls::Absent), Just(ProtobufNulls::Optional), Just(ProtobufNulls::Wrapper)]
}

fn any_table() -> impl Strategy<Value = (Fields, Vec<ArrayRef>)> {
    let one = any_type().prop_map(|data_type| named(&data_type));
    table(vec(one.prop_filter("lists of lists have no schema", representable), 1..5))
}

fn encoded(spec: &FormatSpec, fields: &Fields, columns: &[ArrayRef]) -> Vec<Vec<u8>> {
    let written = crate::encode(spec, fields, columns);
    written.into_iter().map(|payload| payload.expect("rows are messages")).collect()
}

fn decoded(spec: &FormatSpec, fields: &Fields, payloads: &[Vec<u8>]) -> Vec<ArrayRef> {
    let payloads: Vec<Option<&[u8]>> = payloads.iter().map(|payload| Some(payload.as_slice())).collect();
    let decoded = crate::decode(spec, fields, &payloads);
    assert_eq!(decoded.errors, []);
    decoded.columns
}

fn rows(columns: &[ArrayRef]) -> Vec<Vec<String>> {
    (0..columns[0].len()).map(|row| columns.iter().map(|column| show(column, row)).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_library_reads_what_we_write_and_we_read_what_it_writes((fields, columns) in any_table(), null in any_nulls()) {
        let spec = nulls(null);
        let payloads = encoded(&spec, &fields, &columns);
        let read = decoded(&spec, &fields, &payloads);
        // What was read is written the same way again, and reads the same.
        prop_assert_eq!(&encoded(&spec, &fields, &read), &payloads);
        let descriptor = descriptor(&generated(&spec, &fields, None));
        let again: Vec<Vec<u8>> = payloads
            .iter()
            .map(|payload| {
                let message = DynamicMessage::decode(descriptor.clone(), payload.as_slice()).expect("a valid message");
                assert!(message.unknown_fields().next().is_none(), "{message:?}");
                message.encode_to_vec()
            })
            .collect();
        // To the library, zero in a wrapper has no sign.
        let unsigned = |columns: &[ArrayRef]| format!("{:?}", rows(columns)).replace("-0.0", "0.0");
        prop_assert_eq!(unsigned(&decoded(&spec, &fields, &again)), unsigned(&read));
    }

    #[test]
    fn nulls_are_kept_where_the_schema_can_tell(
        (fields, columns) in table(vec(
            any_type().prop_filter("scalars only", |t| !t.is_nested()),
            1..5,
        )),
        null in prop_oneof![Just(ProtobufNulls::Optional), Just(ProtobufNulls::Wrapper)],
    ) {
        let spec = nulls(null);
        prop_assert_eq!(rows(&decoded(&spec, &fields, &encoded(&spec, &fields, &columns))), rows(&columns));
    }

    #[test]
    fn damaged_messages_harm_nobody(
        (fields, columns) in any_table(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut payloads = encoded(&NOSR, &fields, &columns);
        for payload in &mut payloads {
            for (at, byte) in damage.iter().filter(|_| !payload.is_empty()).collect::<Vec<_>>() {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
        }
        let last = payloads.len() - 1;
        let length = cut.index(payloads[last].len() + 1);
        payloads[last].truncate(length);
        let payloads: Vec<Option<&[u8]>> = payloads.iter().map(|payload| Some(payload.as_slice())).collect();
        let decoded = crate::decode(&NOSR, &fields, &payloads);
        for column in &decoded.columns {
            prop_assert_eq!(column.len(), payloads.len());
            for error in &decoded.errors {
                prop_assert!(column.is_null(error.row), "{}", error);
            }
        }
    }

    #[test]
    fn random_bytes_and_texts_harm_nobody(bytes in vec(any::<u8>(), 0..60), text in "[a-z0-9 {}=;\"<>\\[\\](),./*\n]{0,60}") {
        let columns = fields(&[("A", DataType::Int32), ("B", array_of(DataType::Utf8)), ("C", map_of(DataType::Utf8))]);
        let decoded = crate::decode(&NOSR, &columns, &[Some(&bytes)]);
        prop_assert_eq!(decoded.columns[0].len(), 1);
        let schema = ResolvedSchema { schema: proto(&format!("syntax = \"proto3\"; {text}")), references: Vec::new() };
        let _ = REGISTERED.infer(&schema, None, "");
    }
}
