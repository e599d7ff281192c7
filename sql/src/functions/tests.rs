//! Every function is called as it stands in SQL, once with constants and once with columns.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, ListArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute;
use arrow::datatypes::Field;
use datafusion::logical_expr::ColumnarValue;
use datafusion::scalar::ScalarValue;
use millstream_log::{Clock, Timestamp};

use crate::ast::{Expr, ExprKind, Literal};
use crate::error::SqlError;
use crate::expression::RowErrors;
use crate::expression::cast::{cast, write_value};
use crate::function::{ArgType, FunctionKind, FunctionRegistry};
use crate::parser::parse_expr;
use crate::types::SqlType;

/// A clock that stands still.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::new(1_614_834_367_089)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

fn registry() -> FunctionRegistry {
    FunctionRegistry::builtin(Arc::new(Stopped))
}

/// A value, or an untyped NULL.
type Value = (ArgType, ScalarValue);

fn evaluate(expr: &Expr, registry: &FunctionRegistry, errors: &RowErrors) -> Result<Value, SqlError> {
    let sql = |ty: SqlType, value: ScalarValue| Ok((ArgType::Sql(ty), value));
    match &expr.kind {
        ExprKind::Literal(literal) => match literal.clone() {
            Literal::Null => Ok((ArgType::Null, ScalarValue::Null)),
            Literal::Boolean(b) => sql(SqlType::Boolean, b.into()),
            Literal::Int(n) => sql(SqlType::Int, n.into()),
            Literal::Bigint(n) => sql(SqlType::Bigint, n.into()),
            Literal::Double(n) => sql(SqlType::Double, n.into()),
            Literal::String(text) => sql(SqlType::String, text.into()),
            Literal::Decimal { unscaled, precision, scale } => {
                sql(SqlType::Decimal { precision, scale }, crate::decimal::scalar(unscaled, precision, scale))
            }
        },
        ExprKind::TimeUnit(unit) => Ok((ArgType::Unit, unit.to_string().into())),
        ExprKind::Cast { operand, to } => {
            let to = to.resolve_builtin()?;
            let (_, value) = evaluate(operand, registry, errors)?;
            let array = cast(&value.to_array()?, &to.to_arrow(), errors)?;
            sql(to, ScalarValue::try_from_array(&array, 0)?)
        }
        ExprKind::Array(items) => {
            let items =
                items.iter().map(|item| evaluate(item, registry, errors)).collect::<Result<Vec<_>, _>>()?;
            let ty = items
                .iter()
                .find_map(|(ty, _)| if let ArgType::Sql(ty) = ty { Some(ty.clone()) } else { None })
                .unwrap();
            let values = items
                .into_iter()
                .map(|(_, value)| value.cast_to(&ty.to_arrow()))
                .collect::<Result<Vec<_>, _>>()?;
            let values = ScalarValue::iter_to_array(values)?;
            let field = Arc::new(Field::new("item", ty.to_arrow(), true));
            let list = ListArray::new(field, OffsetBuffer::from_lengths([values.len()]), values, None);
            sql(SqlType::Array(Box::new(ty)), ScalarValue::List(Arc::new(list)))
        }
        ExprKind::Call { name, args } => {
            let args =
                args.iter().map(|arg| evaluate(arg, registry, errors)).collect::<Result<Vec<_>, _>>()?;
            let types: Vec<ArgType> = args.iter().map(|(ty, _)| ty.clone()).collect();
            let function = registry.resolve_scalar(name, &types)?;
            let mut constants = Vec::new();
            for ((_, value), to) in args.into_iter().zip(function.arg_types()) {
                let array = if value.is_null() {
                    arrow::array::new_null_array(&to.to_arrow(), 1)
                } else {
                    cast(&value.to_array()?, &to.to_arrow(), errors)?
                };
                constants.push(array);
            }
            let scalars =
                constants.iter().map(|a| ScalarValue::try_from_array(a, 0).map(ColumnarValue::Scalar));
            let result = function.evaluate(&scalars.collect::<Result<Vec<_>, _>>()?, 3, errors)?;
            let unused = RowErrors::default();
            let columns: Vec<_> = constants.iter().map(|a| ColumnarValue::Array(three_times(a))).collect();
            let again = function.evaluate(&columns, 3, &unused)?;
            assert_eq!(&again, &result, "{expr} of columns");
            assert_eq!(SqlType::from_arrow(result.data_type())?, *function.return_type(), "{expr}");
            sql(function.return_type().clone(), ScalarValue::try_from_array(&result, 2)?)
        }
        other => panic!("not in tests: {other:?}"),
    }
}

fn three_times(array: &ArrayRef) -> ArrayRef {
    compute::take(array, &UInt32Array::from(vec![0, 0, 0]), None).unwrap()
}

/// The value as text, `null` for NULL; with a `!` and the message if an error was reported.
fn outcome(text: &str) -> String {
    let errors = RowErrors::default();
    let expr = parse_expr(text).unwrap_or_else(|e| panic!("{}", e.render(text)));
    match evaluate(&expr, &registry(), &errors) {
        Ok((_, value)) => {
            let mut out = String::new();
            write_value(value.to_array().unwrap().as_ref(), 0, &mut out);
            match errors.drain() {
                Some((_, messages)) => format!("{out} !{}", messages[0]),
                None => out,
            }
        }
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let outcome = outcome(text);
        match expected.strip_suffix("..") {
            Some(start) => assert!(outcome.contains(start), "{text}: {outcome}"),
            None => assert_eq!(outcome, *expected, "{text}"),
        }
    }
}

#[test]
fn numbers() {
    check(&[
        ("ABS(-5)", "5"),
        ("ABS(-2147483648)", "-2147483648"),
        ("ABS(-1.50)", "1.50"),
        ("ABS(-1.5E0)", "1.5"),
        ("ABS(CAST(NULL AS BIGINT))", "null"),
        ("CEIL(1.20)", "2.00"),
        ("CEIL(-1.20)", "-1.00"),
        ("CEIL(1.2E0)", "2.0"),
        ("CEIL(7)", "7"),
        ("FLOOR(1.20)", "1.00"),
        ("FLOOR(-1.20)", "-2.00"),
        ("FLOOR(-1.2E0)", "-2.0"),
        ("ROUND(1.5E0)", "2"),
        ("ROUND(-1.5E0)", "-1"),
        ("ROUND(-1.6E0)", "-2"),
        ("ROUND(1E300)", "9223372036854775807"),
        ("ROUND(SQRT(-1))", "0"),
        ("ROUND(7)", "7"),
        ("ROUND(1.75)", "2"),
        ("ROUND(-1.50)", "-1"),
        ("ROUND(12.345, 2)", "12.350"),
        ("ROUND(12.345, -1)", "10.000"),
        ("ROUND(12.345, -40)", "0.000"),
        ("ROUND(12.345, 7)", "12.345"),
        ("ROUND(1.005E0, 2)", "1.01"),
        ("ROUND(-1.005E0, 2)", "-1.0"),
        ("ROUND(1234.5E0, -2)", "1200.0"),
        ("ROUND(5E-1, -1)", "0.0"),
        ("ROUND(SQRT(-1), 2)", "null !ROUND: NaN cannot be rounded to 2 places"),
        ("ROUND(0.5)", "1"),
        ("TRUNC(-1.75)", "-1"),
        ("TRUNC(-1.79E0)", "-1"),
        ("TRUNC(1.239E0, 2)", "1.23"),
        ("TRUNC(-12.345, 1)", "-12.300"),
        ("SQRT(16)", "4.0"),
        ("SQRT(2.25)", "1.5"),
        ("SQRT(-1)", "NaN"),
        ("EXP(0)", "1.0"),
        ("LN(1)", "0.0"),
        ("LN(0)", "-Infinity"),
        ("LOG(1)", "0.0"),
        ("LOG(2, 8)", "3.0"),
        ("LOG(1, 8)", "NaN"),
        ("POWER(2, 10)", "1024.0"),
        ("POWER(2, 0.5)", "1.4142135623730951"),
        ("SIGN(-3)", "-1"),
        ("SIGN(0.0)", "0"),
        ("SIGN(SQRT(-1))", "0"),
        ("PI()", "3.141592653589793"),
        ("COS(0)", "1.0"),
        ("ATAN2(0, 1)", "0.0"),
        ("COT(0)", "Infinity"),
        ("DEGREES(PI())", "180.0"),
        ("SQRT('x')", "Function 'sqrt' does not accept parameters (STRING).."),
        (
            "POWER(1, CAST(2 AS BIGINT))",
            "Function 'power' cannot be resolved due to ambiguous method parameters (INTEGER, BIGINT)..",
        ),
        ("GEO_DISTANCE(37.4439E0, -122.1663E0, 51.5257E0, -0.1122E0)", "8634.659796579544"),
        ("GEO_DISTANCE(37.4439E0, -122.1663E0, 51.5257E0, -0.1122E0, ' Miles ')", "5365.659729188262"),
        ("GEO_DISTANCE(91, 0, 0, 0)", "null !GEO_DISTANCE: latitudes 91 and 0 must be -90 to 90"),
        (
            "GEO_DISTANCE(0, 0, 0, 0, 'ft')",
            "null !GEO_DISTANCE: unknown unit of distance 'ft': it is km or mi",
        ),
        ("INT_FROM_BYTES(TO_BYTES('000007e5', 'hex'))", "2021"),
        ("INT_FROM_BYTES(TO_BYTES('e5070000', 'hex'), 'little_endian')", "2021"),
        ("BIGINT_FROM_BYTES(TO_BYTES('000000012A05F200', 'hex'))", "5000000000"),
        ("DOUBLE_FROM_BYTES('QICm/ZvJ9YI=')", "532.8738323"),
        ("INT_FROM_BYTES(TO_BYTES('07e5', 'hex'))", "null !INT_FROM_BYTES: 2 bytes where 4 are due"),
        ("INT_FROM_BYTES(TO_BYTES('000007e5', 'hex'), NULL)", "null !INT_FROM_BYTES: byte order null.."),
        ("ROUND(CAST(0.5 AS DECIMAL(1, 1)))", "has no digits in front of the point.."),
    ]);
}

#[test]
fn choices() {
    check(&[
        ("GREATEST(1, 3, 2)", "3"),
        ("GREATEST(1, NULL, 2.50)", "ambiguous method parameters (INTEGER, null, DECIMAL(3, 2)).."),
        ("GREATEST(1.5, NULL, 2.50)", "2.50"),
        ("GREATEST(CAST(NULL AS INT), NULL)", "null"),
        ("GREATEST()", "Function 'greatest' does not accept parameters ().."),
        ("GREATEST('a', 'b')", "b"),
        ("LEAST('b', NULL, 'a')", "a"),
        ("LEAST(2, 1.5E0)", "1.5"),
        ("LEAST(CAST('2021-01-02' AS DATE), CAST('2021-01-01' AS DATE))", "2021-01-01"),
        ("COALESCE(NULL, 'a', 'b')", "a"),
        ("COALESCE(1)", "1"),
        ("COALESCE(CAST(NULL AS BIGINT), 0)", "does not accept parameters (BIGINT, INTEGER).."),
        ("IFNULL(CAST(NULL AS INT), 2)", "2"),
        ("IFNULL(1, 2)", "1"),
        ("NULLIF('a', 'a')", "null"),
        ("NULLIF('a', 'b')", "a"),
        ("NULLIF('a', NULL)", "a"),
        ("NULLIF(NULL, 'a')", "null"),
        ("AS_VALUE(ARRAY[1])", "[1]"),
        ("COALESCE(NULL)", "cannot tell the type of NULL.."),
    ]);
}

#[test]
fn text() {
    check(&[
        ("UCASE('aé')", "AÉ"),
        ("LCASE('AÉ')", "aé"),
        ("INITCAP('  the quick  bROWN ')", "The Quick  Brown "),
        ("TRIM('  a b \n')", "a b"),
        ("LEN('aé😀')", "4"),
        ("LEN(CAST('AAA=' AS BYTES))", "2"),
        ("LEN(CAST(NULL AS STRING))", "null"),
        ("CONCAT('a', NULL, 'b')", "ab"),
        ("CONCAT(CAST(NULL AS STRING), NULL)", ""),
        ("CONCAT_WS(', ', 'a', NULL, 'b')", "a, b"),
        ("CONCAT_WS(NULL, 'a', 'b')", "null"),
        ("SUBSTRING('stream', 2)", "tream"),
        ("SUBSTRING('stream', 2, 3)", "tre"),
        ("SUBSTRING('stream', 0, 2)", "st"),
        ("SUBSTRING('stream', -3)", "eam"),
        ("SUBSTRING('stream', -30, 2)", "st"),
        ("SUBSTRING('stream', 9)", ""),
        ("SUBSTRING('stream', 2, -1)", ""),
        ("SUBSTRING('aé😀b', 2, 3)", "é😀"),
        ("SUBSTRING('stream', NULL)", "null"),
        ("REPLACE('banana', 'an', 'o')", "booa"),
        ("REPLACE('ab', '', '-')", "-a-b-"),
        ("INSTR('CORPORATE FLOOR', 'OR')", "2"),
        ("INSTR('CORPORATE FLOOR', 'OR', 3)", "5"),
        ("INSTR('CORPORATE FLOOR', 'OR', 3, 2)", "14"),
        ("INSTR('CORPORATE FLOOR', 'OR', -3)", "5"),
        ("INSTR('CORPORATE FLOOR', 'OR', -3, 2)", "2"),
        ("INSTR('CORPORATE FLOOR', 'MISSING')", "0"),
        ("INSTR(NULL, 'OR')", "0"),
        ("INSTR('ABC', 'B', 9)", "0"),
        ("INSTR('ABC', 'B', NULL)", "null !INSTR: a required argument is NULL"),
        ("LPAD('foo', 7, 'Bar')", "BarBfoo"),
        ("RPAD('foo', 7, 'Bar')", "fooBarB"),
        ("LPAD('foo', 2, 'Bar')", "fo"),
        ("RPAD('foo', 2, 'x')", "fo"),
        ("LPAD('foo', 5, '')", "null"),
        ("LPAD('foo', -1, 'x')", "null"),
        ("SPLIT('a,b,,c', ',')", "[a, b, , c]"),
        ("SPLIT('aé', '')", "[a, é]"),
        ("SPLIT('abc', ',')", "[abc]"),
        ("SPLIT(NULL, ',')", "null"),
        ("CONCAT_WS(',', 'a')", "a"),
        ("CONCAT_WS(',')", "does not accept parameters (STRING).."),
        ("UCASEE('a')", "Can't find any functions with the name 'UCASEE' (did you mean UCASE?).."),
        ("EXPLODE(ARRAY[1])", "table function 'EXPLODE' cannot be used here.."),
        ("ELT(2, 'a', 'b')", "b"),
        ("ELT(0, 'a', 'b')", "null"),
        ("ELT(3, 'a', 'b')", "null"),
        ("ELT(NULL, 'a')", "null !ELT: a required argument is NULL"),
        ("FIELD('b', 'a', NULL, 'b')", "3"),
        ("FIELD('z', 'a')", "0"),
        ("FIELD(NULL, 'a', NULL)", "0"),
        ("MASK('My Test $123-é')", "Xx-Xxxx--nnn-x"),
        ("MASK('aB1 ', '*', NULL, '9', NULL)", "a*9 "),
        ("MASK('aB1 ', 'xx', NULL, '9', NULL)", "null !MASK: mask 'xx' is not a single character"),
        ("MASK_LEFT('ABC-12', 4)", "XXX-12"),
        ("MASK_RIGHT('ABC-12', 4)", "ABX-nn"),
        ("MASK_RIGHT('ABC', 9)", "XXX"),
        ("MASK_LEFT('ABC', -1)", "null !MASK_LEFT: cannot mask -1 characters"),
        ("MASK_KEEP_LEFT('ABC-12', 4)", "ABC-nn"),
        ("MASK_KEEP_RIGHT('ABC-12', 4)", "XXC-12"),
        ("MD5('message digest')", "f96b697d7cb7938d525a2f31aaf161d0"),
        ("CHR(75)", "K"),
        ("CHR(99000)", "\u{182b8}"),
        ("CHR(-1)", "null"),
        ("CHR('\\u004b\\n')", "K\n"),
        ("CHR('\\ud820\\udeb8')", "\u{182b8}"),
        ("CHR('75')", "null"),
        ("UUID(TO_BYTES('00112233445566778899aabbccddeeff', 'hex'))", "00112233-4455-6677-8899-aabbccddeeff"),
        ("UUID(TO_BYTES('00', 'hex'))", "null"),
        ("SUM(1)", "aggregate function 'SUM' cannot be used here.."),
    ]);
}

#[test]
fn encodings() {
    check(&[
        ("ENCODE('RXhhbXBsZSE=', 'base64', 'hex')", "4578616d706c6521"),
        ("ENCODE('zpU=', 'base64', 'ascii')", "\u{FFFD}\u{FFFD}"),
        ("ENCODE('Ε!', 'ascii', 'utf8')", "?!"),
        ("ENCODE('0x578', 'hex', 'base64')", "BXg="),
        ("ENCODE('X''4A''', 'hex', 'UTF8')", "J"),
        ("ENCODE('4AB', 'hex', 'utf8')", "null !ENCODE: invalid hexadecimal text '4AB'"),
        ("ENCODE('a', 'utf8', 'utf8')", "null !ENCODE: utf8 is already what it is to be"),
        ("ENCODE('a', 'utf8', 'utf16')", "null !ENCODE: unknown encoding 'utf16'.."),
        ("ENCODE(NULL, 'utf8', 'hex')", "null"),
        ("FROM_BYTES(TO_BYTES('4a4B', 'hex'), 'utf8')", "JK"),
        ("FROM_BYTES(TO_BYTES('JK', 'ascii'), 'hex')", "4A4B"),
        ("FROM_BYTES(TO_BYTES('SksA', 'base64'), 'base64')", "SksA"),
        ("TO_BYTES('%', 'base64')", "null !TO_BYTES: invalid base64.."),
    ]);
}

#[test]
fn maps() {
    check(&[
        ("AS_MAP(ARRAY['a', 'b', 'a'], ARRAY[1, 2, 3, 4])", "{a=3, b=2}"),
        ("AS_MAP(ARRAY['a', 'b'], ARRAY[1])", "{a=1, b=null}"),
        ("AS_MAP(CAST(NULL AS ARRAY<STRING>), ARRAY[1])", "null"),
        ("SPLIT_TO_MAP('a:=1/b:=2:=3/c/a:=4', '/', ':=')", "{a=4, b=2}"),
        ("SPLIT_TO_MAP('a', '', ':')", "null"),
        ("SPLIT_TO_MAP('a', ':', ':')", "null"),
        ("ENTRIES(AS_MAP(ARRAY['b', 'a'], ARRAY[1, 2]), true)", "[Struct{K=a,V=2}, Struct{K=b,V=1}]"),
        ("ENTRIES(AS_MAP(ARRAY['b', 'a'], ARRAY['x', 'y']), false)", "[Struct{K=b,V=x}, Struct{K=a,V=y}]"),
        (
            "ENTRIES(AS_MAP(ARRAY['b'], ARRAY[1.5]), false)",
            "does not accept parameters (MAP<STRING, DECIMAL(2, 1)>, BOOLEAN)..",
        ),
        ("MAP_KEYS(SPLIT_TO_MAP('b:1,a:2', ',', ':'))", "[b, a]"),
        ("MAP_VALUES(SPLIT_TO_MAP('b:1,a:2', ',', ':'))", "[1, 2]"),
        (
            "MAP_UNION(SPLIT_TO_MAP('b:1,a:2', ',', ':'), SPLIT_TO_MAP('c:3,b:4', ',', ':'))",
            "{b=4, a=2, c=3}",
        ),
        ("MAP_UNION(SPLIT_TO_MAP('b:1', ',', ':'), NULL)", "{b=1}"),
        ("MAP_KEYS(CAST(NULL AS MAP<STRING, INT>))", "null"),
    ]);
}

#[test]
fn addresses() {
    let url = "'https://user@www.test.com:8080/a%20b/c?x=1&y=%2B&z&x=2#top%21'";
    for (function, expected) in [
        ("PROTOCOL", "https"),
        ("HOST", "www.test.com"),
        ("PORT", "8080"),
        ("PATH", "/a b/c"),
        ("QUERY", "x=1&y=+&z&x=2"),
        ("FRAGMENT", "top!"),
    ] {
        assert_eq!(outcome(&format!("URL_EXTRACT_{function}({url})")), expected, "{function}");
    }
    for (name, expected) in [("x", "1"), ("y", "+"), ("z", ""), ("w", "null")] {
        assert_eq!(outcome(&format!("URL_EXTRACT_PARAMETER({url}, '{name}')")), expected, "{name}");
    }
    check(&[
        ("URL_EXTRACT_PORT('http://a.com')", "null"),
        ("URL_EXTRACT_PATH('http://a.com')", ""),
        ("URL_EXTRACT_FRAGMENT('http://a.com')", "null"),
        ("URL_EXTRACT_HOST('/only/a/path')", "null"),
        ("URL_EXTRACT_HOST('mailto:a@b.com')", "null"),
        ("URL_EXTRACT_PROTOCOL('mailto:a@b.com')", "mailto"),
        ("URL_EXTRACT_HOST('http://[::1]:80/')", "[::1]"),
        ("URL_EXTRACT_HOST('http://127.0.0.1/')", "127.0.0.1"),
        ("URL_EXTRACT_HOST('http://a_b.com/')", "null"),
        (
            "URL_EXTRACT_HOST('http://a b.com')",
            "null !URL_EXTRACT_HOST: 'http://a b.com' is not an address: illegal character at index 8",
        ),
        ("URL_EXTRACT_HOST('http://%zz')", "null !URL_EXTRACT_HOST: 'http://%zz' is not an address.."),
        ("URL_ENCODE_PARAM('?foo $bar-_.*é')", "%3Ffoo+%24bar-_.*%C3%A9"),
        ("URL_DECODE_PARAM('%3Ffoo+%24bar')", "?foo $bar"),
        ("URL_DECODE_PARAM('100%')", "null !URL_DECODE_PARAM: '100%' has a % without two hexadecimal digits"),
        ("URL_DECODE_PARAM(NULL)", "null"),
    ]);
}

#[test]
fn regular_expressions() {
    check(&[
        ("REGEXP_SPLIT_TO_ARRAY('aabcda', '(ab|cd)')", "[a, , a]"),
        ("REGEXP_SPLIT_TO_ARRAY('xax', 'x')", "[, a, ]"),
        ("REGEXP_SPLIT_TO_ARRAY('abc', '')", "[a, b, c]"),
        ("REGEXP_SPLIT_TO_ARRAY('abc', 'x*')", "[a, b, c]"),
        ("REGEXP_SPLIT_TO_ARRAY(NULL, 'x')", "null"),
        ("REGEXP_EXTRACT('\\w+', 'é1')", "1"),
        ("REGEXP_EXTRACT('[\\d.]+', 'v1.25')", "1.25"),
        ("REGEXP_EXTRACT('\\Qa.b\\E+', 'axb a.bb')", "a.bb"),
        ("REGEXP_EXTRACT('.*foo', 'a foo b foo c')", "a foo b foo"),
        ("REGEXP_EXTRACT('(a+)(b)?', 'xaay', 1)", "aa"),
        ("REGEXP_EXTRACT('(a+)(b)?', 'xaay', 2)", "null"),
        ("REGEXP_EXTRACT('(a+)', 'xaay', 3)", "null"),
        ("REGEXP_EXTRACT('z', 'xaay')", "null"),
        (
            "REGEXP_EXTRACT('(', 'xaay')",
            "null !REGEXP_EXTRACT: invalid regular expression '(': unclosed group",
        ),
        ("REGEXP_EXTRACT_ALL('a(.)', 'ab ac', 1)", "[b, c]"),
        ("REGEXP_EXTRACT_ALL('z', 'ab')", "[]"),
        ("REGEXP_EXTRACT_ALL('z', 'ab', 1)", "null"),
        ("REGEXP_REPLACE('a1b22', '([0-9]+)', '<$1>\\$')", "a<1>$b<22>$"),
        ("REGEXP_REPLACE('a1', '[0-9]', '$9')", "null !REGEXP_REPLACE: no group 9"),
    ]);
}

#[test]
fn arrays() {
    check(&[
        ("ARRAY_LENGTH(ARRAY[1, NULL, 3])", "3"),
        ("ARRAY_LENGTH(CAST(NULL AS ARRAY<INT>))", "null"),
        ("ARRAY_CONTAINS(ARRAY[1, 2], 2)", "true"),
        ("ARRAY_CONTAINS(ARRAY['a'], 'b')", "false"),
        ("ARRAY_CONTAINS(ARRAY[1, NULL], NULL)", "true"),
        ("ARRAY_CONTAINS(CAST(NULL AS ARRAY<INT>), 1)", "false"),
        (
            "ARRAY_CONTAINS(ARRAY[CAST(1 AS BIGINT)], 1)",
            "does not accept parameters (ARRAY<BIGINT>, INTEGER)..",
        ),
        ("ARRAY_CONCAT(ARRAY[1, 2], ARRAY[2, NULL])", "[1, 2, 2, null]"),
        ("ARRAY_CONCAT(NULL, ARRAY[2])", "[2]"),
        ("ARRAY_CONCAT(CAST(NULL AS ARRAY<INT>), NULL)", "null"),
        ("ARRAY_DISTINCT(ARRAY['b', NULL, 'a', 'b', NULL])", "[b, null, a]"),
        (
            "ARRAY_DISTINCT(ARRAY[SPLIT_TO_MAP('a:1,b:2', ',', ':'), SPLIT_TO_MAP('b:2,a:1', ',', ':')])",
            "[{a=1, b=2}]",
        ),
        ("ARRAY_EXCEPT(ARRAY[0, 0, 1, -1], ARRAY[1, -2])", "[0, -1]"),
        ("ARRAY_EXCEPT(ARRAY[1], CAST(NULL AS ARRAY<INT>))", "null"),
        ("ARRAY_INTERSECT(ARRAY[3, 1, 3, NULL], ARRAY[NULL, 3])", "[3, null]"),
        ("ARRAY_UNION(ARRAY[3, 1, 3], ARRAY[NULL, 3, 2])", "[3, 1, null, 2]"),
        (
            "ARRAY_UNION(ARRAY[1], ARRAY[CAST(1 AS BIGINT)])",
            "does not accept parameters (ARRAY<INTEGER>, ARRAY<BIGINT>)..",
        ),
        ("ARRAY_REMOVE(ARRAY[1, 2, 1, NULL], 1)", "[2, null]"),
        ("ARRAY_REMOVE(ARRAY[1, NULL], NULL)", "[1]"),
        ("ARRAY_MAX(ARRAY[1, NULL, 3])", "3"),
        ("ARRAY_MIN(ARRAY['b', 'a', 'B'])", "B"),
        ("ARRAY_MIN(ARRAY[CAST(NULL AS INT)])", "null"),
        ("ARRAY_MAX(ARRAY[ARRAY[1]])", "items of type ARRAY<INTEGER> have no order.."),
        ("ARRAY_SORT(ARRAY[2, NULL, 1])", "[1, 2, null]"),
        ("ARRAY_SORT(ARRAY[2, NULL, 1], 'desc')", "[2, 1, null]"),
        ("ARRAY_SORT(ARRAY[2, 1], 'up')", "null"),
        ("SLICE(ARRAY[1, 2, 3], 2, 3)", "[2, 3]"),
        ("SLICE(ARRAY[1, 2, 3], NULL, 2)", "[1, 2]"),
        ("SLICE(ARRAY[1, 2, 3], 2, NULL)", "[2, 3]"),
        ("SLICE(ARRAY[1, 2, 3], 0, 2)", "null"),
        ("SLICE(ARRAY[1, 2, 3], 2, 4)", "null"),
        ("GENERATE_SERIES(1, 3)", "[1, 2, 3]"),
        ("GENERATE_SERIES(3, 1)", "[3, 2, 1]"),
        ("GENERATE_SERIES(2, 2)", "[2]"),
        ("GENERATE_SERIES(0, 7, 3)", "[0, 3, 6]"),
        ("GENERATE_SERIES(CAST(9 AS BIGINT), CAST(0 AS BIGINT), -4)", "[9, 5, 1]"),
        ("GENERATE_SERIES(0, 7, -3)", "null !GENERATE_SERIES: step -3 leads away from 7, seen from 0"),
        ("GENERATE_SERIES(0, 7, 0)", "null !GENERATE_SERIES: the step must not be 0"),
        (
            "GENERATE_SERIES(-2147483648, 2147483647)",
            "null !GENERATE_SERIES: a series of 4294967295 numbers is too long",
        ),
        ("ARRAY_JOIN(ARRAY[1, NULL, 3])", "1,null,3"),
        ("ARRAY_JOIN(ARRAY['a', 'b'], '-')", "a-b"),
        ("ARRAY_JOIN(ARRAY['a', 'b'], NULL)", "ab"),
        ("ARRAY_JOIN(ARRAY[CAST('2021-01-01' AS DATE)])", "cannot print items of type DATE.."),
    ]);
}

#[test]
fn json() {
    let document =
        r#"{"a": {"b c": [1.50, "x\ny", {"d": null}, true]}, "@t:x": 2, "a1": "é", "dup": 1, "dup": 2}"#;
    for (path, expected) in [
        ("$.a1", "é"),
        (r#"$.a["b c"][0]"#, "1.50"),
        (r#"$.a["b c"][1]"#, "x\ny"),
        (r#"$.a["b c"]"#, r#"[1.50,"x\ny",{"d":null},true]"#),
        (r#"$.a["b c"][2].d"#, "null"),
        (r#"$.a["b c"][9]"#, "null"),
        ("$.@t:x", "2"),
        ("$[a1]", "é"),
        ("$.dup", "2"),
        ("$.nothing.more", "null"),
        ("$.a1.b", "null"),
        ("a1", "null !EXTRACTJSONFIELD: invalid JSON path 'a1' at 'a1': write it like $.name[0]"),
        ("$.", "null !EXTRACTJSONFIELD: invalid JSON path '$.' at '.': write it like $.name[0]"),
    ] {
        assert_eq!(outcome(&format!("EXTRACTJSONFIELD('{document}', '{path}')")), expected, "{path}");
    }
    check(&[
        ("EXTRACTJSONFIELD('{\"a\": 1', '$.a')", "null !EXTRACTJSONFIELD: invalid JSON.."),
        ("IS_JSON_STRING('[1, 2]')", "true"),
        ("IS_JSON_STRING('[1, 2')", "false"),
        ("IS_JSON_STRING(NULL)", "false"),
        ("JSON_ARRAY_LENGTH('[1, [2, 3], \"a,b\", {}]')", "4"),
        ("JSON_ARRAY_LENGTH('[ ]')", "0"),
        ("JSON_ARRAY_LENGTH('{}')", "null"),
        ("JSON_KEYS('{\"a\": {\"x\": 1}, \"b\": [1]}')", "[a, b]"),
        ("JSON_KEYS('[]')", "null"),
        ("JSON_ARRAY_CONTAINS('[1, 2.0, \"a\", true, null]', 1)", "true"),
        ("JSON_ARRAY_CONTAINS('[1, 2.0]', 2)", "false"),
        ("JSON_ARRAY_CONTAINS('[1, 2.0]', 2E0)", "true"),
        ("JSON_ARRAY_CONTAINS('[\"1\"]', 1)", "false"),
        ("JSON_ARRAY_CONTAINS('[\"a\"]', 'a')", "true"),
        ("JSON_ARRAY_CONTAINS('[true]', true)", "true"),
        ("JSON_ARRAY_CONTAINS('[null]', NULL)", "true"),
        ("JSON_ARRAY_CONTAINS('{}', 1)", "false"),
        ("JSON_ARRAY_CONTAINS('[', 1)", "false"),
        ("JSON_ARRAY_CONTAINS(NULL, 1)", "null"),
        ("JSON_CONCAT('{\"a\": {\"5\": 6}, \"b\": 1}', '{\"a\": 2}')", "{\"a\":2,\"b\":1}"),
        ("JSON_CONCAT('[1, 2]', '3', '{\"a\": [ ]}')", "[1,2,3,{\"a\":[]}]"),
        ("JSON_CONCAT('[]', NULL)", "null"),
        ("JSON_CONCAT('[]', '')", "null"),
        ("JSON_ITEMS('[\"a b\", {\"x\": 1.0}, \"\\u00e9\"]')", "[\"a b\", {\"x\":1.0}, \"é\"]"),
        ("JSON_ITEMS('{}')", "null"),
        ("JSON_RECORDS('{\"a\": \"x\", \"b\": [1, 2]}')", "{a=x, b=[1,2]}"),
        ("JSON_RECORDS('[]')", "null"),
        ("TO_JSON_STRING(1.50)", "1.50"),
        ("TO_JSON_STRING('a\"b\n')", "\"a\\\"b\\n\""),
        ("TO_JSON_STRING(CAST(NULL AS INT))", "null"),
        ("TO_JSON_STRING(SQRT(-1))", "\"NaN\""),
        ("TO_JSON_STRING(SPLIT_TO_MAP('b:1,a:2', ',', ':'))", "{\"a\":\"2\",\"b\":\"1\"}"),
        ("TO_JSON_STRING(ENTRIES(AS_MAP(ARRAY['b'], ARRAY[true]), true))", "[{\"K\":\"b\",\"V\":true}]"),
        ("TO_JSON_STRING(FROM_UNIXTIME(0))", "\"1970-01-01T00:00:00.000\""),
        ("TO_JSON_STRING(TO_BYTES('!', 'ascii'))", "\"IQ==\""),
    ]);
}

#[test]
fn dates_and_times() {
    check(&[
        ("UNIX_TIMESTAMP()", "1614834367089"),
        ("UNIX_TIMESTAMP(FROM_UNIXTIME(5))", "5"),
        ("FROM_UNIXTIME(1614834367089)", "2021-03-04T05:06:07.089"),
        ("UNIX_DATE()", "18690"),
        ("UNIX_DATE(FROM_DAYS(7))", "7"),
        ("FROM_DAYS(18690)", "2021-03-04"),
        ("FROM_DAYS(NULL)", "null !FROM_DAYS: a required argument is NULL"),
        ("FORMAT_TIMESTAMP(FROM_UNIXTIME(1614834367089), 'yyyy-MM-dd HH:mm')", "2021-03-04 05:06"),
        ("FORMAT_TIMESTAMP(FROM_UNIXTIME(1614834367089), 'HH:mm', 'Asia/Tokyo')", "14:06"),
        (
            "FORMAT_TIMESTAMP(FROM_UNIXTIME(0), 'b')",
            "null !FORMAT_TIMESTAMP: pattern 'b' has an unknown letter 'b'",
        ),
        ("FORMAT_TIMESTAMP('2021-03-04', 'yyyy')", "2021"),
        ("PARSE_TIMESTAMP('2021-03-04 05:06', 'yyyy-MM-dd HH:mm')", "2021-03-04T05:06:00.000"),
        ("PARSE_TIMESTAMP('2021-03-04', 'yyyy-MM-dd', 'Europe/Berlin')", "2021-03-03T23:00:00.000"),
        (
            "PARSE_TIMESTAMP('2018-05-11T21:58:33 PST', 'yyyy-MM-dd''T''HH:mm:ss z')",
            "2018-05-12T04:58:33.000",
        ),
        ("PARSE_TIMESTAMP('2018-01-11 CET', 'yyyy-MM-dd z')", "2018-01-10T23:00:00.000"),
        ("PARSE_TIMESTAMP('x', 'yyyy')", "null !PARSE_TIMESTAMP: 'x' could not be parsed at 'x'.."),
        ("FORMAT_DATE(FROM_DAYS(18690), 'd.M.yyyy')", "4.3.2021"),
        (
            "FORMAT_DATE(FROM_DAYS(18690), 'HH')",
            "null !FORMAT_DATE: pattern 'HH' has fields of time or zone..",
        ),
        ("PARSE_DATE('2021-3-4', 'yyyy-MM-dd')", "2021-03-04"),
        ("PARSE_DATE('20210304', 'yyyyMMdd')", "2021-03-04"),
        ("PARSE_DATE('2021-14-32', 'yyyy-MM-dd')", "2022-03-04"),
        (
            "PARSE_DATE('2021-03-04 01:00', 'yyyy-MM-dd HH:mm')",
            "null !PARSE_DATE: '2021-03-04 01:00' contains a time..",
        ),
        ("FORMAT_TIME(CAST('05:06:07' AS TIME), 'HHmm')", "0506"),
        ("PARSE_TIME('0506', 'HHmm')", "05:06"),
        ("PARSE_TIME('2021', 'yyyy')", "null !PARSE_TIME: pattern 'yyyy' has fields of date or zone.."),
        ("TIMESTAMPTOSTRING(1614834367089, 'SSS')", "089"),
        ("STRINGTOTIMESTAMP('1970-01-02', 'yyyy-MM-dd')", "86400000"),
        ("STRINGTOTIMESTAMP(NULL, 'yyyy')", "null !STRINGTOTIMESTAMP: a required argument is NULL"),
        ("DATETOSTRING(18690, 'yyyy')", "2021"),
        ("STRINGTODATE('2021-03-04', 'yyyy-MM-dd')", "18690"),
        ("TIMESTAMPADD(MINUTES, 5, FROM_UNIXTIME(0))", "1970-01-01T00:05:00.000"),
        ("TIMESTAMPSUB(DAYS, 1, FROM_UNIXTIME(0))", "1969-12-31T00:00:00.000"),
        ("DATEADD(DAYS, 2, FROM_DAYS(0))", "1970-01-03"),
        ("DATEADD(HOURS, 23, FROM_DAYS(0))", "1970-01-01"),
        ("TIMESUB(HOURS, 1, CAST('00:30' AS TIME))", "23:30"),
        ("CONVERT_TZ(FROM_UNIXTIME(0), 'UTC', '+02:00')", "1970-01-01T02:00:00.000"),
        ("CONVERT_TZ(FROM_UNIXTIME(0), 'UTC', 'Mars')", "null !CONVERT_TZ: unknown time zone 'Mars'.."),
    ]);
}

#[test]
fn every_function_describes_itself() {
    let registry = registry();
    let functions = registry.list();
    let of = |kind| functions.iter().filter(|function| function.kind == kind).count();
    assert_eq!(of(FunctionKind::Scalar), 129);
    assert_eq!(of(FunctionKind::Aggregate), 18);
    assert_eq!(of(FunctionKind::Table), 2);
    for function in &functions {
        assert!(function.description.ends_with('.'), "{}", function.name);
        assert!(!function.signatures.is_empty(), "{}", function.name);
        assert_eq!(registry.kind(&function.name.to_lowercase()), Some(function.kind));
    }
    let sum = registry.describe(&crate::ast::Ident::new("sum")).unwrap();
    assert_eq!((sum.kind, sum.category.to_string().as_str()), (FunctionKind::Aggregate, "AGGREGATE"));
}
