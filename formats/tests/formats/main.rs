//! The formats through their public API: tables from the reference, round trips, and bytes that mean nothing.

mod avro;
mod avro_batches;
mod avro_random;
mod avro_typed;
mod delimited;
mod fuzz_smoke;
mod json;
mod json_sr;
mod json_typed;
mod kafka;
mod protobuf;
mod protobuf_typed;
mod registry;
mod round_trip;

use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field, Fields, TimeUnit},
    util::display::{ArrayFormatter, FormatOptions},
};
use millstream_formats::{Decoded, FormatSpec, Payloads};

fn fields(columns: &[(&str, DataType)]) -> Fields {
    columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect()
}

fn array_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn map_of(value: DataType) -> DataType {
    let pair =
        Fields::from(vec![Field::new("keys", DataType::Utf8, false), Field::new("values", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false)
}

fn struct_of(columns: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields(columns))
}

fn time() -> DataType {
    DataType::Time32(TimeUnit::Millisecond)
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn decode(spec: &FormatSpec, fields: &Fields, payloads: &[Option<&[u8]>]) -> Decoded {
    spec.decoder(fields, None, None).expect("the columns fit").decode(payloads)
}

/// Reads one payload with one column and shows its cell, or the message of its error.
fn read_one(spec: &FormatSpec, fields: &Fields, payload: &[u8]) -> Result<String, String> {
    let decoded = decode(spec, fields, &[Some(payload)]);
    match decoded.errors.first() {
        Some(error) => Err(error.message.clone()),
        None => Ok(decoded.columns.iter().map(|column| show(column, 0)).collect::<Vec<_>>().join(" | ")),
    }
}

fn show(column: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL");
    ArrayFormatter::try_new(column, &options).expect("every type can be shown").value(row).to_string()
}

fn encode(spec: &FormatSpec, fields: &Fields, columns: &[ArrayRef]) -> Vec<Option<Vec<u8>>> {
    let mut out = Payloads::new();
    let rows = columns.first().map_or(0, |column| column.len());
    let mut encoder = spec.encoder(fields, None).expect("the columns fit");
    encoder.encode(columns, rows, None, &mut out).expect("the columns are those declared");
    out.iter().map(|payload| payload.map(<[u8]>::to_vec)).collect()
}

fn encode_text(spec: &FormatSpec, fields: &Fields, columns: &[ArrayRef]) -> Vec<Option<String>> {
    let text = |payload: Vec<u8>| String::from_utf8(payload).expect("text formats write UTF-8");
    encode(spec, fields, columns).into_iter().map(|payload| payload.map(text)).collect()
}
