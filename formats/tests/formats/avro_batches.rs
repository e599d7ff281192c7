//! Avro written in batches of many rows: rows that are absent, NULLs of every kind, and the first row that is refused.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, ListArray,
        StringArray, StructArray,
    },
    buffer::BooleanBuffer,
    datatypes::{DataType, Field, Fields, Int32Type},
};
use millstream_formats::{EmbeddedRegistry, Format, FormatSpec, Payloads, Schema, SchemaType, Subject};

use crate::show;

const SPEC: FormatSpec = FormatSpec::new(Format::Avro, true);
/// More than are written together.
const ROWS: usize = 700;

fn columns() -> Vec<(&'static str, ArrayRef)> {
    let rows = || 0..ROWS as i64;
    let longs: Int64Array =
        rows().map(|n| (n % 7 > 0).then_some(i64::MAX >> (n % 64) << (n % 3) ^ -(n % 2))).collect();
    let texts: StringArray = rows().map(|n| (n % 5 > 0).then(|| "é".repeat(n as usize % 90))).collect();
    let lists = rows().map(|n| (n % 3 > 0).then(|| (0..n as i32 % 4).map(Some).collect::<Vec<_>>()));
    let inner: ArrayRef = Arc::new(rows().map(|n| (n % 2 > 0).then_some(n as i32)).collect::<Int32Array>());
    let field = Arc::new(Field::new("X", DataType::Int32, true));
    vec![
        ("LONG", Arc::new(longs)),
        ("FLAG", Arc::new(rows().map(|n| (n % 4 > 0).then_some(n % 3 == 0)).collect::<BooleanArray>())),
        ("TEXT", Arc::new(texts)),
        ("INT", Arc::new(Int32Array::from_iter_values(rows().map(|n| -(n as i32) << (n % 20))))),
        ("DAY", Arc::new(Date32Array::from_iter_values(rows().map(|n| n as i32 * 1000)))),
        ("REAL", Arc::new(rows().map(|n| (n % 9 > 0).then_some(n as f64 / 3.0)).collect::<Float64Array>())),
        ("RAW", Arc::new(BinaryArray::from_iter_values(rows().map(|n| vec![n as u8; n as usize % 3])))),
        ("LIST", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
        ("PART", Arc::new(StructArray::from(vec![(field, inner)]))),
    ]
}

fn split(columns: Vec<(&str, ArrayRef)>) -> (Fields, Vec<ArrayRef>) {
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    (columns.iter().map(field).collect(), columns.into_iter().map(|(_, column)| column).collect())
}

fn subject() -> Subject {
    let registry = Arc::new(EmbeddedRegistry::new());
    Subject { registry, name: "t-value".into(), full_name: None, schema_id: None }
}

#[test]
fn a_batch_is_written_as_its_rows_are() {
    let (subject, (fields, columns)) = (subject(), split(columns()));
    let mut encoder = SPEC.encoder(&fields, Some(&subject)).expect("the columns fit");
    let present = BooleanBuffer::collect_bool(ROWS, |row| row % 11 != 3 && !(256..520).contains(&row));
    let mut out = Payloads::new();
    out.push(Some(b"before"));
    encoder.encode(&columns, ROWS, Some(&present), &mut out).expect("the declared columns");
    assert_eq!(out.len(), 1 + ROWS);
    assert_eq!(out.get(0), Some(&b"before"[..]));

    let mut alone = Payloads::new();
    for row in 0..ROWS {
        alone.clear();
        let one: Vec<ArrayRef> = columns.iter().map(|column| column.slice(row, 1)).collect();
        encoder.encode(&one, 1, None, &mut alone).expect("the declared columns");
        let expected = present.value(row).then(|| alone.get(0)).flatten();
        assert_eq!(out.get(1 + row), expected, "row {row}");
    }
    let payloads: Vec<Option<&[u8]>> = out.iter().skip(1).collect();
    let decoded = SPEC.decoder(&fields, None, Some(&subject)).expect("the columns fit").decode(&payloads);
    assert!(decoded.errors.is_empty(), "{:?}", decoded.errors);
    for (written, read) in columns.iter().zip(&decoded.columns) {
        for row in (0..ROWS).filter(|row| present.value(*row)) {
            assert_eq!(show(read, row), show(written, row), "row {row}");
        }
    }
}

#[test]
fn the_first_row_that_is_refused_ends_the_batch() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"A","type":["null","int"],"default":null},
        {"name":"B","type":"int"},
        {"name":"C","type":"string"}]}"#;
    let subject = subject();
    let id = subject.registry.register("t-value", &Schema::new(SchemaType::Avro, schema));
    let subject = Subject { schema_id: Some(id.expect("a new registry takes all")), ..subject };
    // (first NULL in B, first NULL in C, rows that are absent, row of the error, its field)
    for (b, c, absent, refused) in [
        (600, 300, 0..0, Some((300, "C"))),
        (300, 600, 0..0, Some((300, "B"))),
        (300, 300, 0..0, Some((300, "B"))),
        (0, 600, 0..0, Some((0, "B"))),
        (600, 300, 290..310, Some((600, "B"))),
        (300, ROWS, 300..301, None),
    ] {
        let ints = |null: usize| (0..ROWS).map(move |row| (row != null).then_some(row as i32));
        let texts: StringArray = ints(c).map(|n| n.map(|n| n.to_string())).collect();
        let (fields, columns) = split(vec![
            ("A", Arc::new(ints(5).collect::<Int32Array>()) as ArrayRef),
            ("B", Arc::new(ints(b).collect::<Int32Array>())),
            ("C", Arc::new(texts)),
        ]);
        let mut encoder = SPEC.encoder(&fields, Some(&subject)).expect("the columns fit");
        let present = BooleanBuffer::collect_bool(ROWS, |row| !absent.contains(&row));
        let mut out = Payloads::new();
        let result = encoder.encode(&columns, ROWS, Some(&present), &mut out);
        assert_eq!(out.len(), refused.map_or(ROWS, |(row, _)| row), "{b} {c}");
        assert_eq!(out.iter().position(|payload| payload.is_none()), absent.clone().next());
        match (result, refused) {
            (Ok(()), None) => {}
            (Err(error), Some((_, field))) => {
                assert!(error.to_string().contains(&format!("required field: \"{field}\"")), "{error}");
            }
            (result, _) => panic!("{result:?}"),
        }
    }
}
