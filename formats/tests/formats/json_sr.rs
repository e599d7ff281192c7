//! JSON_SR: schemas generated and read, documents by the schema that they name.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{DataType, Fields, Schema as ArrowSchema},
};
use millstream_formats::{
    EmbeddedRegistry, Format, FormatSpec, Payloads, ResolvedSchema, Schema, SchemaRegistry, SchemaType,
    Subject, type_name, write_header,
};
use proptest::prelude::*;

use super::{array_of, fields, map_of, show, struct_of, time, timestamp};

fn wrapped() -> FormatSpec {
    FormatSpec::value(Format::JsonSr)
}

fn bare() -> FormatSpec {
    FormatSpec::new(Format::JsonSr, false)
}

fn subject(registry: &Arc<EmbeddedRegistry>, schema_id: Option<i32>) -> Subject {
    Subject { registry: Arc::clone(registry) as _, name: "t-value".into(), full_name: None, schema_id }
}

fn all_types() -> Vec<(&'static str, DataType)> {
    vec![
        ("B", DataType::Boolean),
        ("I", DataType::Int32),
        ("L", DataType::Int64),
        ("D", DataType::Float64),
        ("M", DataType::Decimal128(4, 2)),
        ("S", DataType::Utf8),
        ("Y", DataType::Binary),
        ("T", time()),
        ("DA", DataType::Date32),
        ("TS", timestamp()),
        ("A", array_of(DataType::Utf8)),
        ("MP", map_of(DataType::Int32)),
        ("ST", struct_of(&[("F1", DataType::Int32), ("F2", array_of(map_of(DataType::Float64)))])),
    ]
}

#[test]
fn schemas_are_generated_as_connect_writes_them() {
    let null = |inner: &str| format!(r#"{{"oneOf":[{{"type":"null"}},{inner}]}}"#);
    let logical = |name: &str, of: &str, logical: &str| {
        format!(
            r#"{{"type":"{name}","title":"org.apache.kafka.connect.data.{logical}","connect.version":1,"connect.type":"{of}""#
        )
    };
    let at = |index: usize, inner: &str| {
        format!(r#"{{"connect.index":{index},"oneOf":[{{"type":"null"}},{inner}]}}"#)
    };
    let int = r#"{"type":"integer","connect.type":"int32"}"#;
    for (data_type, expected) in [
        (DataType::Boolean, r#"{"type":"boolean"}"#.to_owned()),
        (DataType::Int32, int.into()),
        (DataType::Int64, r#"{"type":"integer","connect.type":"int64"}"#.into()),
        (DataType::Float64, r#"{"type":"number","connect.type":"float64"}"#.into()),
        (DataType::Utf8, r#"{"type":"string"}"#.into()),
        (DataType::Binary, r#"{"type":"string","connect.type":"bytes"}"#.into()),
        (DataType::Date32, logical("integer", "int32", "Date") + "}"),
        (time(), logical("integer", "int32", "Time") + "}"),
        (timestamp(), logical("integer", "int64", "Timestamp") + "}"),
        (
            DataType::Decimal128(4, 2),
            logical("number", "bytes", "Decimal")
                + r#","connect.parameters":{"scale":"2","connect.decimal.precision":"4"}}"#,
        ),
        (array_of(DataType::Int32), format!(r#"{{"type":"array","items":{}}}"#, null(int))),
        (
            map_of(DataType::Int32),
            format!(
                r#"{{"type":"array","items":{{"type":"object","properties":{{"key":{},"value":{}}}}},"connect.type":"map"}}"#,
                at(0, r#"{"type":"string"}"#),
                at(1, int)
            ),
        ),
        (
            struct_of(&[("F1", DataType::Int32), ("f2", DataType::Utf8)]),
            format!(
                r#"{{"type":"object","properties":{{"F1":{},"f2":{}}}}}"#,
                at(0, int),
                at(1, r#"{"type":"string"}"#)
            ),
        ),
    ] {
        let column = fields(&[("A", data_type.clone())]);
        let text = |spec: FormatSpec| {
            spec.generate_schema(&column, None).expect("the column fits").expect("JSON_SR has schemas").text
        };
        assert_eq!(text(bare()), null(&expected), "{data_type}");
        let in_object = format!(r#"{{"type":"object","properties":{{"A":{}}}}}"#, at(0, &expected));
        assert_eq!(text(wrapped()), in_object, "{data_type}");
    }
}

fn infer(text: &str) -> Result<String, String> {
    let schema = ResolvedSchema { schema: Schema::new(SchemaType::Json, text), references: Vec::new() };
    infer_resolved(&schema)
}

fn infer_resolved(schema: &ResolvedSchema) -> Result<String, String> {
    let columns = bare().infer(schema, None, "X").map_err(|error| error.to_string())?;
    Ok(type_name(columns[0].data_type()))
}

#[test]
fn generated_schemas_are_inferred_back() {
    let columns = fields(&all_types());
    let schema = wrapped().generate_schema(&columns, None).unwrap().unwrap();
    let resolved = ResolvedSchema { schema, references: Vec::new() };
    assert_eq!(wrapped().infer(&resolved, None, "X").unwrap(), columns);
}

#[test]
fn types_are_inferred_as_connect_does() {
    for (text, expected) in [
        (r#"{"type":"integer"}"#, "BIGINT"),
        (r#"{"type":"integer","connect.type":"int8"}"#, "INTEGER"),
        (r#"{"type":"integer","connect.type":"int16"}"#, "INTEGER"),
        (r#"{"type":"number"}"#, "DOUBLE"),
        (r#"{"type":"number","connect.type":"float32"}"#, "DOUBLE"),
        (r#"{"type":"number","connect.type":"int32"}"#, "INTEGER"),
        (r#"{"type":"string","connect.type":"int32"}"#, "STRING"),
        (r#"{"type":["null","string"]}"#, "STRING"),
        (r#"{"enum":["A","B"]}"#, "STRING"),
        (r#"{"type":"string","enum":["A","B"]}"#, "STRING"),
        (r#"{"const":5}"#, "BIGINT"),
        (r#"{"anyOf":[{"type":"null"},{"type":"boolean"}]}"#, "BOOLEAN"),
        (r#"{"type":"array","items":{"type":"number"}}"#, "ARRAY<DOUBLE>"),
        (r#"{"items":{"type":"string"}}"#, "ARRAY<STRING>"),
        (r#"{"type":"object","additionalProperties":{"type":"integer"}}"#, "MAP<STRING, BIGINT>"),
        (
            r#"{"type":"object","connect.type":"map","additionalProperties":{"type":"integer","connect.type":"int32"}}"#,
            "MAP<STRING, INTEGER>",
        ),
        (
            r#"{"properties":{"b":{"type":"string","connect.index":1},"a":{"type":"boolean","connect.index":0}}}"#,
            "STRUCT<`a` BOOLEAN, `b` STRING>",
        ),
        (
            r##"{"definitions":{"d":{"type":"string"}},"properties":{"x":{"$ref":"#/definitions/d"},"y":{"$ref":"#/$defs/e"}},"$defs":{"e":{"type":"integer"}}}"##,
            "STRUCT<`x` STRING, `y` BIGINT>",
        ),
        (
            r#"{"allOf":[{"properties":{"x":{"type":"string"}}},{"properties":{"y":{"type":"boolean"}}}]}"#,
            "STRUCT<`x` STRING, `y` BOOLEAN>",
        ),
        (
            r#"{"oneOf":[{"type":"null"},{"type":"string"},{"type":"integer"}]}"#,
            "STRUCT<`io.confluent.connect.json.OneOf.field.0` STRING, `io.confluent.connect.json.OneOf.field.1` BIGINT>",
        ),
        (
            r#"{"type":"number","title":"org.apache.kafka.connect.data.Decimal","connect.type":"bytes","connect.parameters":{"scale":"2"}}"#,
            "DECIMAL(64, 2)",
        ),
        // What has no type is left out.
        (
            r##"{"properties":{"x":{"type":"string"},"self":{"$ref":"#"},"any":{},"t":true,"n":{"type":"null"}}}"##,
            "STRUCT<`x` STRING>",
        ),
    ] {
        assert_eq!(infer(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn references_are_followed_and_missing_ones_named() {
    let text =
        r#"{"properties":{"who":{"$ref":"person.json"},"age":{"$ref":"person.json#/properties/age"}}}"#;
    let mut schema = ResolvedSchema { schema: Schema::new(SchemaType::Json, text), references: Vec::new() };
    assert!(infer_resolved(&schema).unwrap_err().contains("person.json, which is not there"));
    let person = r#"{"type":"object","properties":{"age":{"type":"integer"}}}"#;
    schema.references.push(("person.json".into(), Schema::new(SchemaType::Json, person)));
    assert_eq!(infer_resolved(&schema).as_deref(), Ok("STRUCT<`who` STRUCT<`age` BIGINT>, `age` BIGINT>"));
}

#[test]
fn schemas_that_explode_are_refused() {
    let mut definitions = vec![r#""d0":{"type":"string"}"#.to_owned()];
    for index in 1..40 {
        let below = format!(r##"{{"$ref":"#/definitions/d{}"}}"##, index - 1);
        definitions.push(format!(r#""d{index}":{{"properties":{{"a":{below},"b":{below}}}}}"#));
    }
    let text = format!(r##"{{"definitions":{{{}}},"$ref":"#/definitions/d39"}}"##, definitions.join(","));
    assert!(infer(&text).unwrap_err().contains("more than 10000 types"));
    assert!(infer(&"[".repeat(100_000)).is_err());
    assert!(infer(&format!("{}{}", r#"{"items":"#.repeat(99), "{}")).is_err());
}

/// Reads one document by a schema into one column.
fn read(spec: FormatSpec, schema: &str, column: DataType, document: &str) -> Result<String, String> {
    let registry = Arc::new(EmbeddedRegistry::new());
    let id = registry
        .register("t-value", &Schema::new(SchemaType::Json, schema))
        .expect("any schema may be registered");
    let mut payload = Vec::new();
    write_header(id, &mut payload);
    payload.extend_from_slice(document.as_bytes());
    let mut decoder = spec
        .decoder(&fields(&[("A", column)]), None, Some(&subject(&registry, None)))
        .expect("the column fits");
    let decoded = decoder.decode(&[Some(&payload)]);
    match decoded.errors.first() {
        Some(error) => Err(error.message.clone()),
        None => Ok(show(&decoded.columns[0], 0)),
    }
}

#[test]
fn values_are_read_by_their_schema() {
    let int = r#"{"type":"integer","connect.type":"int32"}"#;
    let decimal = |name: &str| {
        format!(
            r#"{{"type":"{name}","title":"org.apache.kafka.connect.data.Decimal","connect.type":"bytes","connect.parameters":{{"scale":"2","connect.decimal.precision":"4"}}}}"#
        )
    };
    let entries = r#"{"type":"array","connect.type":"map","items":{"type":"object","properties":{"key":{"type":"string"},"value":{"type":"integer"}}}}"#;
    let date = r#"{"type":"integer","connect.type":"int32","title":"org.apache.kafka.connect.data.Date"}"#;
    let time_schema =
        r#"{"type":"integer","connect.type":"int32","title":"org.apache.kafka.connect.data.Time"}"#;
    let string = r#"{"type":"string"}"#;
    let two = r#"{"oneOf":[{"type":"string"},{"type":"integer"},{"type":"number"},{"type":"object","properties":{"a":{"type":"string"}}},{"type":"object","properties":{"b":{"type":"string"}}}]}"#;
    let union = struct_of(&[
        ("IO.CONFLUENT.CONNECT.JSON.ONEOF.FIELD.0", DataType::Utf8),
        ("IO.CONFLUENT.CONNECT.JSON.ONEOF.FIELD.1", DataType::Int64),
        ("IO.CONFLUENT.CONNECT.JSON.ONEOF.FIELD.4", struct_of(&[("B", DataType::Utf8)])),
    ]);
    let union_row = |a: &str, b: &str, c: &str| {
        let name = "IO.CONFLUENT.CONNECT.JSON.ONEOF.FIELD";
        format!("{{{name}.0: {a}, {name}.1: {b}, {name}.4: {c}}}")
    };
    for (schema, column, document, expected) in [
        (int, DataType::Int32, "10", Ok("10")),
        (int, DataType::Int64, "10", Ok("10")),
        (int, DataType::Utf8, "10", Ok("10")),
        (int, DataType::Int32, "10.9", Ok("10")),
        (int, DataType::Int32, "1e1", Ok("10")),
        (int, DataType::Int32, "null", Ok("NULL")),
        (int, DataType::Int32, "2147483648", Err("2147483648 is no int32")),
        (int, DataType::Int32, "1e300", Err("1e300 is no int32")),
        (
            int,
            DataType::Int32,
            "\"10\"",
            Err("Can't convert type. sourceType: TextNode, requiredType: int32"),
        ),
        (int, DataType::Float64, "10", Err("Cannot deserialize type int32 as type float64 for path: ")),
        (
            r#"{"type":"integer"}"#,
            DataType::Int32,
            "10",
            Err("Cannot deserialize type int64 as type int32 for path: "),
        ),
        (
            r#"{"type":"integer"}"#,
            DataType::Int32,
            "null",
            Err("Cannot deserialize type int64 as type int32"),
        ),
        (r#"{"type":"integer"}"#, timestamp(), "1000", Ok("1970-01-01T00:00:01")),
        (r#"{"type":"integer"}"#, DataType::Int64, "99999999999999999999", Err("is no int64")),
        (r#"{"type":"number"}"#, DataType::Float64, "10", Ok("10.0")),
        (r#"{"type":"number"}"#, DataType::Utf8, "10", Ok("10.0")),
        (r#"{"type":"number"}"#, DataType::Float64, "\"NaN\"", Ok("NaN")),
        (r#"{"type":"number","connect.type":"float32"}"#, DataType::Utf8, "0.1", Ok("0.1")),
        (r#"{"type":"boolean"}"#, DataType::Utf8, "true", Ok("true")),
        (r#"{"type":"boolean"}"#, DataType::Boolean, "1", Err("requiredType: boolean")),
        (string, DataType::Utf8, "\"a\\u00e4\"", Ok("aä")),
        (string, DataType::Utf8, "\"a\\ud800\"", Ok("a\u{fffd}")),
        (string, DataType::Utf8, "10", Err("requiredType: string")),
        (string, DataType::Int32, "\"10\"", Err("Cannot deserialize type string as type int32")),
        (r#"{"type":"string","connect.type":"bytes"}"#, DataType::Binary, "\"AQI=\"", Ok("0102")),
        (r#"{"type":"string","connect.type":"bytes"}"#, DataType::Binary, "\"?\"", Err("base64")),
        (&decimal("number"), DataType::Decimal128(6, 3), "12.5", Ok("12.500")),
        (
            &decimal("number"),
            DataType::Decimal128(4, 2),
            "123.45",
            Err("Cannot fit decimal '123.45' into DECIMAL(4, 2)"),
        ),
        (&decimal("string"), DataType::Decimal128(4, 2), "\"BOI=\"", Ok("12.50")),
        (&decimal("string"), DataType::Decimal128(4, 2), "\"/w==\"", Ok("-0.01")),
        // 2^128, and 2^256.
        (
            &decimal("string"),
            DataType::Decimal256(39, 2),
            "\"AQAAAAAAAAAAAAAAAAAAAAA=\"",
            Ok("3402823669209384634633746074317682114.56"),
        ),
        (
            &decimal("string"),
            DataType::Decimal256(76, 2),
            "\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
            Err("Cannot fit a decimal of 33 bytes into DECIMAL(76, 2)"),
        ),
        (&decimal("string"), DataType::Decimal128(4, 2), "\"\"", Err("0 bytes of a decimal")),
        (date, DataType::Date32, "1", Ok("1970-01-02")),
        (date, DataType::Int32, "1", Ok("1")),
        (int, DataType::Date32, "1", Ok("1970-01-02")),
        (time_schema, time(), "1000", Ok("00:00:01")),
        (time_schema, time(), "86400000", Err("got 86400000")),
        (r#"{"items":{"type":"string"}}"#, array_of(DataType::Utf8), "[\"a\",null]", Ok("[a, NULL]")),
        (r#"{"items":{"type":"string"}}"#, array_of(DataType::Int32), "[]", Ok("[]")),
        (r#"{"items":{"type":"string"}}"#, array_of(DataType::Int32), "[\"a\"]", Err("for path: ->ARRAY")),
        (
            entries,
            map_of(DataType::Int64),
            r#"[{"key":"a","value":1},{"value":2,"x":0,"key":"b"},{"key":"c"}]"#,
            Ok("{a: 1, b: 2, c: NULL}"),
        ),
        (entries, map_of(DataType::Int64), r#"[{"key":"a","value":1},{"key":"a","value":2}]"#, Ok("{a: 2}")),
        (
            entries,
            map_of(DataType::Int64),
            r#"[{"value":1}]"#,
            Err("an entry of a map has no key, path: $[0]"),
        ),
        (entries, map_of(DataType::Int32), r#"[{"key":"a","value":1}]"#, Err("for path: ->MAP_VAL")),
        (
            r#"{"type":"object","additionalProperties":{"type":"integer"}}"#,
            map_of(DataType::Int64),
            r#"{"a":1,"b":2,"a":3}"#,
            Ok("{b: 2, a: 3}"),
        ),
        (
            r#"{"properties":{"f":{"type":"string"}}}"#,
            struct_of(&[("F", DataType::Utf8), ("G", DataType::Int32)]),
            r#"{"f":"x","F":"y","z":[{}]}"#,
            Ok("{F: x, G: NULL}"),
        ),
        (
            r#"{"properties":{"f":{"type":"string"}}}"#,
            struct_of(&[("F", DataType::Int32)]),
            "{}",
            Err("for path: ->F"),
        ),
        (two, union.clone(), "\"a\"", Ok(&union_row("a", "", ""))),
        (two, union.clone(), "5", Ok(&union_row("", "5", ""))),
        (two, union.clone(), "5.5", Ok(&union_row("", "", ""))),
        (two, union.clone(), r#"{"b":"x"}"#, Ok(&union_row("", "", "{B: x}"))),
        (two, union.clone(), "[]", Err("one of the types of a union")),
        (r#"{"enum":["A"]}"#, DataType::Utf8, "\"B\"", Ok("B")),
        (int, DataType::Int32, "10 x", Err("malformed JSON")),
        (int, DataType::Int32, "", Err("malformed JSON")),
    ] {
        let found = read(bare(), schema, column.clone(), document);
        match (&found, expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found.replace("NULL", ""), expected.replace("NULL", ""), "{schema} {document}");
            }
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{schema} {document}: {found}"),
            _ => panic!("{schema} {column} {document}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn properties_feed_columns_by_their_names() {
    for (schema, document, expected) in [
        (r#"{"properties":{"A":{"type":"string"},"a":{"type":"integer"}}}"#, r#"{"a":1,"A":"x"}"#, Ok("x")),
        (r#"{"properties":{"a":{"type":"string"}}}"#, r#"{"a":"x"}"#, Ok("x")),
        (r#"{"properties":{"a":{"type":"string"}}}"#, r#"{"a":"x","a":"y"}"#, Ok("y")),
        (r#"{"properties":{"a":{"type":"string"}}}"#, r#"{"A":"x"}"#, Ok("NULL")),
        (r#"{"properties":{"b":{"type":"string"}}}"#, r#"{"A":"x"}"#, Ok("NULL")),
        (
            r#"{"properties":{"a":{"items":{"type":"string"}}}}"#,
            "{}",
            Err("Cannot deserialize type array as type string for path: ->A"),
        ),
        (r#"{"type":"string"}"#, "\"x\"", Err("Cannot deserialize type string as type struct for path: ")),
        (r#"{"properties":{}}"#, "null", Ok("NULL")),
        (r#"{"properties":{}}"#, "[]", Err("requiredType: STRUCT")),
    ] {
        let found = read(wrapped(), schema, DataType::Utf8, document);
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{schema} {document}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{schema} {document}: {found}"),
            _ => panic!("{schema} {document}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn headers_are_needed_and_ids_must_be_known() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let columns = fields(&[("A", DataType::Int32)]);
    let mut decoder = wrapped().decoder(&columns, None, Some(&subject(&registry, None))).unwrap();
    let decoded =
        decoder.decode(&[Some(b"{\"A\":1}"), Some(b"\0\0\0\0\x07{}"), None, Some(b"\0\0\0\0\x07{}")]);
    let messages: Vec<&str> = decoded.errors.iter().map(|error| error.message.as_str()).collect();
    assert!(messages[0].starts_with("Unknown magic byte!"), "{messages:?}");
    assert_eq!(messages[1], "Error retrieving JSON schema for id 7: Schema 7 not found; error code: 40403");
    assert_eq!(messages[2], messages[1]);
    assert!(decoded.null_rows.is_some_and(|rows| rows.value(2)));
    // Registered in the meantime, it is found by the next batch.
    for index in 0..7 {
        let text = format!(
            r#"{{"properties":{{"A":{{"type":"integer","connect.type":"int{}"}}}}}}"#,
            if index == 6 { 32 } else { index }
        );
        registry.register("t-value", &Schema::new(SchemaType::Json, text)).unwrap();
    }
    assert!(decoder.decode(&[Some(b"\0\0\0\0\x07{}")]).errors.is_empty());
}

#[test]
fn without_the_converter_what_follows_the_header_is_json() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let columns = fields(&[("A", DataType::Int32)]);
    let spec = FormatSpec { json_sr_converter: false, ..wrapped() };
    let mut decoder = spec.decoder(&columns, None, Some(&subject(&registry, None))).unwrap();
    let decoded = decoder.decode(&[Some(b"\0\0\0\0\x07{\"a\":\"12\"}"), Some(b"{\"A\":1}")]);
    assert_eq!(show(&decoded.columns[0], 0), "12");
    assert!(decoded.errors[0].message.starts_with(
        "Got unexpected JSON serialization format that did not start with the magic byte. If this stream"
    ));
}

/// One row of all types, as JSON reads it.
fn rows(columns: &Fields, documents: &[&str]) -> Vec<ArrayRef> {
    let payloads: Vec<Option<&[u8]>> = documents.iter().map(|document| Some(document.as_bytes())).collect();
    let decoded = FormatSpec::value(Format::Json)
        .decoder(columns, None, None)
        .expect("the columns fit")
        .decode(&payloads);
    assert!(decoded.errors.is_empty(), "{:?}", decoded.errors);
    decoded.columns
}

fn write(
    spec: FormatSpec,
    registry: &Arc<EmbeddedRegistry>,
    schema_id: Option<i32>,
    columns: &Fields,
    rows: &[ArrayRef],
) -> Result<Vec<Option<Vec<u8>>>, String> {
    let mut encoder =
        spec.encoder(columns, Some(&subject(registry, schema_id))).map_err(|error| error.to_string())?;
    let mut out = Payloads::new();
    encoder.encode(rows, rows[0].len(), None, &mut out).map_err(|error| error.to_string())?;
    Ok(out.iter().map(|payload| payload.map(<[u8]>::to_vec)).collect())
}

#[test]
fn rows_of_all_types_come_back() {
    let columns = fields(&all_types());
    let document = r#"{"B":true,"I":1,"L":2,"D":0.5,"M":12.50,"S":"a\"b","Y":"AQI=","T":1000,"DA":3,"TS":-5,"A":["x",null],"MP":{"k":1,"l":null},"ST":{"F1":7,"F2":[{"q":1.5},null]}}"#;
    let written = rows(&columns, &[document, "{}"]);
    let registry = Arc::new(EmbeddedRegistry::new());
    let payloads = write(wrapped(), &registry, None, &columns, &written).unwrap();
    let text = |payload: &Option<Vec<u8>>| {
        let payload = payload.as_deref().expect("a wrapped row is no NULL payload");
        assert_eq!(payload[..5], [0, 0, 0, 0, 1]);
        String::from_utf8(payload[5..].to_vec()).unwrap()
    };
    assert_eq!(
        text(&payloads[0]),
        r#"{"B":true,"I":1,"L":2,"D":0.5,"M":12.50,"S":"a\"b","Y":"AQI=","T":1000,"DA":3,"TS":-5,"A":["x",null],"MP":[{"key":"k","value":1},{"key":"l","value":null}],"ST":{"F1":7,"F2":[[{"key":"q","value":1.5}],null]}}"#
    );
    assert!(text(&payloads[1]).contains(r#""ST":null"#));
    let payloads: Vec<Option<&[u8]>> = payloads.iter().map(Option::as_deref).collect();
    let decoded =
        wrapped().decoder(&columns, None, Some(&subject(&registry, None))).unwrap().decode(&payloads);
    assert!(decoded.errors.is_empty(), "{:?}", decoded.errors);
    let schema = Arc::new(ArrowSchema::new(columns));
    let batch = |columns: &[ArrayRef]| RecordBatch::try_new(Arc::clone(&schema), columns.to_vec()).unwrap();
    assert_eq!(batch(&decoded.columns), batch(&written));
}

#[test]
fn bare_values_are_null_or_written() {
    let columns = fields(&[("A", DataType::Utf8)]);
    let registry = Arc::new(EmbeddedRegistry::new());
    let payloads =
        write(bare(), &registry, None, &columns, &rows(&columns, &["{\"A\":\"x\"}", "{}"])).unwrap();
    assert_eq!(payloads, [Some(b"\0\0\0\0\x01\"x\"".to_vec()), None]);
    assert_eq!(
        registry.latest("t-value").unwrap().schema.text,
        r#"{"oneOf":[{"type":"null"},{"type":"string"}]}"#
    );
}

#[test]
fn rows_are_written_by_a_given_schema() {
    let decimal = r#"{"type":"string","title":"org.apache.kafka.connect.data.Decimal","connect.type":"bytes","connect.parameters":{"scale":"2"}}"#;
    let columns = [
        ("a", DataType::Int64),
        ("m", DataType::Decimal128(4, 2)),
        ("p", map_of(DataType::Int32)),
        ("w", DataType::Decimal256(39, 2)),
    ];
    let row = r#"{"a":1,"m":-1.28,"p":{"k":2}}"#;
    // Properties beside `a`, and keywords beside them.
    let object =
        |more: &str, rest: &str| format!(r#"{{"properties":{{"a":{{"type":"integer"}}{more}}}{rest}}}"#);
    let map = r#"{"type":"object","connect.type":"map","additionalProperties":{"type":"integer","connect.type":"int32"}}"#;
    for (schema, picked, document, expected) in [
        (object("", ""), 1, row, Ok(r#"{"a":1}"#)),
        (object(r#","z":{"type":"string"}"#, ""), 1, row, Ok(r#"{"a":1}"#)),
        (object(r#","z":{"type":["null","string"]}"#, ""), 1, row, Ok(r#"{"a":1,"z":null}"#)),
        (object(r#","z":{"type":"string","default":"x"}"#, ""), 1, row, Ok(r#"{"a":1,"z":"x"}"#)),
        (
            object(r#","z":{"type":"string"}"#, r#","required":["z"]"#),
            1,
            row,
            Err("the row does not fit schema 2: the required field `z` is NULL"),
        ),
        (object("", r#","required":["a"]"#), 1, "{}", Err("the required field `a` is NULL")),
        (object("", ""), 1, "{}", Ok("{}")),
        (r#"{"properties":{"b":{"type":"integer"}}}"#.into(), 1, row, Err("no field `a`: it has b")),
        (
            r#"{"properties":{"a":{"type":"string"}}}"#.into(),
            1,
            row,
            Err("`a` is of type BIGINT, which is not written as string"),
        ),
        (
            r#"{"properties":{"a":{"type":"integer","maximum":0}}}"#.into(),
            1,
            row,
            Err("1 is greater than the maximum of 0, path: /a"),
        ),
        (r#"{"properties":{"a":{"type":"integer","minimum":0}}}"#.into(), 1, row, Ok(r#"{"a":1}"#)),
        (
            object(&format!(r#","m":{decimal},"p":{map}"#), ""),
            3,
            row,
            Ok(r#"{"a":1,"m":"gA==","p":{"k":2}}"#),
        ),
        (
            object(&format!(r#","m":{decimal},"p":{map},"w":{decimal}"#), ""),
            4,
            r#"{"w":3402823669209384634633746074317682114.56}"#,
            Ok(r#"{"w":"AQAAAAAAAAAAAAAAAAAAAAA="}"#),
        ),
        (
            r#"{"type":"string"}"#.into(),
            1,
            row,
            Err("columns are written as an object, and the schema is of type string"),
        ),
    ] {
        let registry = Arc::new(EmbeddedRegistry::new());
        registry.register("other", &Schema::new(SchemaType::Json, "true")).unwrap();
        let id = registry.register("given", &Schema::new(SchemaType::Json, schema.as_str())).unwrap();
        let columns = fields(&columns[..picked]);
        let found = write(wrapped(), &registry, Some(id), &columns, &rows(&columns, &[document]));
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                let payload = found[0].as_deref().unwrap();
                assert_eq!(payload[..5], [0, 0, 0, 0, 2]);
                assert_eq!(String::from_utf8_lossy(&payload[5..]), expected, "{schema}");
            }
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{schema}: {found}"),
            (found, expected) => panic!("{schema}: {found:?}, expected {expected:?}"),
        }
    }
}

proptest! {
    #[test]
    fn changed_documents_never_panic(at in 0usize..260, byte in "[\\[\\]{},:\"a0 .e-]", cut in 0usize..260) {
        let columns = fields(&all_types());
        let registry = Arc::new(EmbeddedRegistry::new());
        let schema = wrapped().generate_schema(&columns, None).unwrap().unwrap();
        let id = registry.register("t-value", &schema).unwrap();
        let mut document = r#"{"B":true,"I":1,"L":2,"D":0.5,"M":12.50,"S":"a","Y":"AQI=","T":1000,"DA":3,"TS":-5,"A":["x",null],"MP":[{"key":"k","value":1}],"ST":{"F1":7,"F2":[[{"key":"q","value":1.5}],null]}}"#.to_owned();
        if at < document.len() {
            document.replace_range(at..=at, &byte);
        }
        document.truncate(cut.max(at));
        let mut payload = Vec::new();
        write_header(id, &mut payload);
        payload.extend_from_slice(document.as_bytes());
        let mut decoder = wrapped().decoder(&columns, None, Some(&subject(&registry, None))).unwrap();
        let decoded = decoder.decode(&[Some(&payload), None, Some(&payload)]);
        prop_assert!(decoded.columns.iter().all(|column| column.len() == 3));
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&document).is_ok();
        prop_assert!(is_json || decoded.errors.len() == 2, "{}", document);
    }

    #[test]
    fn changed_schemas_never_panic(at in 0usize..900, byte in "[\\[\\]{},:\"a0 -]") {
        let columns = fields(&all_types());
        let mut text = wrapped().generate_schema(&columns, None).unwrap().unwrap().text;
        if at < text.len() {
            text.replace_range(at..=at, &byte);
        }
        let resolved = ResolvedSchema { schema: Schema::new(SchemaType::Json, text), references: Vec::new() };
        let _ = wrapped().infer(&resolved, None, "X");
        let _ = millstream_formats::compatibility::normalized(&resolved);
    }
}
