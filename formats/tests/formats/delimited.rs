//! CSV lines: the reference's table and Commons CSV's quoting.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Decimal128Array, StringArray},
    datatypes::DataType,
};
use millstream_formats::{Format, FormatSpec};

use crate::{decode, encode_text, fields, read_one, time, timestamp};

const SPEC: FormatSpec = FormatSpec::new(Format::Delimited, false);

#[test]
fn one_field_of_each_type() {
    let decimal = DataType::Decimal128(4, 2);
    for (data_type, text, expected) in [
        (DataType::Boolean, "TRUE", Ok("true")),
        (DataType::Boolean, "yes", Ok("false")),
        (DataType::Int32, "-5", Ok("-5")),
        (DataType::Int32, " 5", Err("A INTEGER: ' 5' is not a whole number of 32 bits")),
        (DataType::Int32, "2147483648", Err("A INTEGER: '2147483648' is not a whole number of 32 bits")),
        (DataType::Int64, "1.5", Err("A BIGINT: '1.5' is not a whole number of 64 bits")),
        (DataType::Float64, "1e3", Ok("1000.0")),
        (DataType::Float64, "x", Err("A DOUBLE: 'x' is not a number")),
        (decimal.clone(), "12.5", Ok("12.50")),
        (
            decimal,
            "12.345",
            Err(
                "A DECIMAL(4, 2): Cannot fit decimal '12.345' into DECIMAL(4, 2) without rounding. (Requires 5,3)",
            ),
        ),
        (DataType::Utf8, "\"a \"\"quoted\"\", one\"", Ok("a \"quoted\", one")),
        (DataType::Utf8, "\"\"", Ok("NULL")),
        (DataType::Utf8, "\"a\"b", Err("text between the end of a quoted field and the delimiter")),
        (DataType::Utf8, "\"a", Err("a quoted field does not end")),
        (DataType::Utf8, "\"a\"\"", Err("a quoted field does not end")),
        (DataType::Utf8, "\"a\n", Err("a quoted field does not end")),
        (DataType::Utf8, "\"a\"b\"\"", Err("text between the end of a quoted field and the delimiter")),
        (DataType::Utf8, "\"a \" \t\r\nb", Ok("a ")),
        (DataType::Utf8, "\"two\nlines\"", Ok("two\nlines")),
        (DataType::Utf8, "a\"b\" ", Ok("a\"b\" ")),
        (DataType::Utf8, "\u{feff}a", Ok("\u{feff}a")),
        (DataType::Utf8, "\r\n\nafter empty lines", Ok("after empty lines")),
        (DataType::Utf8, "\n", Err("No fields in record")),
        (DataType::Utf8, "first\nsecond", Ok("first")),
        (DataType::Utf8, "", Err("No fields in record")),
        (DataType::Binary, "AQL/", Ok("0102ff")),
        (DataType::Binary, "AQL", Err("A BYTES: 'AQL' is not base64")),
        (DataType::Date32, "1", Ok("1970-01-02")),
        (time(), "1000", Ok("00:00:01")),
        (
            time(),
            "86400000",
            Err("A TIME: '86400000' is not a time: milliseconds of a day go from 0 to 86399999"),
        ),
        (timestamp(), "1000", Ok("1970-01-01T00:00:01")),
    ] {
        let found = read_one(&SPEC, &fields(&[("A", data_type.clone())]), text.as_bytes());
        let expected =
            expected.map(str::to_owned).map_err(|error| format!("Error deserializing delimited: {error}"));
        assert_eq!(found, expected, "{data_type} from {text:?}");
    }
}

#[test]
fn columns_are_counted() {
    let three = fields(&[("A", DataType::Int32), ("B", DataType::Utf8), ("C", DataType::Int32)]);
    for (text, expected) in [
        ("1,x,3", Ok("1 | x | 3")),
        ("1,,", Ok("1 | NULL | NULL")),
        ("1,\"x,y\" ,3\r\nignored", Ok("1 | x,y | 3")),
        ("1,x", Err("Column count mismatch on deserialization. expected: 3, got: 2")),
        ("1,x,3,4", Err("Column count mismatch on deserialization. expected: 3, got: 4")),
    ] {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(read_one(&SPEC, &three, text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn a_projection_counts_and_skips_the_other_columns() {
    let three = fields(&[("A", DataType::Int32), ("B", DataType::Utf8), ("C", DataType::Int32)]);
    let mut decoder = SPEC.decoder(&three, Some(&[2, 1]), None).expect("columns 2 and 1 exist");
    let decoded = decoder.decode(&[Some(b"not a number,x,3"), Some(b"1,x")]);
    let errors: Vec<_> = decoded.errors.iter().map(|error| error.row).collect();
    assert_eq!(
        (crate::show(&decoded.columns[0], 0), crate::show(&decoded.columns[1], 0)),
        ("3".into(), "x".into())
    );
    assert_eq!(errors, [1]);
}

#[test]
fn fields_are_quoted_as_commons_csv_does() {
    let two = fields(&[("A", DataType::Utf8), ("B", DataType::Utf8)]);
    for (first, second, expected) in [
        (Some("a"), Some("b"), "a,b"),
        (Some(""), Some(""), "\"\","),
        (None, None, ","),
        (Some("a,b"), Some("say \"x\""), "\"a,b\",\"say \"\"x\"\"\""),
        (Some("#a"), Some("!a"), "\"#a\",\"!a\""),
        (Some("ä"), Some("ä"), "\"ä\",ä"),
        (Some("a "), Some(" a"), "\"a \",\" a\""),
        (Some("-1"), Some("two\nlines"), "\"-1\",\"two\nlines\""),
        (Some("x"), Some("-1"), "x,-1"),
    ] {
        let columns: [ArrayRef; 2] =
            [first, second].map(|cell| Arc::new(StringArray::from(vec![cell])) as ArrayRef);
        assert_eq!(encode_text(&SPEC, &two, &columns), [Some(expected.to_owned())], "{first:?} {second:?}");
    }
}

#[test]
fn another_delimiter_is_read_and_written() {
    let spec = SPEC.with_delimiter('\t');
    let two = fields(&[("A", DataType::Utf8), ("B", DataType::Utf8)]);
    let decoded = decode(&spec, &two, &[Some(b"a,b\t\"c\td\"")]);
    assert_eq!(crate::show(&decoded.columns[1], 0), "c\td");
    assert_eq!(encode_text(&spec, &two, &decoded.columns), [Some("a,b\t\"c\td\"".to_owned())]);
}

#[test]
fn decimals_keep_their_scale() {
    let one = fields(&[("A", DataType::Decimal128(6, 2))]);
    let values = Decimal128Array::from(vec![1250, -5, 0]).with_data_type(DataType::Decimal128(6, 2));
    let expected = ["12.50", "\"-0.05\"", "0.00"].map(|text| Some(text.to_owned()));
    assert_eq!(encode_text(&SPEC, &one, &[Arc::new(values)]), expected);
}
