//! Functions of one's own in SQL: one for single values, one for groups that can take rows back, one that gives rows.
//!
//! ```sh
//! cargo run --release --example user_functions
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Float64Builder, Int64Array, ListBuilder, StringBuilder};
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use millstream_examples::Outcome;
use millstream_log::{Log, SystemClock};
use millstream_sql::function::{
    AggregateFunction, Fold, FunctionRegistry, ScalarFunction, TableFunction, take_exact,
};
use millstream_sql::{Engine, Outcome as SqlOutcome, Session, SqlConfig, SqlError};

/// Whether the last digit of a card's number is the one that follows from the others.
fn luhn() -> ScalarFunction {
    ScalarFunction::new("LUHN", "Whether the number of a card is valid.").form(
        "(STRING) -> BOOLEAN",
        |call| {
            let numbers = call.strings(0);
            call.build_booleans(|row| {
                let digits: Option<Vec<u32>> =
                    numbers.get(row)?.chars().rev().map(|c| c.to_digit(10)).collect();
                let Some(digits) = digits else {
                    return call.fail("a card's number has digits only");
                };
                let weighted = digits.iter().enumerate().map(|(place, digit)| match place % 2 {
                    0 => *digit,
                    _ => digit * 2 / 10 + digit * 2 % 10,
                });
                Some(weighted.sum::<u32>() % 10 == 0)
            })
        },
    )
}

/// The value in the middle. It keeps how often each value occurs, so rows can be taken back.
struct Median;

impl Fold for Median {
    type State = BTreeMap<i64, u64>;
    type Input<'a> = &'a Int64Array;
    type Output = Float64Builder;

    fn empty(&self) -> Self::State {
        BTreeMap::new()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<&'a Int64Array, SqlError> {
        Ok(args[0].as_primitive::<Int64Type>())
    }

    fn add(&self, state: &mut Self::State, values: &&Int64Array, row: usize) -> Result<(), SqlError> {
        if values.is_valid(row) {
            *state.entry(values.value(row)).or_default() += 1;
        }
        Ok(())
    }

    fn remove(&self, state: &mut Self::State, values: &&Int64Array, row: usize) -> Result<(), SqlError> {
        if values.is_valid(row)
            && let Some(count) = state.get_mut(&values.value(row))
        {
            *count -= 1;
            if *count == 0 {
                state.remove(&values.value(row));
            }
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        later.iter().for_each(|(value, count)| *state.entry(*value).or_default() += count);
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        out.extend_from_slice(&(state.len() as u64).to_le_bytes());
        for (value, count) in state {
            out.extend_from_slice(&value.to_le_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        let entries = u64::from_le_bytes(take_exact(bytes)?);
        let mut next = || take_exact(bytes);
        (0..entries).map(|_| Ok((i64::from_le_bytes(next()?), u64::from_le_bytes(next()?)))).collect()
    }

    fn output(&self, capacity: usize) -> Float64Builder {
        Float64Builder::with_capacity(capacity)
    }

    fn emit(&self, state: &Self::State, output: &mut Float64Builder) {
        let count: u64 = state.values().sum();
        let nth = |place: u64| {
            let mut before = 0;
            state.iter().find(|(_, count)| {
                before += **count;
                before > place
            })
        };
        let middle = count.checked_sub(1).and_then(|last| Some((nth(last / 2)?.0, nth(count / 2)?.0)));
        output.append_option(middle.map(|(low, high)| (*low as f64 + *high as f64) / 2.0));
    }

    fn finish(&self, mut output: Float64Builder) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(output.finish()))
    }
}

/// A row for every word.
fn words() -> TableFunction {
    TableFunction::new("WORDS", "Every word of the text.").form("(STRING) -> STRING", |call| {
        let texts = call.strings(0);
        let mut rows = ListBuilder::new(StringBuilder::new());
        for row in 0..call.rows() {
            texts
                .get(row)
                .into_iter()
                .flat_map(str::split_whitespace)
                .for_each(|word| rows.values().append_value(word));
            rows.append(true);
        }
        Ok(Arc::new(rows.finish()))
    })
}

fn main() -> Outcome {
    let mut functions = FunctionRegistry::builtin(Arc::new(SystemClock::default()));
    functions.register_scalar(luhn())?;
    functions.register_aggregate(
        AggregateFunction::new("MEDIAN", "The value in the middle.")
            .fold(&["(BIGINT) -> DOUBLE"], |_| Ok(Median))
            .supports_tables(),
    )?;
    functions.register_table(words())?;
    let dir = tempfile::tempdir()?;
    let config = SqlConfig::new(dir.path().join("state")).functions(functions);
    let engine = Engine::open(Log::open(dir.path().join("log"))?, config)?;
    let mut session = Session::new();
    engine.execute(
        &mut session,
        "SET 'auto.offset.reset' = 'earliest';
         CREATE STREAM payments (id INT KEY, shop STRING, card STRING, cents BIGINT)
             WITH (KAFKA_TOPIC='payments', VALUE_FORMAT='JSON', PARTITIONS=1);
         INSERT INTO payments VALUES (1, 'corner shop', '4539578763621486', 250);
         INSERT INTO payments VALUES (2, 'corner shop', '4539578763621487', 99999);
         INSERT INTO payments VALUES (3, 'market hall', '79927398713', 1990);
         INSERT INTO payments VALUES (4, 'corner shop', '79927398713', 420);
         INSERT INTO payments VALUES (5, 'corner shop', 'cash', 300);
         INSERT INTO payments VALUES (6, 'corner shop', '79927398713', 380);
         CREATE TABLE typical AS
             SELECT shop, COUNT(*) AS payments, MEDIAN(cents) AS median FROM payments WHERE LUHN(card) GROUP BY shop;
         CREATE STREAM said AS SELECT id, WORDS(shop) AS word FROM payments WHERE cents > 1000;",
    )?;
    engine.wait_caught_up(Duration::from_secs(60))?;
    let queries = "SELECT shop, payments, median FROM typical; SELECT id, word FROM said;";
    for outcome in engine.execute(&mut session, queries)? {
        let SqlOutcome::Table(rows) = outcome else { continue };
        for batch in &rows.batches {
            let options = FormatOptions::default();
            let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let line: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
                println!("{}", line.join("  "));
            }
        }
    }
    for outcome in engine.execute(&mut session, "DESCRIBE FUNCTION median;")? {
        if let SqlOutcome::Message(text) = outcome {
            println!("\n{text}");
        }
    }
    Ok(())
}
