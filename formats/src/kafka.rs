//! KAFKA: one column in the encoding of Kafka's primitive serializers.
//!
//! | type | bytes |
//! |---|---|
//! | INT | 4, big-endian, signed |
//! | BIGINT | 8, big-endian, signed |
//! | DOUBLE | 8, IEEE 754, big-endian |
//! | STRING | UTF-8 |
//! | BYTES | as they are |
//!
//! NULL is a NULL payload.

use std::array::TryFromSliceError;

use crate::{cells::Cells, column::Column, decoder::Row};

pub(crate) struct KafkaReader;

impl KafkaReader {
    /// Reads one payload into the only column, or into none if the column is not wanted.
    pub(crate) fn read(&self, bytes: &[u8], columns: &mut [Column]) -> Result<Row, String> {
        match columns.first_mut() {
            None => {}
            Some(Column::Int(column)) => column.push(i32::from_be_bytes(fixed("INTEGER", bytes)?)),
            Some(Column::BigInt(column)) => column.push(i64::from_be_bytes(fixed("BIGINT", bytes)?)),
            Some(Column::Double(column)) => column.push(f64::from_be_bytes(fixed("DOUBLE", bytes)?)),
            // As Java reads text: what is not UTF-8 becomes U+FFFD.
            Some(Column::String(column)) => column.push(String::from_utf8_lossy(bytes).as_bytes()),
            Some(Column::Bytes(column)) => column.push(bytes),
            Some(_) => unreachable!("KAFKA holds five types"),
        }
        Ok(Row::Present)
    }
}

/// Writes the cell; `false` if it is NULL.
pub(crate) fn write(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> bool {
    if cells.is_null(row) {
        return false;
    }
    match cells {
        Cells::Int(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
        Cells::BigInt(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
        Cells::Double(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
        Cells::String(array) => out.extend_from_slice(array.value(row).as_bytes()),
        Cells::Bytes(array) => out.extend_from_slice(array.value(row)),
        _ => unreachable!("KAFKA holds five types"),
    }
    true
}

fn fixed<const N: usize>(data_type: &str, bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_: TryFromSliceError| {
        format!("Error deserializing KAFKA message: {data_type} takes {N} bytes, got {}", bytes.len())
    })
}
