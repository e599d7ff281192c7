//! An expression gives the same values and errors however its rows are cut into batches.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Int32Array, Int32Builder, ListBuilder, RecordBatch, StringArray},
    compute::concat,
    datatypes::{DataType, Field, Schema},
};
use millstream_log::{ManualClock, Timestamp};

use super::{Compiler, Names, RowErrors, bind, bind_condition, cast::write_value};
use crate::{ast::Ident, error::SqlError, function::FunctionRegistry, parser::parse_expr, types::SqlType};

fn batch() -> RecordBatch {
    let mut lists = ListBuilder::new(Int32Builder::new());
    for items in
        [Some(vec![Some(1), Some(0)]), Some(vec![]), None, Some(vec![None, Some(3)]), Some(vec![Some(7)])]
    {
        lists.append_option(items);
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("N", Arc::new(Int32Array::from(vec![Some(5), Some(0), None, Some(2), Some(-1)]))),
        ("T", Arc::new(StringArray::from(vec![Some("2021"), None, Some("x"), Some("1999"), Some("0")]))),
        ("B", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None]))),
        ("L", Arc::new(lists.finish())),
    ];
    let item = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    let types = [DataType::Int32, DataType::Utf8, DataType::Boolean, item];
    let fields: Vec<Field> =
        columns.iter().zip(types).map(|((name, _), ty)| Field::new(*name, ty, true)).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

struct Columns(RecordBatch);

impl Names for Columns {
    fn column(&self, _: Option<&Ident>, name: &Ident) -> Result<(String, SqlType), SqlError> {
        let field = self.0.schema_ref().field_with_name(&name.name);
        let field = field.map_err(|error| SqlError::invalid(error.to_string()))?;
        Ok((field.name().clone(), SqlType::from_arrow(field.data_type())?))
    }
}

/// The values of all rows, evaluated `rows` at a time, and how many errors there were.
fn values(text: &str, rows: usize, condition: bool) -> (Vec<String>, u64) {
    let clock = Arc::new(ManualClock::new(Timestamp::new(0)));
    let functions = FunctionRegistry::builtin(clock);
    let (names, errors) = (Columns(batch()), RowErrors::default());
    let compiler = Compiler::new(&functions, &names, errors.clone());
    let typed =
        compiler.compile(&parse_expr(text).unwrap()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let bind = if condition { bind_condition } else { bind };
    let bound = bind(&typed.expr, names.0.schema_ref()).unwrap();
    let parts: Vec<ArrayRef> = (0..names.0.num_rows())
        .step_by(rows)
        .map(|from| bound.evaluate(&names.0.slice(from, rows.min(names.0.num_rows() - from))).unwrap())
        .collect();
    let parts: Vec<&dyn arrow::array::Array> = parts.iter().map(AsRef::as_ref).collect();
    let all = concat(&parts).unwrap();
    let print = |row| {
        let mut text = String::new();
        write_value(all.as_ref(), row, &mut text);
        text
    };
    ((0..all.len()).map(print).collect(), errors.drain().map_or(0, |(count, _)| count))
}

#[test]
fn an_error_nulls_the_whole_expression() {
    for (text, expected, errors) in [
        ("10 / n", "2 null null 5 -10", 1),
        ("10 / n IS NULL", "false null null false false", 2),
        ("IFNULL(10 / n, 0)", "2 null null 5 -10", 2),
        ("IFNULL(n, 0)", "5 0 0 2 -1", 0),
        ("CASE WHEN n = 0 THEN 0 ELSE 10 / n END", "2 0 null 5 -10", 1),
        ("n = 0 OR 10 / n > 2", "false true null true false", 1),
        ("n <> 0 AND 10 / n > 2", "false false false true false", 0),
        ("NOT (10 / n > 2)", "true null null false true", 2),
        ("NOT b", "false null true false null", 2),
        ("b OR n = 0", "true null false true null", 2),
        ("n = 0 OR b", "true true false true null", 1),
        ("IFNULL(CAST(PARSE_DATE(t, 'yyyy') AS STRING), '-')", "2021-01-01 - - 1999-01-01 0000-01-01", 1),
        ("ARRAY[n, 10 / n]", "[5, 2] [0, null] [null, null] [2, 5] [-1, -10]", 2),
        ("STRUCT(q := 10 / n)", "Struct{Q=2} Struct{} Struct{} Struct{Q=5} Struct{Q=-10}", 2),
        ("TRANSFORM(l, x => 10 / x)", "null [] null null [1]", 2),
        ("FILTER(l, x => x IS NOT NULL AND 10 / x > 0)", "null [] null [3] [7]", 1),
        ("REDUCE(l, 0, (a, x) => a + x + n)", "11 0 0 null 6", 2),
        ("ARRAY_LENGTH(TRANSFORM(l, x => TRANSFORM(l, y => x + y)))", "2 0 null 2 1", 3),
        ("t LIKE '%1' IS NULL", "false null false false false", 1),
        ("l[n] IS NULL", "true true null false false", 1),
    ] {
        let expected: Vec<&str> = expected.split(' ').collect();
        for rows in 1..=5 {
            let (found, count) = values(text, rows, false);
            assert_eq!(found.join(" "), expected.join(" "), "{text}, {rows} at a time");
            assert_eq!(count, errors, "{text}, {rows} at a time");
        }
    }
}

#[test]
fn conditions_are_silent_about_nulls_that_make_them_false() {
    for (text, expected, errors) in [
        ("10 / n > 2", "false null false true false", 1),
        ("n + 1 > 2 AND n - 1 < 9", "true false false true false", 0),
        ("NOT (n + 1 > 2)", "false true null false true", 1),
    ] {
        for rows in [1, 2, 5] {
            let (found, count) = values(text, rows, true);
            assert_eq!(found.join(" "), expected, "{text}, {rows} at a time");
            assert_eq!(count, errors, "{text}, {rows} at a time");
        }
    }
}
