//! The functions that only the suite knows, registered as those of any user are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Int32Builder, Int64Array, ListArray, ListBuilder, StringArray,
    StringBuilder, StructArray, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type};
use millstream_sql::ast::Literal;
use millstream_sql::function::{
    AggregateCall, AggregateFunction, Call, Fold, FunctionRegistry, ScalarFunction, TableFunction, put_bytes,
    take_bytes, take_exact, text_of,
};
use millstream_sql::{SqlError, SqlType};

/// Adds all of them.
pub(crate) fn register(functions: &mut FunctionRegistry) -> Result<(), SqlError> {
    for function in scalars() {
        functions.register_scalar(function)?;
    }
    for function in tables() {
        functions.register_table(function)?;
    }
    for function in aggregates() {
        functions.register_aggregate(function)?;
    }
    Ok(())
}

/// A form that gives the same text in every row.
fn says(text: &'static str) -> impl Fn(&Call<'_>) -> Result<ArrayRef, SqlError> {
    move |call| call.build_slices(|_| Some(text))
}

fn struct_of(call: &Call<'_>, texts: ArrayRef) -> Result<ArrayRef, SqlError> {
    let DataType::Struct(fields) = call.return_type().to_arrow() else {
        return Err(SqlError::invalid("a STRUCT is returned"));
    };
    Ok(Arc::new(StructArray::try_new(fields, vec![texts], None)?))
}

/// The first argument where the second is true; elsewhere an error.
fn only_if_expected<T: 'static>(
    call: &Call<'_>,
    result: impl Fn(usize) -> Option<T>,
) -> impl Fn(usize) -> Option<T> {
    move |row| match call.booleans(1).get(row) {
        Some(true) => result(row),
        _ => call.fail("not expected to be called"),
    }
}

fn scalars() -> Vec<ScalarFunction> {
    vec![
        ScalarFunction::new("test_udf", "Says which of its forms was called.")
            .form("(INT, STRING) -> STRING", says("doStuffIntString"))
            .form("(BIGINT, STRING) -> STRING", says("doStuffLongString"))
            .form("(BIGINT, BIGINT, STRING) -> STRING", says("doStuffLongLongString"))
            .form("(BIGINT...) -> STRING", says("doStuffLongVarargs"))
            .form("(STRUCT<A STRING>) -> STRING", |call| {
                let structs = call.array(0)?;
                let texts = structs.as_struct().column(0).as_string::<i32>();
                call.build_slices(|row| {
                    (structs.is_valid(row) && texts.is_valid(row)).then(|| texts.value(row))
                })
            })
            .form("() -> STRUCT<A STRING>", |call| {
                struct_of(call, Arc::new(StringArray::from(vec!["foo"; call.rows()])))
            }),
        ScalarFunction::new("bad_udf", "Fails in various ways.")
            .form("(INT) -> STRING", |call| call.build_slices(|_| call.fail("boom!")))
            .form("(BOOLEAN) -> INT", |call| {
                let throws = call.booleans(0);
                call.build::<Int32Type>(|row| match throws.get(row) {
                    Some(true) => call.fail("You asked me to throw..."),
                    _ => Some(0),
                })
            })
            .form_per_call("(STRING) -> STRING", || {
                let gives = AtomicBool::new(false);
                move |call: &Call<'_>| {
                    let texts = call.strings(0);
                    call.build_slices(|row| {
                        if gives.fetch_xor(true, Ordering::Relaxed) { texts.get(row) } else { None }
                    })
                }
            }),
        ScalarFunction::new("WhenCondition", "A condition that must be, or must not be, looked at.").form(
            "(BOOLEAN, BOOLEAN) -> BOOLEAN",
            |call| {
                let results = call.booleans(0);
                call.build_booleans(only_if_expected(call, move |row| results.get(row)))
            },
        ),
        ScalarFunction::new("WhenResult", "A result that must be, or must not be, computed.").form(
            "(INT, BOOLEAN) -> INT",
            |call| {
                let results = call.ints(0);
                call.build::<Int32Type>(only_if_expected(call, move |row| results.get(row)))
            },
        ),
        ScalarFunction::new("toStruct", "A struct of the text.")
            .form("(STRING) -> STRUCT<A STRING>", |call| struct_of(call, call.array(0)?)),
    ]
}

/// A list in each row with the texts of the row's values, as `value` finds them: a column and a place in it.
fn texts(
    call: &Call<'_>,
    columns: &[ArrayRef],
    value: impl Fn(&ArrayRef, usize) -> Option<(ArrayRef, usize)>,
) -> Result<ArrayRef, SqlError> {
    let mut rows = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows() {
        for column in columns {
            rows.values()
                .append_option(value(column, row).map(|(values, place)| text_of(values.as_ref(), place)));
        }
        rows.append(true);
    }
    Ok(Arc::new(rows.finish()))
}

/// One row per row: the argument.
fn one_row(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let values = call.array(0)?;
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_repeated_length(1, call.rows());
    Ok(Arc::new(ListArray::try_new(item, offsets, values, None)?))
}

fn tables() -> Vec<TableFunction> {
    let seven = ["INT", "BIGINT", "DOUBLE", "BOOLEAN", "STRING", "DECIMAL", "STRUCT<A STRING>"];
    let all = |wrap: &dyn Fn(&str) -> String| format!("({}) -> STRING", seven.map(wrap).join(", "));
    let columns =
        |call: &Call<'_>| (0..call.arg_count()).map(|i| call.array(i)).collect::<Result<Vec<_>, _>>();
    let bigint_first = format!(
        "(MAP<BIGINT, INT>, {}) -> STRING",
        seven[1..].iter().map(|ty| format!("MAP<STRING, {ty}>")).collect::<Vec<_>>().join(", ")
    );
    let first_value = move |call: &Call<'_>| {
        texts(call, &columns(call)?, |maps, row| {
            let entries = maps.as_map().value(row);
            (!entries.is_empty()).then(|| (Arc::clone(entries.column(1)), 0))
        })
    };
    vec![
        TableFunction::new("test_udtf", "A row for every argument.")
            .form(&all(&|ty| ty.to_owned()), move |call| {
                texts(call, &columns(call)?, |values, row| Some((Arc::clone(values), row)))
            })
            .form(&all(&|ty| format!("ARRAY<{ty}>")), move |call| {
                texts(call, &columns(call)?, |lists, row| Some((lists.as_list::<i32>().value(row), 0)))
            })
            .form(&all(&|ty| format!("MAP<STRING, {ty}>")), first_value)
            .form(&bigint_first, first_value)
            .forms(
                &[
                    "(INT) -> INT",
                    "(BIGINT) -> BIGINT",
                    "(DOUBLE) -> DOUBLE",
                    "(BOOLEAN) -> BOOLEAN",
                    "(STRING) -> STRING",
                    "(STRUCT<A STRING>) -> STRUCT<A STRING>",
                ],
                one_row,
            )
            .form("(DECIMAL) -> DECIMAL(30, 10)", |call| {
                let wide = DataType::List(Arc::new(Field::new("item", DataType::Decimal128(30, 10), true)));
                Ok(compute::cast(&one_row(call)?, &wide)?)
            }),
        TableFunction::new("throwing_udtf", "Fails if it is told to.").form("(BOOLEAN) -> BOOLEAN", |call| {
            let throws = call.booleans(0);
            let mut rows = ListBuilder::new(BooleanBuilder::new());
            for row in 0..call.rows() {
                let failed = throws.get(row) == Some(true);
                if failed {
                    call.fail::<()>("You asked me to throw...");
                } else {
                    rows.values().append_value(false);
                }
                rows.append(!failed);
            }
            Ok(Arc::new(rows.finish()))
        }),
    ]
}

/// What a row of any number of columns adds to a sum.
type Term = fn(&[ArrayRef], usize) -> i64;

/// A BIGINT sum from a start value on; `last` is added to what comes out.
struct Sum {
    start: i64,
    last: i64,
    term: Term,
}

impl Fold for Sum {
    type State = i64;
    type Input<'a> = &'a [ArrayRef];
    type Output = Vec<i64>;

    fn empty(&self) -> i64 {
        self.start
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<&'a [ArrayRef], SqlError> {
        Ok(args)
    }

    fn add(&self, state: &mut i64, args: &&[ArrayRef], row: usize) -> Result<(), SqlError> {
        *state += (self.term)(args, row);
        Ok(())
    }

    fn remove(&self, state: &mut i64, args: &&[ArrayRef], row: usize) -> Result<(), SqlError> {
        *state -= (self.term)(args, row);
        Ok(())
    }

    fn merge(&self, state: &mut i64, later: &i64) -> Result<(), SqlError> {
        *state += later;
        Ok(())
    }

    fn save(&self, state: &i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.to_le_bytes());
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<i64, SqlError> {
        Ok(i64::from_le_bytes(take_exact(bytes)?))
    }

    fn output(&self, capacity: usize) -> Vec<i64> {
        Vec::with_capacity(capacity)
    }

    fn emit(&self, state: &i64, output: &mut Vec<i64>) {
        output.push(state + self.last);
    }

    fn finish(&self, output: Vec<i64>) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(Int64Array::from(output)))
    }
}

/// Numbers count themselves, texts their length, NULLs nothing.
fn all_columns(args: &[ArrayRef], row: usize) -> i64 {
    let term = |column: &ArrayRef| match column.data_type() {
        _ if column.is_null(row) => 0,
        DataType::Int32 => i64::from(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row),
        _ => column.as_string::<i32>().value(row).chars().count() as i64,
    };
    args.iter().map(term).sum()
}

fn number(literal: &Literal) -> i64 {
    match literal {
        Literal::Int(number) => i64::from(*number),
        Literal::Bigint(number) => *number,
        Literal::String(text) => text.chars().count() as i64,
        _ => 0,
    }
}

/// Starts with the constants.
fn from_constants(call: &AggregateCall<'_>) -> Result<Sum, SqlError> {
    Ok(Sum { start: call.literals.iter().map(number).sum(), last: 0, term: all_columns })
}

/// The DOUBLE sum.
struct DoubleSum;

impl Fold for DoubleSum {
    type State = f64;
    type Input<'a> = &'a ArrayRef;
    type Output = Vec<f64>;

    fn empty(&self) -> f64 {
        0.0
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<&'a ArrayRef, SqlError> {
        Ok(&args[0])
    }

    fn add(&self, state: &mut f64, values: &&ArrayRef, row: usize) -> Result<(), SqlError> {
        if values.is_valid(row) {
            *state += values.as_primitive::<Float64Type>().value(row);
        }
        Ok(())
    }

    fn merge(&self, state: &mut f64, later: &f64) -> Result<(), SqlError> {
        *state += later;
        Ok(())
    }

    fn save(&self, state: &f64, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.to_le_bytes());
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<f64, SqlError> {
        Ok(f64::from_le_bytes(take_exact(bytes)?))
    }

    fn output(&self, capacity: usize) -> Vec<f64> {
        Vec::with_capacity(capacity)
    }

    fn emit(&self, state: &f64, output: &mut Vec<f64>) {
        output.push(*state);
    }

    fn finish(&self, output: Vec<f64>) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(arrow::array::Float64Array::from(output)))
    }
}

/// The sums of the fields A and B.
struct StructSum(SqlType);

impl Fold for StructSum {
    type State = [i32; 2];
    type Input<'a> = &'a ArrayRef;
    type Output = [Int32Builder; 2];

    fn empty(&self) -> [i32; 2] {
        [0, 0]
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<&'a ArrayRef, SqlError> {
        Ok(&args[0])
    }

    fn add(&self, state: &mut [i32; 2], structs: &&ArrayRef, row: usize) -> Result<(), SqlError> {
        if structs.is_valid(row) {
            for (sum, column) in state.iter_mut().zip(structs.as_struct().columns()) {
                let values = column.as_primitive::<Int32Type>();
                *sum += if values.is_valid(row) { values.value(row) } else { 0 };
            }
        }
        Ok(())
    }

    fn merge(&self, state: &mut [i32; 2], later: &[i32; 2]) -> Result<(), SqlError> {
        state.iter_mut().zip(later).for_each(|(sum, other)| *sum += other);
        Ok(())
    }

    fn save(&self, state: &[i32; 2], out: &mut Vec<u8>) {
        state.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<[i32; 2], SqlError> {
        Ok([i32::from_le_bytes(take_exact(bytes)?), i32::from_le_bytes(take_exact(bytes)?)])
    }

    fn output(&self, _capacity: usize) -> [Int32Builder; 2] {
        [Int32Builder::new(), Int32Builder::new()]
    }

    fn emit(&self, state: &[i32; 2], output: &mut [Int32Builder; 2]) {
        output.iter_mut().zip(state).for_each(|(column, sum)| column.append_value(*sum));
    }

    fn finish(&self, [mut a, mut b]: [Int32Builder; 2]) -> Result<ArrayRef, SqlError> {
        let DataType::Struct(fields) = self.0.to_arrow() else {
            return Err(SqlError::invalid("a STRUCT is summed"));
        };
        Ok(Arc::new(StructArray::try_new(fields, vec![Arc::new(a.finish()), Arc::new(b.finish())], None)?))
    }
}

/// The first arguments of all rows without a NULL, each as a column of one value.
struct Appended(SqlType);

impl Fold for Appended {
    type State = Vec<ArrayRef>;
    type Input<'a> = &'a [ArrayRef];
    type Output = (Vec<ArrayRef>, Vec<usize>);

    fn empty(&self) -> Vec<ArrayRef> {
        Vec::new()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<&'a [ArrayRef], SqlError> {
        Ok(args)
    }

    fn add(&self, state: &mut Vec<ArrayRef>, args: &&[ArrayRef], row: usize) -> Result<(), SqlError> {
        if args.iter().all(|column| column.is_valid(row)) {
            state.push(compute::take(&args[0], &UInt32Array::from(vec![row as u32]), None)?);
        }
        Ok(())
    }

    fn merge(&self, state: &mut Vec<ArrayRef>, later: &Vec<ArrayRef>) -> Result<(), SqlError> {
        state.extend_from_slice(later);
        Ok(())
    }

    fn save(&self, state: &Vec<ArrayRef>, out: &mut Vec<u8>) {
        let converter = self.converter();
        out.extend_from_slice(&(state.len() as u32).to_le_bytes());
        for value in state {
            let rows = converter
                .convert_columns(std::slice::from_ref(value))
                .expect("the type is that of the state");
            put_bytes(rows.row(0).as_ref(), out);
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Vec<ArrayRef>, SqlError> {
        let converter = self.converter();
        let parser = converter.parser();
        let count = u32::from_le_bytes(take_exact(bytes)?);
        let mut state = Vec::new();
        for _ in 0..count {
            state.push(converter.convert_rows([parser.parse(take_bytes(bytes)?)])?.swap_remove(0));
        }
        Ok(state)
    }

    fn output(&self, _capacity: usize) -> Self::Output {
        (Vec::new(), Vec::new())
    }

    fn emit(&self, state: &Vec<ArrayRef>, (items, lengths): &mut Self::Output) {
        items.extend_from_slice(state);
        lengths.push(state.len());
    }

    fn finish(&self, (items, lengths): Self::Output) -> Result<ArrayRef, SqlError> {
        let item = self.0.to_arrow();
        let items: Vec<&dyn Array> = items.iter().map(AsRef::as_ref).collect();
        let items = match items.as_slice() {
            [] => arrow::array::new_empty_array(&item),
            items => compute::concat(items)?,
        };
        let field = Arc::new(Field::new("item", item, true));
        Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), items, None)?))
    }
}

impl Appended {
    fn converter(&self) -> arrow::row::RowConverter {
        let field = arrow::row::SortField::new(self.0.to_arrow());
        arrow::row::RowConverter::new(vec![field]).expect("every SQL type has a row format")
    }
}

fn appended(call: &AggregateCall<'_>) -> Result<Appended, SqlError> {
    Ok(Appended(call.arg_types[0].clone()))
}

fn aggregates() -> Vec<AggregateFunction> {
    let plain = |start: i64| Sum { start, last: 0, term: all_columns };
    vec![
        AggregateFunction::new("test_udaf", "Sums of various kinds.")
            .fold(&["(BIGINT) -> BIGINT"], move |_| Ok(plain(0)))
            .fold(&["(INT) -> BIGINT"], move |call| {
                Ok(plain(call.property("init").and_then(|text| text.parse().ok()).unwrap_or(0)))
            })
            .supports_tables()
            .fold(&["(DOUBLE) -> DOUBLE"], |_| Ok(DoubleSum))
            .fold(&["(STRING, LITERAL STRING) -> BIGINT"], from_constants)
            .fold(&["(STRUCT<A INT, B INT>) -> STRUCT<A INT, B INT>"], |call| {
                Ok(StructSum(call.return_type.clone()))
            }),
        AggregateFunction::new("MULTI_ARG", "Two columns and constants.")
            .fold(&["(BIGINT, STRING, LITERAL INT, LITERAL STRING...) -> BIGINT"], from_constants),
        AggregateFunction::new("FOUR_ARG", "Four columns and constants.").fold(
            &["(BIGINT, STRING, STRING, STRING, LITERAL INT, LITERAL STRING...) -> BIGINT"],
            from_constants,
        ),
        AggregateFunction::new("FIVE_ARG", "Five columns and constants.").fold(
            &["(BIGINT, STRING, STRING, STRING, INT, LITERAL INT, LITERAL STRING...) -> BIGINT"],
            from_constants,
        ),
        AggregateFunction::new("VAR_ARG", "A number and any number of texts.")
            .fold(&["(BIGINT, STRING...) -> BIGINT"], from_constants),
        AggregateFunction::new("MID_VAR_ARG", "Any number of texts in the middle.")
            .fold(&["(BIGINT, STRING..., LITERAL INT, LITERAL INT) -> BIGINT"], |call| {
                Ok(Sum { start: 0, last: call.literals.iter().map(number).sum(), term: all_columns })
            }),
        AggregateFunction::new("GENERIC_VAR_ARG", "Arguments of any types.")
            .fold(&["(A, B, C...) -> ARRAY<A>"], appended),
        AggregateFunction::new("OBJ_COL_ARG", "Arguments of different types.")
            .fold(&["(INT, ANY...) -> ARRAY<INT>"], appended),
    ]
}
