//! JSON: the reference's table of coercions, names, and what is written.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray, Decimal128Array, Float64Array, Int64Array, StringArray},
    buffer::BooleanBuffer,
    datatypes::DataType,
};
use millstream_formats::{Format, FormatSpec, Payloads};

use crate::{array_of, decode, encode_text, fields, map_of, read_one, show, struct_of, time, timestamp};

const WRAPPED: FormatSpec = FormatSpec::new(Format::Json, true);
const BARE: FormatSpec = FormatSpec::new(Format::Json, false);

fn convert(source: &str, required: &str) -> String {
    format!("Can't convert type. sourceType: {source}, requiredType: {required}, path: $")
}

fn coerce(target: &str) -> String {
    format!("Can't coerce string to type. targetType: {target}, path: $")
}

/// Reads a bare value of each type.
fn check(data_type: DataType, cases: &[(&str, Result<&str, String>)]) {
    for (text, expected) in cases {
        let found = read_one(&BARE, &fields(&[("A", data_type.clone())]), text.as_bytes());
        assert_eq!(found, expected.clone().map(str::to_owned), "{data_type} from {text}");
    }
}

#[test]
fn booleans_are_only_booleans() {
    check(
        DataType::Boolean,
        &[
            ("true", Ok("true")),
            (" false ", Ok("false")),
            ("null", Ok("NULL")),
            ("\"true\"", Err(convert("TextNode", "BOOLEAN"))),
            ("1", Err(convert("IntNode", "BOOLEAN"))),
            ("{}", Err(convert("ObjectNode", "BOOLEAN"))),
        ],
    );
}

#[test]
fn whole_numbers_are_cut_and_wrap() {
    check(
        DataType::Int32,
        &[
            ("12", Ok("12")),
            ("12.9", Ok("12")),
            ("2147483648", Ok("-2147483648")),
            ("\"-12\"", Ok("-12")),
            ("\"1.5\"", Err(coerce("INTEGER"))),
            ("\"2147483648\"", Err(coerce("INTEGER"))),
            ("true", Err(convert("BooleanNode", "INTEGER"))),
            ("[1]", Err(convert("ArrayNode", "INTEGER"))),
        ],
    );
    check(
        DataType::Int64,
        &[
            ("9223372036854775807", Ok("9223372036854775807")),
            ("1e3", Ok("1000")),
            ("\"\\u0031\"", Ok("1")),
            ("\"x\"", Err(coerce("BIGINT"))),
        ],
    );
}

#[test]
fn doubles_take_numbers_and_numeric_text() {
    check(
        DataType::Float64,
        &[
            ("12.34", Ok("12.34")),
            ("-0.1e-7", Ok("-1e-8")),
            ("\"1.5\"", Ok("1.5")),
            ("\"NaN\"", Ok("NaN")),
            ("\"-Infinity\"", Ok("-inf")),
            ("\"\"", Err(coerce("DOUBLE"))),
            ("false", Err(convert("BooleanNode", "DOUBLE"))),
        ],
    );
}

#[test]
fn decimals_must_fit_exactly() {
    let rounds = |text: &str, requires: &str| {
        Err(format!(
            "Cannot fit decimal '{text}' into DECIMAL(4, 2) without rounding. (Requires {requires}), path: $"
        ))
    };
    check(
        DataType::Decimal128(4, 2),
        &[
            ("12.5", Ok("12.50")),
            ("12.500", Ok("12.50")),
            ("\"12.50\"", Ok("12.50")),
            ("1e1", Ok("10.00")),
            ("12.345", rounds("12.345", "5,3")),
            ("\"123.4\"", rounds("123.4", "4,1")),
            ("\"abc\"", Err(coerce("DECIMAL"))),
            ("true", Err(convert("BooleanNode", "DECIMAL"))),
        ],
    );
    let all_digits = "12345678901234567890123456789012345.678";
    check(DataType::Decimal128(38, 3), &[(all_digits, Ok(all_digits))]);
    let wide = format!("-{}.{}", "9".repeat(40), "8".repeat(36));
    let wider = format!("{wide}8");
    check(
        DataType::Decimal256(76, 36),
        &[
            (&wide, Ok(&wide)),
            ("1e-36", Ok(&format!("0.{}1", "0".repeat(35)))),
            (
                &wider,
                Err(format!(
                    "Cannot fit decimal '{wider}' into DECIMAL(76, 36) without rounding. (Requires 77,37), path: $"
                )),
            ),
        ],
    );
}

#[test]
fn strings_take_anything() {
    check(
        DataType::Utf8,
        &[
            ("\"plain\"", Ok("plain")),
            (r#""q\" b\\ s\/ \b\f\n\r\t \u00e4 \ud83d\ude00""#, Ok("q\" b\\ s/ \u{8}\u{c}\n\r\t ä 😀")),
            (r#""half \ud83d pair \ude00""#, Ok("half \u{fffd} pair \u{fffd}")),
            ("12.50", Ok("12.50")),
            ("true", Ok("true")),
            (r#"{ "a" : [ 1, "x \" y" ] }"#, Ok(r#"{"a":[1,"x \" y"]}"#)),
            (r#"[1, "b", [true , null], {"c": 1}]"#, Ok(r#"[1, b, [true, null], {"c":1}]"#)),
            ("[]", Ok("[]")),
            ("null", Ok("NULL")),
        ],
    );
}

#[test]
fn times_are_numbers() {
    check(
        DataType::Date32,
        &[("1", Ok("1970-01-02")), ("\"1\"", Ok("1970-01-02")), ("1.9", Ok("1970-01-02"))],
    );
    check(
        time(),
        &[
            ("1000", Ok("00:00:01")),
            (
                "86400000",
                Err("Time values must use number of milliseconds greater than 0 and less than 86400000, got 86400000, path: $".into()),
            ),
        ],
    );
    check(
        timestamp(),
        &[("1000", Ok("1970-01-01T00:00:01")), ("\"1970-01-01T00:00:01\"", Err(coerce("TIMESTAMP")))],
    );
    check(
        DataType::Binary,
        &[
            ("\"AQL/\"", Ok("0102ff")),
            ("\"?\"", Err("Can't decode base64 text to type BYTES, path: $".into())),
            ("1", Err(convert("IntNode", "BYTES"))),
        ],
    );
}

#[test]
fn nested_values_follow_their_types() {
    check(
        array_of(DataType::Int32),
        &[
            ("[1, \"2\", null]", Ok("[1, 2, NULL]")),
            ("[]", Ok("[]")),
            ("{}", Err(convert("ObjectNode", "ARRAY"))),
            (
                "[1, true]",
                Err("Can't convert type. sourceType: BooleanNode, requiredType: INTEGER, path: $[1]".into()),
            ),
            ("[1", Err("malformed JSON at byte 2: expected ',' or ']', path: $".into())),
        ],
    );
    check(
        map_of(DataType::Int32),
        &[
            (r#"{"a": 1, "b": null}"#, Ok("{a: 1, b: NULL}")),
            (r#"{"a": 1, "b": 2, "a": 3}"#, Ok("{b: 2, a: 3}")),
            (r#"{"a": "x"}"#, Err("Can't coerce string to type. targetType: INTEGER, path: $.a".into())),
        ],
    );
    let inner = struct_of(&[("SUB", array_of(struct_of(&[("X", DataType::Boolean)])))]);
    check(
        struct_of(&[("F", inner)]),
        &[
            (r#"{"f": {"sub": [{"x": true}, null, {}]}}"#, Ok("{F: {SUB: [{X: true}, NULL, {X: NULL}]}}")),
            (
                r#"{"F": {"SUB": [{"X": true}, {"X": 1}]}}"#,
                Err("Can't convert type. sourceType: IntNode, requiredType: BOOLEAN, path: $.F.SUB[1].X"
                    .into()),
            ),
        ],
    );
}

#[test]
fn a_large_map_keeps_the_last_of_repeated_keys() {
    let entries: Vec<String> = (0..40).map(|n| format!("\"k{}\": {n}", n % 20)).collect();
    let text = format!("{{{}}}", entries.join(","));
    let expected: Vec<String> = (20..40).map(|n| format!("k{}: {n}", n % 20)).collect();
    check(map_of(DataType::Int32), &[(&text, Ok(&format!("{{{}}}", expected.join(", "))))]);
}

#[test]
fn names_match_exactly_and_then_in_upper_case() {
    let columns = fields(&[("ID", DataType::Int32), ("lower", DataType::Utf8)]);
    for (text, expected) in [
        (r#"{"id": 1, "lower": "a"}"#, "1 | a"),
        (r#"{"Id": 1, "LOWER": "a"}"#, "1 | NULL"),
        (r#"{"ID": 1, "id": 2}"#, "1 | NULL"),
        (r#"{"id": 2, "ID": 1, "iD": 3}"#, "1 | NULL"),
        (r#"{"ID": 1, "lower": "x", "ID": 4, "lower": "y"}"#, "4 | y"),
        (r#"{"unknown": {"ID": [9, {}]}, "I\u0044": 5}"#, "5 | NULL"),
        ("{}", "NULL | NULL"),
    ] {
        assert_eq!(read_one(&WRAPPED, &columns, text.as_bytes()), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn bad_rows_leave_nulls_and_the_others_stand() {
    let columns = fields(&[("A", DataType::Utf8), ("B", DataType::Int32)]);
    let payloads: [Option<&[u8]>; 9] = [
        Some(br#"{"A": "x", "B": 1}"#),
        Some(br#"{"A": "half", "B": true}"#),
        None,
        Some(b"null"),
        Some(b""),
        Some(br#"{"A": "cut"#),
        Some(br#"{"A": "y"} more"#),
        Some(&[b'{', b'"', 0xff, b'"', b':', b'1', b'}']),
        Some(br#"{"B": 2}"#),
    ];
    let decoded = decode(&WRAPPED, &columns, &payloads);
    let shown: Vec<String> = (0..payloads.len())
        .map(|row| format!("{} {}", show(&decoded.columns[0], row), show(&decoded.columns[1], row)))
        .collect();
    let nulls = "NULL NULL";
    assert_eq!(shown, ["x 1", nulls, nulls, nulls, nulls, nulls, nulls, nulls, "NULL 2"]);
    let null_rows = decoded.null_rows.expect("two rows are NULL");
    assert_eq!(null_rows.set_indices().collect::<Vec<_>>(), [2, 3]);
    let errors: Vec<_> = decoded.errors.iter().map(|error| (error.row, error.message.as_str())).collect();
    assert_eq!(
        errors,
        [
            (1, "Can't convert type. sourceType: BooleanNode, requiredType: INTEGER, path: $.B"),
            (4, "malformed JSON at byte 0: expected a value, path: $"),
            (5, "malformed JSON at byte 10: expected the end of a string, path: $.A"),
            (6, "malformed JSON at byte 11: expected the end of the text, path: $"),
            (7, "malformed JSON at byte 2: expected UTF-8, path: $"),
        ]
    );
}

#[test]
fn half_a_surrogate_pair_costs_one_character() {
    let columns = fields(&[("A", DataType::Utf8), ("B", array_of(DataType::Utf8)), ("C", DataType::Int32)]);
    for (text, expected) in [
        (r#"{"A": "x", "B": ["y", "\udead"], "C": 1}"#, Ok("x | [y, \u{fffd}] | 1")),
        (r#"{"\ud800": "\ud800", "A": "x"}"#, Ok("x | NULL | NULL")),
        (r#"{"A": "\ud83d", "C": "x"}"#, Err("Can't coerce string to type. targetType: INTEGER, path: $.C")),
        (
            r#"{"A": "\ud83d", "C": 1"#,
            Err("malformed JSON at byte 22: expected the end of an object, path: $"),
        ),
    ] {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(read_one(&WRAPPED, &columns, text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_bare_null_text_is_a_row_and_null_bytes_are_none() {
    let decoded = decode(&BARE, &fields(&[("A", DataType::Int32)]), &[Some(b"null"), None]);
    assert_eq!(decoded.null_rows.map(|rows| rows.set_indices().collect::<Vec<_>>()), Some(vec![1]));
    assert!(decoded.errors.is_empty());
}

#[test]
fn a_projection_yields_its_columns_in_its_order() {
    let columns = fields(&[("A", DataType::Int32), ("B", DataType::Utf8), ("C", DataType::Float64)]);
    let mut decoder = WRAPPED.decoder(&columns, Some(&[2, 0, 2]), None).expect("columns 2 and 0 exist");
    let decoded = decoder.decode(&[Some(br#"{"A": 1, "B": ["any", "thing"], "C": 2.5}"#)]);
    let shown: Vec<String> = decoded.columns.iter().map(|column| show(column, 0)).collect();
    assert_eq!(shown, ["2.5", "1", "2.5"]);
    let error = WRAPPED.decoder(&columns, Some(&[3]), None).err().expect("there is no column 3");
    assert_eq!(
        error.to_string(),
        "column 3 is projected but only 3 columns are declared: give positions below 3"
    );
}

#[test]
fn rows_are_written_with_all_columns() {
    let columns = fields(&[
        ("NAME", DataType::Utf8),
        ("AMT", DataType::Decimal128(6, 2)),
        ("TS", timestamp()),
        ("a\"b", DataType::Float64),
    ]);
    let amounts = Decimal128Array::from(vec![Some(1250), None]).with_data_type(DataType::Decimal128(6, 2));
    let cells: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["bo", "tab\t \"q\" \\ \u{1} ä"])),
        Arc::new(amounts),
        Arc::new(arrow::array::TimestampMillisecondArray::from(vec![Some(1000), None])),
        Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN)])),
    ];
    assert_eq!(
        encode_text(&WRAPPED, &columns, &cells),
        [
            Some(r#"{"NAME":"bo","AMT":12.50,"TS":1000,"a\"b":1.0}"#.to_owned()),
            Some(r#"{"NAME":"tab\t \"q\" \\ \u0001 ä","AMT":null,"TS":null,"a\"b":"NaN"}"#.to_owned()),
        ]
    );
}

#[test]
fn bare_values_are_written_without_names() {
    let one = fields(&[("A", DataType::Utf8)]);
    let cells: ArrayRef = Arc::new(StringArray::from(vec![Some("abc"), None]));
    assert_eq!(encode_text(&BARE, &one, &[cells]), [Some("\"abc\"".to_owned()), None]);
    let one = fields(&[("A", DataType::Binary)]);
    let cells: ArrayRef = Arc::new(BinaryArray::from(vec![&[1u8, 2, 255][..]]));
    assert_eq!(encode_text(&BARE, &one, &[cells]), [Some("\"AQL/\"".to_owned())]);
}

#[test]
fn absent_rows_are_null_payloads() {
    let one = fields(&[("A", DataType::Int64)]);
    let cells: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let mut out = Payloads::new();
    let mut encoder = WRAPPED.encoder(&one, None).expect("fits");
    encoder.encode(&[cells], 2, Some(&BooleanBuffer::from(vec![true, false])), &mut out).expect("one column");
    assert_eq!(out.iter().collect::<Vec<_>>(), [Some(&b"{\"A\":1}"[..]), None]);
}

#[test]
fn other_columns_than_declared_are_refused() {
    let mut encoder = WRAPPED.encoder(&fields(&[("A", DataType::Int64)]), None).expect("fits");
    let wrong: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let error = encoder.encode(&[wrong], 1, None, &mut Payloads::new()).expect_err("a STRING is no BIGINT");
    assert_eq!(
        error.to_string(),
        "the encoder was made for [`A` BIGINT] but was given [STRING]: pass the columns in the declared order"
    );
    let short: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let error = encoder.encode(&[short], 2, None, &mut Payloads::new()).expect_err("one row is not two");
    assert!(error.to_string().contains("was given 1 rows instead of 2"), "{error}");
}
