//! Kafka's primitive serializers.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray},
    datatypes::DataType,
};
use millstream_formats::{Format, FormatSpec};

use crate::{decode, encode, fields, read_one};

#[test]
fn bytes_are_those_of_kafkas_serializers() {
    let spec = FormatSpec::key(Format::Kafka, 1);
    let columns: [(DataType, ArrayRef, &[u8]); 4] = [
        (DataType::Int32, Arc::new(Int32Array::from(vec![Some(7), None])), &[0, 0, 0, 7]),
        (
            DataType::Int64,
            Arc::new(Int64Array::from(vec![Some(-2), None])),
            &[255, 255, 255, 255, 255, 255, 255, 254],
        ),
        (
            DataType::Float64,
            Arc::new(Float64Array::from(vec![Some(1.0), None])),
            &[0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
        ),
        (DataType::Utf8, Arc::new(StringArray::from(vec![Some("bo"), None])), b"bo"),
    ];
    for (data_type, column, expected) in columns {
        let fields = fields(&[("ID", data_type)]);
        let payloads = encode(&spec, &fields, std::slice::from_ref(&column));
        assert_eq!(payloads, [Some(expected.to_vec()), None], "{column:?}");
        let decoded = decode(&spec, &fields, &[Some(expected), None]);
        assert_eq!(decoded.columns, [column]);
        assert_eq!(decoded.null_rows.map(|rows| rows.set_indices().collect::<Vec<_>>()), Some(vec![1]));
    }
}

#[test]
fn a_wrong_length_is_a_row_error() {
    let spec = FormatSpec::value(Format::Kafka);
    for (data_type, payload, expected) in [
        (DataType::Int32, &b"abc"[..], "Error deserializing KAFKA message: INTEGER takes 4 bytes, got 3"),
        (DataType::Int64, b"abcd", "Error deserializing KAFKA message: BIGINT takes 8 bytes, got 4"),
        (DataType::Float64, b"", "Error deserializing KAFKA message: DOUBLE takes 8 bytes, got 0"),
    ] {
        assert_eq!(read_one(&spec, &fields(&[("A", data_type)]), payload), Err(expected.to_owned()));
    }
}
