use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
};
use arrow::util::display::array_value_to_string;

use crate::ast::{Ident, Literal};
use crate::error::SqlError;
use crate::function::{AggregateArg, ArgType, FunctionRegistry, ResolvedAggregate};
use crate::types::SqlType;

fn resolve(name: &str, column: &ArrayRef, literals: &[Literal]) -> Result<ResolvedAggregate, SqlError> {
    let mut registry = FunctionRegistry::empty();
    for function in super::functions() {
        registry.register_aggregate(function).unwrap();
    }
    let mut args = vec![AggregateArg {
        ty: ArgType::Sql(SqlType::from_arrow(column.data_type()).unwrap()),
        literal: None,
    }];
    args.extend(literals.iter().map(|literal| {
        let ty = if matches!(literal, Literal::Boolean(_)) { SqlType::Boolean } else { SqlType::Int };
        AggregateArg { ty: ArgType::Sql(ty), literal: Some(literal.clone()) }
    }));
    registry.resolve_aggregate(&Ident::new(name), &args)
}

fn texts(column: &ArrayRef) -> Vec<String> {
    (0..column.len()).map(|row| array_value_to_string(column, row).unwrap()).collect()
}

/// Runs the column through slot 1 of 3, cut in every possible two batches, running and not, with a save and load between,
/// and as two states merged; all must agree. Returns the running values.
fn check(name: &str, column: ArrayRef, literals: &[Literal]) -> Vec<String> {
    let aggregate = resolve(name, &column, literals).unwrap();
    let rows = column.len();
    let slots = vec![1u32; rows];
    let mut whole = aggregate.accumulator().unwrap();
    whole.resize(3);
    let running = whole.update_running(&slots, &[Arc::clone(&column)]).unwrap();
    assert_eq!(SqlType::from_arrow(running.data_type()).unwrap(), *aggregate.return_type(), "{name}");
    let running = texts(&running);
    let last = texts(&whole.result(&[1]).unwrap());
    assert_eq!(last.first(), running.last(), "{name}");
    let untouched = texts(&whole.result(&[0, 2]).unwrap());
    for cut in 0..=rows {
        let (first, second) = (column.slice(0, cut), column.slice(cut, rows - cut));
        let mut parts = aggregate.accumulator().unwrap();
        parts.resize(3);
        parts.update(&slots[..cut], &[Arc::clone(&first)]).unwrap();
        let mut saved = Vec::new();
        parts.save(1, &mut saved);
        saved.push(7);
        parts.reset(1);
        assert_eq!(texts(&parts.result(&[1]).unwrap())[0], untouched[0], "{name} after reset");
        let mut bytes = saved.as_slice();
        parts.load(1, &mut bytes).unwrap();
        assert_eq!(bytes, [7], "{name}");
        for short in 0..saved.len() - 1 {
            assert!(parts.load(2, &mut &saved[..short]).is_err(), "{name} loads {short} bytes");
        }
        parts.load(1, &mut saved.as_slice()).unwrap();
        parts.update(&vec![2; rows - cut], &[Arc::clone(&second)]).unwrap();
        let mut merged = aggregate.accumulator().unwrap();
        merged.resize(2);
        merged.update(&vec![0; cut], &[first]).unwrap();
        merged.update(&vec![1; rows - cut], &[Arc::clone(&second)]).unwrap();
        merged.merge(0, 1).unwrap();
        assert_eq!(texts(&merged.result(&[0]).unwrap()), last, "{name} merged at {cut}");
        parts.update(&slots[cut..], &[second]).unwrap();
        assert_eq!(texts(&parts.result(&[1]).unwrap()), last, "{name} cut at {cut}");
    }
    if aggregate.supports_tables() {
        let state = aggregate.accumulator().map(|mut a| {
            a.resize(2);
            a.update(&slots, &[Arc::clone(&column)]).unwrap();
            a.undo(&slots, &[Arc::clone(&column)]).unwrap();
            texts(&a.result(&[1]).unwrap())
        });
        assert_eq!(state.unwrap()[0], untouched[0], "{name} undone");
    } else {
        assert!(whole.undo(&slots, &[column]).is_err());
    }
    running
}

fn ints(values: &[Option<i32>]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn strings(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn running_values() {
    let numbers = || ints(&[Some(3), None, Some(1), Some(5), Some(5)]);
    let words = || strings(&[None, Some("b"), Some("a"), None, Some("c")]);
    let flags = || -> ArrayRef { Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])) };
    let n = |n| [Literal::Int(n)];
    for (name, column, literals, expected) in [
        ("COUNT", numbers(), &[][..], &["1", "1", "2", "3", "4"][..]),
        ("SUM", numbers(), &[], &["3", "3", "4", "9", "14"]),
        ("SUM", ints(&[Some(i32::MAX), Some(1)]), &[], &["2147483647", "-2147483648"]),
        (
            "SUM",
            Arc::new(Int64Array::from(vec![i64::MAX, 1])),
            &[],
            &["9223372036854775807", "-9223372036854775808"],
        ),
        ("SUM", ints(&[None]), &[], &["0"]),
        ("AVG", numbers(), &[], &["3.0", "3.0", "2.0", "3.0", "3.5"]),
        ("AVG", ints(&[None]), &[], &["0.0"]),
        ("MIN", numbers(), &[], &["3", "3", "1", "1", "1"]),
        ("MAX", numbers(), &[], &["3", "3", "3", "5", "5"]),
        ("MAX", words(), &[], &["", "b", "b", "b", "c"]),
        ("MIN", Arc::new(Float64Array::from(vec![1.5, -0.5])), &[], &["1.5", "-0.5"]),
        ("LATEST_BY_OFFSET", words(), &[], &["", "b", "a", "a", "c"]),
        ("LATEST_BY_OFFSET", words(), &[Literal::Boolean(false)], &["", "b", "a", "", "c"]),
        ("LATEST_BY_OFFSET", words(), &n(2), &["[]", "[b]", "[b, a]", "[b, a]", "[a, c]"]),
        ("EARLIEST_BY_OFFSET", words(), &[], &["", "b", "b", "b", "b"]),
        ("EARLIEST_BY_OFFSET", words(), &[Literal::Boolean(false)], &["", "", "", "", ""]),
        ("EARLIEST_BY_OFFSET", words(), &n(2), &["[]", "[b]", "[b, a]", "[b, a]", "[b, a]"]),
        ("LATEST_BY_OFFSET", flags(), &[], &["true", "true", "false"]),
        ("COLLECT_LIST", words(), &[], &["[]", "[, b]", "[, b, a]", "[, b, a, ]", "[, b, a, , c]"]),
        ("COLLECT_LIST", flags(), &[], &["[true]", "[true, ]", "[true, , false]"]),
        ("TOPK", numbers(), &n(2), &["[3]", "[3]", "[3, 1]", "[5, 3]", "[5, 5]"]),
        ("TOPK", words(), &n(1), &["[]", "[b]", "[b]", "[b]", "[c]"]),
    ] {
        assert_eq!(check(name, column, literals), expected, "{name} {literals:?}");
    }
}

#[test]
fn a_decimal_sum_that_does_not_fit_is_an_error() {
    let column: ArrayRef =
        Arc::new(Decimal128Array::from(vec![950, 40, 10]).with_precision_and_scale(3, 2).unwrap());
    let mut sum = resolve("SUM", &column, &[]).unwrap().accumulator().unwrap();
    sum.resize(1);
    sum.update(&[0, 0], &[column.slice(0, 2)]).unwrap();
    assert_eq!(texts(&sum.result(&[0]).unwrap()), ["9.90"]);
    assert!(sum.update(&[0], &[column.slice(2, 1)]).unwrap_err().to_string().contains("does not fit"));
}

#[test]
fn wrong_calls_are_refused() {
    let column = ints(&[Some(1)]);
    for (name, literals, expected) in [
        ("TOPK", vec![Literal::Int(0)], "k must be at least 1"),
        ("LATEST_BY_OFFSET", vec![Literal::Int(0)], "at least 1"),
        ("SUM", vec![Literal::Int(0)], "does not accept parameters (INTEGER, INTEGER)"),
        ("SUMM", vec![], "Can't find any functions with the name 'SUMM' (did you mean SUM?)"),
    ] {
        let error = resolve(name, &column, &literals).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}
