//! Payloads of every format, behind whatever schema.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, Field, Fields, TimeUnit},
    util::display::{ArrayFormatter, FormatOptions},
};
use millstream_formats::{
    Format, FormatSpec, Payloads, ProtobufNulls, ResolvedSchema, Schema, SchemaType, Subject, write_header,
};

use super::registry::Given;

/// What a batch of nothing may take, and how much more per byte of the input.
const MEMORY: (usize, usize) = (1 << 20, 512);

/// A byte says the type, the rest is a payload.
pub fn kafka(data: &[u8]) -> bool {
    let Some((&flags, payload)) = data.split_first() else { return false };
    let types = [DataType::Int32, DataType::Int64, DataType::Float64, DataType::Utf8, DataType::Binary];
    let column = types[usize::from(flags) % types.len()].clone();
    exact(&FormatSpec::value(Format::Kafka), &fields([("V", column)]), payload)
}

/// A byte says the delimiter, the rest is a payload.
pub fn delimited(data: &[u8]) -> bool {
    let Some((&flags, payload)) = data.split_first() else { return false };
    let spec = FormatSpec::value(Format::Delimited);
    let spec = [spec, spec.with_delimiter('\t'), spec.with_delimiter('|')][usize::from(flags) % 3];
    exact(&spec, &plain().into_iter().chain([wide()]).collect(), payload)
}

/// A byte says whether one column is read bare, the rest is a payload.
pub fn json(data: &[u8]) -> bool {
    let Some((&flags, payload)) = data.split_first() else { return false };
    let (spec, columns) = wrapped_or_bare(Format::Json, flags);
    exact(&spec, &columns, payload)
}

/// `flags | schema | 0 | payload behind its header`
pub fn avro(data: &[u8]) -> bool {
    registered(Format::Avro, SchemaType::Avro, data)
}

/// The same; the payload begins with the indexes of its message.
pub fn protobuf(data: &[u8]) -> bool {
    registered(Format::Protobuf, SchemaType::Protobuf, data)
}

/// The same, with a document as payload.
pub fn json_sr(data: &[u8]) -> bool {
    registered(Format::JsonSr, SchemaType::Json, data)
}

/// A byte says how NULL is written, the rest is a payload.
pub fn protobuf_nosr(data: &[u8]) -> bool {
    let Some((&flags, payload)) = data.split_first() else { return false };
    let nulls = [ProtobufNulls::Absent, ProtobufNulls::Optional, ProtobufNulls::Wrapper];
    let spec = FormatSpec { nulls: nulls[usize::from(flags) % 3], ..FormatSpec::value(Format::ProtobufNosr) };
    settles(&spec, &all(), None, payload)
}

/// Reads a payload by its schema into the columns inferred from that, and into those that were declared whatever
/// the schema is.
fn registered(format: Format, schema_type: SchemaType, data: &[u8]) -> bool {
    let Some((&flags, rest)) = data.split_first() else { return false };
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let Ok(text) = std::str::from_utf8(&rest[..end]) else { return false };
    let schema = Schema::new(schema_type, text);
    let mut payload = Vec::new();
    write_header(1, &mut payload);
    payload.extend_from_slice(rest.get(end + 1..).unwrap_or_default());
    let subject = || Subject {
        registry: Arc::new(Given::new(schema.clone())),
        name: "t-value".into(),
        full_name: None,
        schema_id: None,
    };
    let (spec, declared) = wrapped_or_bare(format, flags);
    let spec = FormatSpec { nulls: ProtobufNulls::Optional, unwrap_primitives: flags & 2 != 0, ..spec };
    settles(&spec, &declared, Some(&subject()), &payload);
    let resolved = ResolvedSchema { schema: schema.clone(), references: Vec::new() };
    match spec.infer(&resolved, None, "V") {
        Ok(inferred) => settles(&spec, &inferred, Some(&subject()), &payload),
        Err(_) => false,
    }
}

fn wrapped_or_bare(format: Format, flags: u8) -> (FormatSpec, Fields) {
    if flags & 1 == 0 || !format.can_unwrap() {
        return (FormatSpec::value(format), all());
    }
    let columns = all();
    let column = columns[usize::from(flags >> 2) % columns.len()].clone();
    (FormatSpec::new(format, false), Fields::from(vec![column]))
}

/// A payload that can be read is written and read again as the same.
fn exact(spec: &FormatSpec, columns: &Fields, payload: &[u8]) -> bool {
    let Some(read) = read(spec, columns, None, payload) else { return false };
    let again = write(spec, columns, None, &read);
    match again.expect("columns of these types can be written") {
        Some(again) => {
            assert_eq!(self::read(spec, columns, None, &again).map(shown), Some(shown(read)), "{spec:?}");
        }
        None => assert!(read[0].is_null(0), "{spec:?} {:?}", shown(read)),
    }
    true
}

/// What was written by the format's own schema is read again, and after that stays the same: what a schema
/// cannot say, as NULL in a list, is gone by then.
fn settles(spec: &FormatSpec, columns: &Fields, subject: Option<&Subject>, payload: &[u8]) -> bool {
    let Some(found) = read(spec, columns, subject, payload) else { return false };
    let Some(first) = write(spec, columns, subject, &found) else { return true };
    let Some(first) = first else {
        assert!(found[0].is_null(0), "{spec:?} {:?}", shown(found));
        return true;
    };
    let once = read(spec, columns, subject, &first).expect("written just now");
    let second = write(spec, columns, subject, &once).flatten().expect("it was written before");
    let twice = read(spec, columns, subject, &second).map(shown);
    assert_eq!(twice, Some(shown(once)), "{spec:?} {columns:?}");
    true
}

/// The columns of one payload, if it can be read and is no NULL.
fn read(
    spec: &FormatSpec,
    columns: &Fields,
    subject: Option<&Subject>,
    payload: &[u8],
) -> Option<Vec<ArrayRef>> {
    let mut decoder = spec.decoder(columns, None, subject).ok()?;
    let decoded = decoder.decode(&[Some(payload), None, Some(payload)]);
    let memory: usize =
        decoded.columns.iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum();
    let allowed = MEMORY.0 + MEMORY.1 * payload.len();
    assert!(memory <= allowed, "{} bytes became {memory}: {spec:?} {columns:?}", payload.len());
    for column in &decoded.columns {
        assert_eq!(column.len(), 3);
        assert!(column.is_null(1), "a NULL payload left something");
    }
    for error in &decoded.errors {
        assert!(decoded.columns.iter().all(|column| column.is_null(error.row)), "{error}");
    }
    let nulls = decoded.null_rows.expect("the second is NULL");
    assert_eq!(nulls.value(0), nulls.value(2), "the second time is another");
    match decoded.errors.len() {
        0 => {}
        2 => return None,
        _ => panic!("the same payload twice, and one error: {:?}", decoded.errors),
    }
    if nulls.value(0) {
        return None;
    }
    let rows = |at: usize| decoded.columns.iter().map(|column| column.slice(at, 1)).collect::<Vec<_>>();
    assert_eq!(shown(rows(0)), shown(rows(2)), "the second time is another");
    Some(rows(0))
}

/// One row as a payload, if there is a schema for it. NULL alone is a NULL payload where no record is around it.
fn write(
    spec: &FormatSpec,
    columns: &Fields,
    subject: Option<&Subject>,
    row: &[ArrayRef],
) -> Option<Option<Vec<u8>>> {
    let mut out = Payloads::new();
    let mut encoder = spec.encoder(columns, subject).ok()?;
    encoder.encode(row, 1, None, &mut out).expect("a generated schema takes every row");
    Some(out.get(0).map(<[u8]>::to_vec))
}

fn shown(row: Vec<ArrayRef>) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    row.iter()
        .map(|cell| {
            ArrayFormatter::try_new(cell, &options).expect("every type can be shown").value(0).to_string()
        })
        .collect()
}

fn fields<const N: usize>(columns: [(&str, DataType); N]) -> Fields {
    columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect()
}

fn plain() -> Vec<Field> {
    let columns = [
        ("I", DataType::Int32),
        ("L", DataType::Int64),
        ("D", DataType::Float64),
        ("S", DataType::Utf8),
        ("B", DataType::Boolean),
        ("Y", DataType::Binary),
        ("M", DataType::Decimal128(9, 2)),
        ("DA", DataType::Date32),
        ("T", DataType::Time32(TimeUnit::Millisecond)),
        ("TS", DataType::Timestamp(TimeUnit::Millisecond, None)),
    ];
    columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect()
}

/// A DECIMAL of more than 38 digits.
fn wide() -> Field {
    Field::new("W", DataType::Decimal256(76, 30), true)
}

/// A column of every type.
fn all() -> Fields {
    let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
    let structure = DataType::Struct(fields([("X", DataType::Int32), ("Z", list(DataType::Utf8))]));
    let pair = vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Int64, true)];
    let entries = Field::new("entries", DataType::Struct(pair.into()), false);
    let nested = [
        ("A", list(DataType::Int32)),
        ("AS", list(structure.clone())),
        ("MP", DataType::Map(Arc::new(entries), false)),
        ("ST", structure),
    ];
    let nested = nested.map(|(name, ty)| Field::new(name, ty, true));
    plain().into_iter().chain(nested).chain([wide()]).collect()
}
