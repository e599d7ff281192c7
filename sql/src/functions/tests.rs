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
            Literal::Decimal { unscaled, precision, scale } => sql(
                SqlType::Decimal { precision, scale },
                ScalarValue::Decimal128(Some(unscaled), precision, scale),
            ),
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
        ("SQRT('x')", "function 'SQRT' does not accept parameters (STRING).."),
        ("ROUND(CAST(0.5 AS DECIMAL(1, 1)))", "has no digits in front of the point.."),
    ]);
}

#[test]
fn choices() {
    check(&[
        ("GREATEST(1, 3, 2)", "3"),
        ("GREATEST(1, NULL, 2.50)", "2.50"),
        ("GREATEST(CAST(NULL AS INT), NULL)", "null"),
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
        ("UCASEE('a')", "can't find any functions with the name 'UCASEE' (did you mean UCASE?).."),
        ("SUM(1)", "aggregate function 'SUM' cannot be used here.."),
    ]);
}

#[test]
fn regular_expressions() {
    check(&[
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
        ("ARRAY_JOIN(ARRAY[1, NULL, 3])", "1,null,3"),
        ("ARRAY_JOIN(ARRAY['a', 'b'], '-')", "a-b"),
        ("ARRAY_JOIN(ARRAY['a', 'b'], NULL)", "ab"),
        ("ARRAY_JOIN(ARRAY[CAST('2021-01-01' AS DATE)])", "ARRAY_JOIN cannot print items of type DATE"),
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
    assert!(functions.len() > 60, "{}", functions.len());
    for function in functions {
        assert!(function.description.ends_with('.'), "{}", function.name);
        assert!(!function.signatures.is_empty(), "{}", function.name);
        assert_eq!(registry.kind(&function.name.to_lowercase()), Some(function.kind));
    }
    let sum = registry.describe(&crate::ast::Ident::new("sum")).unwrap();
    assert_eq!((sum.kind, sum.category.to_string().as_str()), (FunctionKind::Aggregate, "AGGREGATE"));
}
