//! Avro: generated and inferred schemas, what feeds which column, rows written by a registered schema, the
//! Avro library as the second opinion, and bytes that mean nothing.

use std::{collections::HashMap, sync::Arc};

use apache_avro::{
    Decimal, Schema as Library,
    reader::datum::GenericDatumReader,
    types::Value::{self, Array, Boolean, Bytes, Double, Enum, Float, Int, Long, Map, Null, Record, Union},
    writer::datum::GenericDatumWriter,
};
use arrow::{
    array::{ArrayRef, Int32Array, StringArray, StructArray},
    datatypes::{DataType, Field, Fields, i256},
};
use millstream_formats::{
    EmbeddedRegistry, Format, FormatSpec, Payloads, Reference, Schema, SchemaRegistry, SchemaType, Subject,
    split_header, type_name, write_header,
};

use crate::{array_of, fields, map_of, show, struct_of, time, timestamp};

const SPEC: FormatSpec = FormatSpec::new(Format::Avro, true);
const BARE: FormatSpec = FormatSpec::new(Format::Avro, false);

fn subject() -> Subject {
    Subject {
        registry: Arc::new(EmbeddedRegistry::new()),
        name: "t-value".into(),
        full_name: None,
        schema_id: None,
    }
}

/// A subject that reads and writes with this schema.
fn subject_of(schema: &str) -> Subject {
    let subject = subject();
    let id = subject.registry.register("t-value", &avro(schema)).expect("a new registry takes all");
    Subject { schema_id: Some(id), ..subject }
}

fn avro(text: &str) -> Schema {
    Schema::new(SchemaType::Avro, text)
}

fn library(text: &str) -> Library {
    Library::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn payload(subject: &Subject, schema: &str, value: Value) -> Vec<u8> {
    let schema = library(schema);
    let mut payload = Vec::new();
    write_header(subject.schema_id.expect("the subject has a schema"), &mut payload);
    let writer = GenericDatumWriter::builder(&schema).build().expect("a whole schema");
    writer.write_value(&mut payload, value).expect("the value is of the schema");
    payload
}

fn record(members: &[(&str, Value)]) -> Value {
    Record(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn some(value: Value) -> Value {
    Union(1, Box::new(value))
}

fn none() -> Value {
    Union(0, Box::new(Null))
}

/// One payload as the cells of its row, or the message of its error.
fn read(spec: &FormatSpec, subject: &Subject, columns: &Fields, payload: &[u8]) -> Result<String, String> {
    let mut decoder = spec.decoder(columns, None, Some(subject)).expect("the columns fit");
    let decoded = decoder.decode(&[Some(payload)]);
    match decoded.errors.first() {
        Some(error) => Err(error.message.clone()),
        None if decoded.null_rows.is_some() => Ok("NULL row".into()),
        None => Ok(decoded.columns.iter().map(|column| show(column, 0)).collect::<Vec<_>>().join(" | ")),
    }
}

fn write(
    spec: &FormatSpec,
    subject: &Subject,
    fields: &Fields,
    columns: &[ArrayRef],
) -> Result<Vec<Option<Vec<u8>>>, String> {
    let mut out = Payloads::new();
    let mut encoder = spec.encoder(fields, Some(subject)).map_err(|error| error.to_string())?;
    let rows = columns.first().map_or(0, |column| column.len());
    encoder.encode(columns, rows, None, &mut out).map_err(|error| error.to_string())?;
    Ok(out.iter().map(|payload| payload.map(<[u8]>::to_vec)).collect())
}

/// What the library reads from a payload.
fn library_reads(subject: &Subject, payload: &[u8]) -> Value {
    let (id, mut body) = split_header(payload).expect("a header");
    let schema = library(&subject.registry.schema(id).expect("registered").text);
    let reader = GenericDatumReader::builder(&schema).build().expect("a whole schema");
    let value = reader.read_value(&mut body).expect("written by this schema");
    assert!(body.is_empty(), "{} bytes too many", body.len());
    value
}

#[test]
fn generated_schemas_are_those_of_the_reference() {
    let name = "io.confluent.ksql.avro_schemas.KsqlDataSourceSchema";
    for (spec, full_name, columns, expected) in [
        (
            SPEC,
            None,
            fields(&[
                ("ID", DataType::Int64),
                ("D", DataType::Decimal128(4, 2)),
                ("TS", timestamp()),
                ("A.B", array_of(DataType::Utf8)),
            ]),
            format!(
                r#"{{"type":"record","name":"KsqlDataSourceSchema","namespace":"io.confluent.ksql.avro_schemas","fields":[
                {{"name":"ID","type":["null","long"],"default":null}},
                {{"name":"D","type":["null",{{"type":"bytes","scale":2,"precision":4,"connect.version":1,
                    "connect.parameters":{{"scale":"2","connect.decimal.precision":"4"}},
                    "connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}}],"default":null}},
                {{"name":"TS","type":["null",{{"type":"long","connect.version":1,
                    "connect.name":"org.apache.kafka.connect.data.Timestamp","logicalType":"timestamp-millis"}}],"default":null}},
                {{"name":"A_B","type":["null",{{"type":"array","items":["null","string"]}}],"default":null}}
                ],"connect.name":"{name}"}}"#
            ),
        ),
        (
            SPEC,
            None,
            fields(&[
                ("M", map_of(DataType::Int32)),
                ("S", struct_of(&[("F1", array_of(struct_of(&[("X", DataType::Boolean)])))])),
            ]),
            format!(
                r#"{{"type":"record","name":"KsqlDataSourceSchema","namespace":"io.confluent.ksql.avro_schemas","fields":[
                {{"name":"M","type":["null",{{"type":"array","items":{{"type":"record","name":"KsqlDataSourceSchema_M","fields":[
                    {{"name":"key","type":["null","string"],"default":null}},
                    {{"name":"value","type":["null","int"],"default":null}}],"connect.internal.type":"MapEntry"}},
                    "connect.name":"{name}_M"}}],"default":null}},
                {{"name":"S","type":["null",{{"type":"record","name":"KsqlDataSourceSchema_S","fields":[
                    {{"name":"F1","type":["null",{{"type":"array","items":["null",
                        {{"type":"record","name":"KsqlDataSourceSchema_S_F1","fields":[
                            {{"name":"X","type":["null","boolean"],"default":null}}],
                            "connect.name":"{name}_S_F1"}}]}}],"default":null}}],
                    "connect.name":"{name}_S"}}],"default":null}}
                ],"connect.name":"{name}"}}"#
            ),
        ),
        (BARE, None, fields(&[("A", DataType::Float64)]), r#""double""#.into()),
        (
            BARE,
            None,
            fields(&[("A", time())]),
            r#"{"type":"int","connect.version":1,"connect.name":"org.apache.kafka.connect.data.Time","logicalType":"time-millis"}"#.into(),
        ),
        (
            BARE,
            Some("com.acme.Key"),
            fields(&[("K", struct_of(&[("A", DataType::Date32)]))]),
            r#"{"type":"record","name":"Key","namespace":"com.acme","fields":[{"name":"A","type":["null",
                {"type":"int","connect.version":1,"connect.name":"org.apache.kafka.connect.data.Date","logicalType":"date"}],
                "default":null}],"connect.name":"com.acme.Key"}"#.into(),
        ),
        (
            SPEC,
            Some("Plain"),
            fields(&[("A", map_of(struct_of(&[("B", DataType::Binary)])))]),
            r#"{"type":"record","name":"Plain","fields":[{"name":"A","type":["null",{"type":"array","items":
                {"type":"record","name":"Plain_A","fields":[{"name":"key","type":["null","string"],"default":null},
                {"name":"value","type":["null",{"type":"record","name":"Plain_A_MapValue","fields":[
                {"name":"B","type":["null","bytes"],"default":null}],"connect.name":"Plain_A_MapValue"}],"default":null}],
                "connect.internal.type":"MapEntry"},"connect.name":"Plain_A"}],"default":null}],"connect.name":"Plain"}"#.into(),
        ),
    ] {
        let schema = spec.generate_schema(&columns, full_name).expect("the columns fit").expect("Avro has schemas");
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(json(&schema.text), json(&expected), "{}", schema.text);
        library(&schema.text);
    }
}

#[test]
fn names_that_avro_does_not_have_are_refused() {
    let one = struct_of(&[("B", DataType::Int32)]);
    let other = struct_of(&[("B", DataType::Int64)]);
    for (columns, expected) in [
        (fields(&[("1A", DataType::Int32)]), "Illegal initial character: 1A"),
        (fields(&[("A B", DataType::Int32)]), "Illegal character in: A B"),
        (fields(&[("", DataType::Int32)]), "Empty name"),
        (fields(&[("A", struct_of(&[("x-y", DataType::Int32)]))]), "Illegal character in: x-y"),
        (
            fields(&[("A", struct_of(&[("B", one.clone())])), ("A_B", other)]),
            "Can't redefine: io.confluent.ksql.avro_schemas.KsqlDataSourceSchema_A_B",
        ),
    ] {
        let error = SPEC.generate_schema(&columns, None).expect_err("must be refused");
        assert_eq!(error.to_string(), format!("Schema is not compatible with Avro: {expected}"));
    }
    let same = fields(&[("A", struct_of(&[("B", one.clone())])), ("A_B", one)]);
    library(&SPEC.generate_schema(&same, None).expect("the same record twice").expect("Avro").text);
    let ints = map_of(DataType::Int32);
    let DataType::Map(entries, _) = &ints else { unreachable!() };
    let pair = Fields::from(vec![
        Field::new("keys", DataType::Int32, false),
        Field::new("values", DataType::Int32, true),
    ]);
    let entries = Arc::new(entries.as_ref().clone().with_data_type(DataType::Struct(pair)));
    let error = SPEC.check(&fields(&[("M", DataType::Map(entries, false))])).expect_err("keys are INT");
    assert_eq!(error.to_string(), "Avro only supports MAPs with STRING keys");
}

/// The columns that a schema has, as `NAME TYPE, ...`.
fn inferred(spec: &FormatSpec, registry: &EmbeddedRegistry, schema: &Schema) -> Result<String, String> {
    let resolved = registry.resolve(schema).expect("references are registered");
    let columns = spec.infer(&resolved, None, "ROWVAL").map_err(|error| error.to_string())?;
    let columns = columns.iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type())));
    Ok(columns.collect::<Vec<_>>().join(", "))
}

#[test]
fn columns_are_inferred_as_connect_sees_the_schema() {
    let of = |ty: &str| format!(r#"{{"type":"record","name":"R","fields":[{{"name":"f","type":{ty}}}]}}"#);
    for (ty, expected) in [
        (r#""boolean""#, "BOOLEAN"),
        (r#""int""#, "INTEGER"),
        (r#"["null","int"]"#, "INTEGER"),
        (r#"["int","null"]"#, "INTEGER"),
        (r#"["long"]"#, "BIGINT"),
        (r#"{"type":"int","connect.type":"int8"}"#, "INTEGER"),
        (r#"{"type":{"type":"long"}}"#, "BIGINT"),
        (r#""float""#, "DOUBLE"),
        (r#""double""#, "DOUBLE"),
        (r#""bytes""#, "BYTES"),
        (r#"{"type":"fixed","name":"F","size":3}"#, "BYTES"),
        (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, "STRING"),
        (r#"{"type":"int","logicalType":"date"}"#, "DATE"),
        (r#"{"type":"int","logicalType":"time-millis"}"#, "TIME"),
        (r#"{"type":"long","logicalType":"time-micros"}"#, "BIGINT"),
        (r#"{"type":"long","logicalType":"timestamp-millis"}"#, "TIMESTAMP"),
        (r#"{"type":"long","logicalType":"timestamp-micros"}"#, "BIGINT"),
        (r#"{"type":"string","logicalType":"uuid"}"#, "STRING"),
        (r#"{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}"#, "DECIMAL(6, 2)"),
        (r#"{"type":"bytes","logicalType":"decimal","precision":6}"#, "DECIMAL(6, 0)"),
        (r#"{"type":"bytes","logicalType":"decimal","scale":2}"#, "DECIMAL(64, 2)"),
        (r#"{"type":"bytes","logicalType":"decimal","precision":64,"scale":3}"#, "DECIMAL(64, 3)"),
        (r#"{"type":"bytes","logicalType":"decimal","precision":77,"scale":3}"#, "DECIMAL(76, 3)"),
        (
            r#"{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":9,"scale":1}"#,
            "DECIMAL(9, 1)",
        ),
        (r#"{"type":"array","items":"string"}"#, "ARRAY<STRING>"),
        (r#"{"type":"map","values":["null","long"]}"#, "MAP<STRING, BIGINT>"),
        (
            r#"{"type":"array","items":{"type":"record","name":"M","connect.internal.type":"MapEntry",
                "fields":[{"name":"key","type":"int"},{"name":"value","type":"double"}]}}"#,
            "MAP<STRING, DOUBLE>",
        ),
        (
            r#"{"type":"array","items":{"type":"record","name":"MapEntry","namespace":"io.confluent.connect.avro",
                "fields":[{"name":"key","type":"string"},{"name":"value","type":"int"}]}}"#,
            "MAP<STRING, INTEGER>",
        ),
        (
            r#"{"type":"array","items":{"type":"record","name":"M","fields":[{"name":"key","type":"int"},{"name":"value","type":"double"}]}}"#,
            "ARRAY<STRUCT<`key` INTEGER, `value` DOUBLE>>",
        ),
        (
            r#"["null","int","string",{"type":"record","name":"a.b.C","fields":[{"name":"x","type":"long"}]}]"#,
            "STRUCT<`int` INTEGER, `string` STRING, `C` STRUCT<`x` BIGINT>>",
        ),
    ] {
        let found = inferred(&SPEC, &EmbeddedRegistry::new(), &avro(&of(ty)));
        assert_eq!(found, Ok(format!("f {expected}")), "{ty}");
    }
    for (schema, expected) in [
        (r#""int""#.into(), Err("anonymous type")),
        (of(r#"["null","R"]"#), Err("does not include any columns")),
        (of(r#""null""#), Err("does not include any columns")),
        (of(r#""Unknown""#), Err("type Unknown is not defined before it is used")),
        (of(r#"{"type":"array"}"#), Err("has no \"items\"")),
        (of(r#"["int",["null"]]"#), Err("a union stands directly in a union")),
        (of(r#"[{"type":"fixed","name":"a.F","size":1},{"type":"fixed","name":"b.F","size":1}]"#), Err("several types of a union are called F")),
        (of(r#"{"type":"record","name":"R","fields":[]}"#), Err("Can't redefine: R")),
        ("{".into(), Err("the Avro schema cannot be used")),
        (
            r#"{"type":"record","name":"Node","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","Node"]}]}"#.into(),
            Ok("v INTEGER"),
        ),
    ] {
        match (inferred(&SPEC, &EmbeddedRegistry::new(), &avro(&schema)), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{schema}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{schema}: {found}"),
            (found, expected) => panic!("{schema}: {found:?} instead of {expected:?}"),
        }
    }
    assert_eq!(inferred(&BARE, &EmbeddedRegistry::new(), &avro(r#""int""#)), Ok("ROWVAL INTEGER".into()));
}

#[test]
fn referenced_schemas_are_known_by_name() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let country = avro(r#"{"type":"enum","name":"Country","namespace":"geo","symbols":["DE","FR"]}"#);
    registry.register("country", &country).expect("new");
    let refer =
        |name: &str, subject: &str| Reference { name: name.into(), subject: subject.into(), version: 1 };
    let address = Schema {
        references: vec![refer("geo.Country", "country")],
        ..avro(
            r#"{"type":"record","name":"Address","namespace":"geo","fields":[{"name":"c","type":"Country"}]}"#,
        )
    };
    registry.register("address", &address).expect("new");
    let person = Schema {
        references: vec![refer("geo.Address", "address")],
        ..avro(
            r#"{"type":"record","name":"P","fields":[{"name":"A","type":"geo.Address"},{"name":"B","type":["null","geo.Country"]}]}"#,
        )
    };
    let id = registry.register("t-value", &person).expect("new");
    assert_eq!(inferred(&SPEC, &registry, &person), Ok("A STRUCT<`c` STRING>, B STRING".into()));
    let subject = Subject { registry, schema_id: Some(id), ..subject() };
    let columns = fields(&[("A", struct_of(&[("c", DataType::Utf8)])), ("B", DataType::Utf8)]);
    let mut payload = Vec::new();
    write_header(id, &mut payload);
    payload.extend([2, 2, 0]);
    assert_eq!(read(&SPEC, &subject, &columns, &payload), Ok("{c: FR} | DE".into()));
}

/// A field F of the type, with the value, read as a column F.
fn read_field(ty: &str, value: Value, column: DataType) -> Result<String, String> {
    let schema = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"F","type":{ty}}}]}}"#);
    let subject = subject_of(&schema);
    let payload = payload(&subject, &schema, record(&[("F", value)]));
    read(&SPEC, &subject, &fields(&[("F", column)]), &payload)
}

#[test]
fn values_feed_columns_as_connect_types_do() {
    let decimal = |unscaled: &[u8]| Value::Decimal(Decimal::from(unscaled));
    let most = i256::from_string(&"9".repeat(76)).unwrap().to_be_bytes();
    let date = r#"{"type":"int","logicalType":"date"}"#;
    let millis = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
    let cents = r#"{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}"#;
    let mismatch =
        |from: &str, to: &str| Err(format!("Cannot deserialize type {from} as type {to} for path: ->F"));
    let ok = |text: &str| Ok(text.to_owned());
    for (ty, value, column, expected) in [
        (r#""int""#, Int(7), DataType::Int32, ok("7")),
        (r#""int""#, Int(-7), DataType::Int64, ok("-7")),
        (r#""int""#, Int(7), DataType::Utf8, ok("7")),
        (r#""int""#, Int(7), DataType::Float64, mismatch("int32", "float64")),
        (r#""int""#, Int(7), DataType::Boolean, mismatch("int32", "boolean")),
        (r#""int""#, Int(7), DataType::Date32, ok("1970-01-08")),
        (r#""int""#, Int(7000), time(), ok("00:00:07")),
        (r#""long""#, Long(7), DataType::Int32, mismatch("int64", "int32")),
        (r#""long""#, Long(i64::MIN), DataType::Int64, ok("-9223372036854775808")),
        (r#""long""#, Long(7000), timestamp(), ok("1970-01-01T00:00:07")),
        (r#""float""#, Float(0.1), DataType::Utf8, ok("0.1")),
        (r#""float""#, Float(0.5), DataType::Float64, ok("0.5")),
        (r#""double""#, Double(1e10), DataType::Utf8, ok("1.0E10")),
        (r#""double""#, Double(0.1), DataType::Float64, ok("0.1")),
        (r#""boolean""#, Boolean(true), DataType::Utf8, ok("true")),
        (r#""boolean""#, Boolean(true), DataType::Boolean, ok("true")),
        (r#""string""#, Value::String("ä".into()), DataType::Utf8, ok("ä")),
        (r#""string""#, Value::String("1".into()), DataType::Int32, mismatch("string", "int32")),
        (r#"["null","string"]"#, none(), DataType::Int32, mismatch("string", "int32")),
        (r#"["null","string"]"#, none(), DataType::Utf8, ok("NULL")),
        (r#"["string","null"]"#, Union(1, Box::new(Null)), DataType::Utf8, ok("NULL")),
        (r#"["string"]"#, Union(0, Box::new(Value::String("x".into()))), DataType::Utf8, ok("x")),
        (r#""bytes""#, Bytes(vec![1, 2]), DataType::Binary, ok("0102")),
        (r#""bytes""#, Bytes(vec![1, 2]), DataType::Utf8, mismatch("bytes", "string")),
        (
            r#"{"type":"fixed","name":"X","size":2}"#,
            Value::Fixed(2, vec![1, 2]),
            DataType::Binary,
            ok("0102"),
        ),
        (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, Enum(1, "B".into()), DataType::Utf8, ok("B")),
        (date, Value::Date(1), DataType::Date32, ok("1970-01-02")),
        (date, Value::Date(1), DataType::Int64, ok("1")),
        (date, Value::Date(1), timestamp(), mismatch("int32", "int64")),
        (millis, Value::TimestampMillis(5), DataType::Int64, ok("5")),
        (millis, Value::TimestampMillis(5), DataType::Utf8, ok("5")),
        (cents, decimal(&[0x04, 0xd2]), DataType::Decimal128(6, 2), ok("12.34")),
        (cents, decimal(&[0xff]), DataType::Decimal128(8, 4), ok("-0.0100")),
        (cents, decimal(&[0x04, 0xce]), DataType::Decimal128(5, 1), ok("12.3")),
        (cents, decimal(&[0x04, 0xd2]), DataType::Decimal256(70, 3), ok("12.340")),
        (cents, decimal(&most), DataType::Decimal256(76, 2), ok(&format!("{}.99", "9".repeat(74)))),
        (
            cents,
            decimal(&most),
            DataType::Decimal256(76, 3),
            Err(format!(
                "Cannot fit decimal '{}.99' into DECIMAL(76, 3) without rounding. (Requires 76,2), path: ->F",
                "9".repeat(74)
            )),
        ),
        (
            cents,
            decimal(&[0x04, 0xd2]),
            DataType::Decimal128(5, 1),
            Err("Cannot fit decimal '12.34' into DECIMAL(5, 1) without rounding. (Requires 4,2), path: ->F"
                .into()),
        ),
        (
            cents,
            decimal(&[0x04, 0xd2]),
            DataType::Decimal128(3, 2),
            Err("Cannot fit decimal '12.34' into DECIMAL(3, 2) without rounding. (Requires 4,2), path: ->F"
                .into()),
        ),
        (cents, decimal(&[1]), DataType::Binary, mismatch("bytes", "bytes")),
        (
            r#"{"type":"array","items":["null","int"]}"#,
            Array(vec![some(Int(1)), none()]),
            array_of(DataType::Utf8),
            ok("[1, NULL]"),
        ),
        (
            r#"{"type":"array","items":"long"}"#,
            Array(vec![Long(1)]),
            array_of(DataType::Int32),
            Err("Cannot deserialize type int64 as type int32 for path: ->F->ARRAY".into()),
        ),
        (r#"{"type":"array","items":"long"}"#, Array(vec![]), array_of(DataType::Int32), ok("[]")),
        (
            r#"{"type":"map","values":"int"}"#,
            Map(HashMap::from([("k".into(), Int(1))])),
            map_of(DataType::Int64),
            ok("{k: 1}"),
        ),
        (
            r#"{"type":"map","values":"long"}"#,
            Map(HashMap::from([("k".into(), Long(1))])),
            map_of(DataType::Int32),
            Err("Cannot deserialize type int64 as type int32 for path: ->F->MAP_VAL".into()),
        ),
        (
            r#"{"type":"array","items":{"type":"record","name":"M","connect.internal.type":"MapEntry",
                "fields":[{"name":"value","type":["null","double"]},{"name":"key","type":["null","int"]}]}}"#,
            Array(vec![
                record(&[("value", some(Double(1.5))), ("key", some(Int(3)))]),
                record(&[("value", none()), ("key", some(Int(4)))]),
                record(&[("value", some(Double(2.5))), ("key", some(Int(3)))]),
            ]),
            map_of(DataType::Float64),
            ok("{4: NULL, 3: 2.5}"),
        ),
        (
            r#"["null","int",{"type":"record","name":"a.C","fields":[{"name":"x","type":"long"}]}]"#,
            Union(2, Box::new(record(&[("x", Long(9))]))),
            struct_of(&[("INT", DataType::Int32), ("C", struct_of(&[("X", DataType::Int64)]))]),
            ok("{INT: NULL, C: {X: 9}}"),
        ),
        (
            r#"["int","null","string"]"#,
            Union(1, Box::new(Null)),
            struct_of(&[("INT", DataType::Int32)]),
            ok("NULL"),
        ),
        (
            r#"["int","null","string"]"#,
            Union(2, Box::new(Value::String("x".into()))),
            struct_of(&[("INT", DataType::Int32)]),
            ok("{INT: NULL}"),
        ),
    ] {
        assert_eq!(read_field(ty, value, column.clone()), expected, "{ty} as {column}");
    }
}

#[test]
fn fields_find_their_columns_by_name() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"a","type":"int"},{"name":"gone","type":{"type":"array","items":{"type":"map","values":["null","string"]}}},
        {"name":"A","type":"int"},{"name":"b","type":"int"},{"name":"c","type":["null","R"]}]}"#;
    let subject = subject_of(schema);
    let inner =
        record(&[("a", Int(9)), ("gone", Array(vec![])), ("A", Int(9)), ("b", Int(9)), ("c", none())]);
    let gone =
        Array(vec![Map(HashMap::from([("k".into(), some(Value::String("v".into())))])), Map(HashMap::new())]);
    let value = record(&[("a", Int(1)), ("gone", gone), ("A", Int(2)), ("b", Int(3)), ("c", some(inner))]);
    let payload = payload(&subject, schema, value);
    for (names, expected) in [
        (&["A", "B"][..], "2 | 3"),
        (&["a", "b"], "1 | 3"),
        (&["B", "a", "A", "C2"], "3 | 1 | 2 | NULL"),
        (&["Z"], "NULL"),
    ] {
        let columns: Vec<_> = names.iter().map(|name| (*name, DataType::Int32)).collect();
        assert_eq!(read(&SPEC, &subject, &fields(&columns), &payload).as_deref(), Ok(expected), "{names:?}");
    }
    // Only what is asked for is judged.
    let columns = fields(&[("A", DataType::Boolean), ("B", DataType::Int32)]);
    let mut decoder = SPEC.decoder(&columns, Some(&[1]), Some(&subject)).expect("the columns fit");
    let decoded = decoder.decode(&[Some(&payload)]);
    assert_eq!((decoded.errors, show(&decoded.columns[0], 0)), (vec![], "3".into()));
}

#[test]
fn every_payload_is_read_with_its_own_schema() {
    let subject = subject_of(r#""int""#);
    let old = r#"{"type":"record","name":"R","fields":[{"name":"A","type":"int"}]}"#;
    let new = r#"{"type":"record","name":"R","fields":[{"name":"B","type":"string"},{"name":"A","type":["null","long"]}]}"#;
    let bad = Schema::new(SchemaType::Json, "{}");
    let mut versions = (1..).zip([avro(old), avro(new), bad]);
    let ids = [(); 3].map(|()| {
        let (number, schema) = versions.next().expect("three of three");
        subject.registry.register(&format!("version-{number}"), &schema).expect("new")
    });
    let with = |id| Subject { schema_id: Some(id), ..subject.clone() };
    let first = payload(&with(ids[0]), old, record(&[("A", Int(1))]));
    let second =
        payload(&with(ids[1]), new, record(&[("B", Value::String("x".into())), ("A", some(Long(2)))]));
    let [mut foreign, mut unread, mut unknown] = [first.clone(), first.clone(), first.clone()];
    foreign[4] = u8::try_from(subject.schema_id.expect("given")).expect("a small id");
    unread[4] = u8::try_from(ids[2]).expect("a small id");
    unknown[4] = 99;
    let columns = fields(&[("A", DataType::Int64)]);
    let mut decoder = SPEC.decoder(&columns, None, Some(&subject)).expect("the columns fit");
    let payloads =
        [&first[..], &second, &unknown, &foreign, &first, &[], &[1, 2], &unknown, &unread, &second];
    let decoded = decoder.decode(&payloads.map(Some));
    let errors: Vec<String> = decoded.errors.iter().map(|error| format!("{}: {error}", error.row)).collect();
    let magic = "Unknown magic byte! The payload does not begin with 0 and the id of a schema";
    let missing = "Error retrieving Avro schema for id 99: Schema 99 not found; error code: 40403";
    assert_eq!(
        errors,
        [
            format!("2: {missing}"),
            "3: Cannot deserialize type int32 as type struct for path: ".into(),
            format!("5: {magic}"),
            format!("6: {magic}"),
            format!("7: {missing}"),
            "8: schema 4: the Avro schema cannot be used: part of it is registered as JSON".into(),
        ]
    );
    let values: Vec<_> = (0..10).map(|row| show(&decoded.columns[0], row)).collect();
    assert_eq!(values.join(" "), "1 2 NULL NULL 1 NULL NULL NULL NULL 2");
}

#[test]
fn a_null_record_is_a_null_row_and_a_bare_null_is_a_row() {
    let schema = r#"["null",{"type":"record","name":"R","fields":[{"name":"A","type":"int"}]}]"#;
    let subject = subject_of(schema);
    let payload_of = |value| payload(&subject, schema, value);
    let columns = fields(&[("A", DataType::Int32)]);
    assert_eq!(read(&SPEC, &subject, &columns, &payload_of(none())), Ok("NULL row".into()));
    assert_eq!(read(&SPEC, &subject, &columns, &payload_of(some(record(&[("A", Int(4))])))), Ok("4".into()));
    let nullable = subject_of(r#"["null","int"]"#);
    let bytes = payload(&nullable, r#"["null","int"]"#, none());
    assert_eq!(read(&BARE, &nullable, &columns, &bytes), Ok("NULL".into()));
    let written = write(&BARE, &nullable, &columns, &[Arc::new(Int32Array::from(vec![None, Some(3)]))]);
    assert_eq!(written.map(|rows| rows[0].is_none() && rows[1].is_some()), Ok(true));
}

#[test]
fn rows_are_written_by_the_schema_with_the_id() {
    let column = |value: Option<i32>| -> Vec<ArrayRef> { vec![Arc::new(Int32Array::from(vec![value]))] };
    let of = |members: &str| format!(r#"{{"type":"record","name":"com.acme.R","fields":[{members}]}}"#);
    let required = "Invalid value: null used for required field: \"a\", schema type: int";
    let missing = "Missing default value for required Avro field: [b]. This field appears in Avro schema in Schema Registry";
    for (members, value, expected) in [
        (r#"{"name":"a","type":"int"}"#, Some(5), Ok(record(&[("a", Int(5))]))),
        (r#"{"name":"a","type":"int"}"#, None, Err(required)),
        (r#"{"name":"a","type":"int","default":7}"#, None, Ok(record(&[("a", Int(7))]))),
        (r#"{"name":"a","type":["null","int"]}"#, None, Ok(record(&[("a", none())]))),
        (
            r#"{"name":"a","type":["int","null"],"default":8}"#,
            None,
            Ok(record(&[("a", Union(0, Box::new(Int(8))))])),
        ),
        (
            r#"{"name":"b","type":"string","default":"x"},{"name":"a","type":"long"}"#,
            Some(5),
            Ok(record(&[("b", Value::String("x".into())), ("a", Long(5))])),
        ),
        (
            r#"{"name":"a","type":"int"},{"name":"b","type":["null","int"]}"#,
            Some(5),
            Ok(record(&[("a", Int(5)), ("b", none())])),
        ),
        (r#"{"name":"a","type":"int"},{"name":"b","type":"double"}"#, Some(5), Err(missing)),
        (
            r#"{"name":"a","type":"string"}"#,
            Some(5),
            Err("Cannot serialize type INTEGER as Avro's string for path: ->a"),
        ),
        (
            r#"{"name":"a","type":"int"},{"name":"b","type":{"type":"record","name":"N","fields":[
                {"name":"l","type":{"type":"array","items":"int"},"default":[1,2]},{"name":"m","type":{"type":"map","values":"boolean"}},
                {"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}},{"name":"y","type":"bytes"}]},
                "default":{"m":{"k":true},"e":"Y","y":"\u0001\u00ff"}}"#,
            Some(5),
            Ok(record(&[
                ("a", Int(5)),
                (
                    "b",
                    record(&[
                        ("l", Array(vec![Int(1), Int(2)])),
                        ("m", Map(HashMap::from([("k".into(), Boolean(true))]))),
                        ("e", Enum(1, "Y".into())),
                        ("y", Bytes(vec![1, 255])),
                    ]),
                ),
            ])),
        ),
    ] {
        let subject = subject();
        let id = subject.registry.register("other", &avro(&of(members))).expect("new");
        let subject = Subject { schema_id: Some(id), ..subject };
        let written = write(&SPEC, &subject, &fields(&[("a", DataType::Int32)]), &column(value));
        let found = written.map(|rows| library_reads(&subject, rows[0].as_deref().expect("a row")));
        assert_eq!(found, expected.map_err(str::to_owned), "{members}");
    }
}

#[test]
fn a_refused_row_leaves_nothing_behind() {
    let subject = subject_of(
        r#"{"type":"record","name":"R","fields":[{"name":"A","type":"int"},{"name":"B","type":{"type":"enum","name":"E","symbols":["X"]}}]}"#,
    );
    let columns = fields(&[("A", DataType::Int32), ("B", DataType::Utf8)]);
    let mut encoder = SPEC.encoder(&columns, Some(&subject)).expect("the columns fit");
    let row = |symbol: &str| -> Vec<ArrayRef> {
        vec![Arc::new(Int32Array::from(vec![1])), Arc::new(StringArray::from(vec![symbol]))]
    };
    let mut out = Payloads::new();
    encoder.encode(&row("X"), 1, None, &mut out).expect("a symbol");
    let error = encoder.encode(&row("Z"), 1, None, &mut out).expect_err("no symbol");
    assert_eq!(error.to_string(), "'Z' is no symbol of the enum, path: ->B");
    encoder.encode(&row("X"), 1, None, &mut out).expect("a symbol");
    assert_eq!((out.get(0), out.len()), (out.get(1), 2));
    assert_eq!(out.get(0), Some(&[0, 0, 0, 0, 1, 2, 0][..]));
}

#[test]
fn unions_are_written_from_the_branch_that_is_not_null() {
    let schema = r#"["null","int",{"type":"map","values":"string"},{"type":"record","name":"a.C","fields":[{"name":"x","type":"string"}]}]"#;
    let schema = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"U","type":{schema}}}]}}"#);
    let subject = subject_of(&schema);
    let record_type = struct_of(&[("x", DataType::Utf8)]);
    let union = struct_of(&[("int", DataType::Int32), ("C", record_type.clone())]);
    let (DataType::Struct(members), DataType::Struct(inner)) = (&union, &record_type) else { unreachable!() };
    let texts = StructArray::new(
        inner.clone(),
        vec![Arc::new(StringArray::from(vec!["t"; 4])) as ArrayRef],
        Some(vec![false, true, false, false].into()),
    );
    let ints = Int32Array::from(vec![Some(4), None, None, Some(5)]);
    let column = StructArray::new(
        members.clone(),
        vec![Arc::new(ints) as ArrayRef, Arc::new(texts)],
        Some(vec![true, true, true, false].into()),
    );
    let columns = fields(&[("U", union)]);
    let rows = write(&SPEC, &subject, &columns, &[Arc::new(column)]).expect("every row fits");
    let found: Vec<Value> =
        rows.iter().map(|row| library_reads(&subject, row.as_deref().expect("a row"))).collect();
    let expected = [
        Union(1, Box::new(Int(4))),
        Union(3, Box::new(record(&[("x", Value::String("t".into()))]))),
        Union(0, Box::new(Null)),
        Union(0, Box::new(Null)),
    ];
    assert_eq!(found, expected.map(|value| record(&[("U", value)])));
}

#[test]
fn length_bombs_and_deep_values_are_errors() {
    let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let list = r#"{"type":"record","name":"R","fields":[{"name":"n","type":["null","R"]},{"name":"A","type":"int"}]}"#;
    for (schema, column, body, expected) in [
        (r#""string""#, DataType::Utf8, huge.to_vec(), "ends in the middle"),
        (r#""string""#, DataType::Utf8, vec![1, 0], "a value of -1 bytes"),
        (r#""string""#, DataType::Utf8, vec![4, 0xc3, 0x28], "not UTF-8"),
        (r#""int""#, DataType::Int32, vec![0xfe, 0xff, 0xff, 0xff, 0xff, 1], "where an int has 32 bits"),
        (r#"{"type":"array","items":"null"}"#, array_of(DataType::Int32), huge.to_vec(), "has fewer bytes"),
        (r#"{"type":"array","items":"int"}"#, array_of(DataType::Int32), huge.to_vec(), "has fewer bytes"),
        (r#"{"type":"map","values":"int"}"#, map_of(DataType::Int32), vec![3, 100, 0], "a block of 50 bytes"),
        (r#"["null","int"]"#, DataType::Int32, vec![4, 0], "no branch 2"),
        (r#"{"type":"enum","name":"E","symbols":["A"]}"#, DataType::Utf8, vec![2], "no branch 1"),
        (r#""boolean""#, DataType::Boolean, vec![2], "where a boolean is 0 or 1"),
    ] {
        let subject = subject_of(schema);
        let mut bytes = Vec::new();
        write_header(1, &mut bytes);
        bytes.extend(body);
        let found = read(&BARE, &subject, &fields(&[("A", column)]), &bytes).expect_err("a bad payload");
        assert!(found.contains(expected), "{schema}: {found}");
    }
    let subject = subject_of(list);
    let mut deep = vec![0, 0, 0, 0, 1];
    deep.extend(vec![2; 1_000_000]);
    let found = read(&SPEC, &subject, &fields(&[("A", DataType::Int32)]), &deep).expect_err("too deep");
    assert!(found.contains("nested deeper than 128 levels"), "{found}");
}

#[test]
fn schemas_that_explode_are_refused() {
    let mut fields = String::from(
        r#"{"name":"f0","type":{"type":"record","name":"R0","fields":[{"name":"x","type":"int"}]}}"#,
    );
    for level in 1..40 {
        let below = level - 1;
        fields.push_str(&format!(
            r#",{{"name":"f{level}","type":{{"type":"record","name":"R{level}","fields":[{{"name":"a","type":"R{below}"}},{{"name":"b","type":"R{below}"}}]}}}}"#
        ));
    }
    let schema = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let found = inferred(&SPEC, &EmbeddedRegistry::new(), &avro(&schema)).expect_err("2^40 types");
    assert!(found.contains("more than 10000 types"), "{found}");
}

#[test]
fn rows_without_columns_are_records_without_fields() {
    let subject = subject();
    let mut out = Payloads::new();
    let mut encoder = SPEC.encoder(&Fields::empty(), Some(&subject)).expect("no columns fit");
    encoder.encode(&[], 2, None, &mut out).expect("two rows");
    assert_eq!(out.get(1), Some(&[0, 0, 0, 0, 1][..]));
}
