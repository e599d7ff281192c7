//! Expressions of ours and DataFusion's own for the same, over the same batch. The promise: within twice its time.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{
        ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampMillisecondArray,
    },
    datatypes::{DataType, Field, Schema},
};
use criterion::Criterion;
use datafusion::{
    common::DFSchema,
    physical_expr::PhysicalExpr,
    prelude::{SessionConfig, SessionContext},
};
use millstream_sql::testing::TestExpression;

use crate::events::Bits;

/// Rows of the batch.
const ROWS: usize = 8192;
/// Times that each side is timed; the shortest counts.
const ROUNDS: usize = 60;

/// What is compared: of ours and of theirs.
const CASES: &[(&str, &str, &str)] = &[
    ("BIGINT + INT", "ID + QTY", "id + qty"),
    ("BIGINT * BIGINT", "ID * ID", "id * id"),
    ("BIGINT / literal", "ID / 7", "id / 7"),
    ("BIGINT % literal", "ID % 7", "id % 7"),
    ("DOUBLE * INT", "PRICE * QTY", "price * qty"),
    ("DOUBLE / DOUBLE", "PRICE / RATE", "price / rate"),
    ("three operations", "PRICE * QTY + RATE - ID", "price * qty + rate - id"),
    ("negation", "-PRICE", "-price"),
    ("DECIMAL + DECIMAL", "AMOUNT + AMOUNT", "amount + amount"),
    ("DECIMAL * DECIMAL", "AMOUNT * AMOUNT", "amount * amount"),
    ("DOUBLE > literal", "PRICE > 50.0", "price > 50.0"),
    ("BIGINT = literal", "ID = 5", "id = 5"),
    ("BIGINT < INT", "ID < QTY", "id < qty"),
    ("STRING = literal", "KIND = 'buy'", "kind = 'buy'"),
    ("STRING < STRING", "KIND < NOTE", "kind < note"),
    ("DECIMAL > literal", "AMOUNT > 12.5", "amount > 12.5"),
    ("BETWEEN", "PRICE BETWEEN 10.0 AND 20.0", "price BETWEEN 10.0 AND 20.0"),
    ("AND, OR, NOT", "NOT (PRICE > 50.0 AND QTY < 4 OR ID = 3)", "NOT (price > 50.0 AND qty < 4 OR id = 3)"),
    ("IN of strings", "KIND IN ('buy', 'sell')", "kind IN ('buy', 'sell')"),
    ("IN of numbers", "QTY IN (1, 3, 5, 7)", "qty IN (1, 3, 5, 7)"),
    ("IS NULL", "QTY IS NULL", "qty IS NULL"),
    (
        "CASE",
        "CASE WHEN PRICE > 50.0 THEN 'dear' WHEN PRICE > 10.0 THEN 'fair' ELSE 'cheap' END",
        "CASE WHEN price > 50.0 THEN 'dear' WHEN price > 10.0 THEN 'fair' ELSE 'cheap' END",
    ),
    (
        "CASE of columns",
        "CASE WHEN QTY > 3 THEN PRICE ELSE RATE END",
        "CASE WHEN qty > 3 THEN price ELSE rate END",
    ),
    ("LIKE 'x%'", "NOTE LIKE 'alpha%'", "note LIKE 'alpha%'"),
    ("LIKE '%x%'", "NOTE LIKE '%echo%'", "note LIKE '%echo%'"),
    ("LIKE 'x_y%'", "NOTE LIKE 'a_pha%'", "note LIKE 'a_pha%'"),
    ("CONCAT", "CONCAT(KIND, '-', NOTE)", "concat(kind, '-', note)"),
    ("||", "KIND || NOTE", "kind || note"),
    ("SUBSTRING", "SUBSTRING(NOTE, 2, 4)", "substr(note, 2, 4)"),
    ("UCASE", "UCASE(NOTE)", "upper(note)"),
    ("LEN", "LEN(NOTE)", "character_length(note)"),
    ("TRIM", "TRIM(NOTE)", "trim(note)"),
    ("REPLACE", "REPLACE(NOTE, 'a', 'bc')", "replace(note, 'a', 'bc')"),
    ("LPAD", "LPAD(NOTE, 20, '.')", "lpad(note, 20, '.')"),
    ("INSTR", "INSTR(NOTE, 'o')", "strpos(note, 'o')"),
    ("SPLIT", "SPLIT(NOTE, '-')", "string_to_array(note, '-')"),
    ("CAST BIGINT to STRING", "CAST(ID AS STRING)", "CAST(id AS VARCHAR)"),
    ("CAST DOUBLE to STRING", "CAST(PRICE AS STRING)", "CAST(price AS VARCHAR)"),
    ("CAST STRING to BIGINT", "CAST(DIGITS AS BIGINT)", "CAST(digits AS BIGINT)"),
    ("CAST STRING to DOUBLE", "CAST(DIGITS AS DOUBLE)", "CAST(digits AS DOUBLE)"),
    ("CAST DOUBLE to BIGINT", "CAST(PRICE AS BIGINT)", "CAST(price AS BIGINT)"),
    ("CAST BIGINT to DOUBLE", "CAST(ID AS DOUBLE)", "CAST(id AS DOUBLE)"),
    ("CAST DOUBLE to DECIMAL", "CAST(PRICE AS DECIMAL(10, 2))", "CAST(price AS DECIMAL(10, 2))"),
    ("ABS", "ABS(PRICE)", "abs(price)"),
    ("FLOOR", "FLOOR(PRICE)", "floor(price)"),
    ("ROUND to places", "ROUND(PRICE, 1)", "round(price, 1)"),
    ("SQRT", "SQRT(PRICE)", "sqrt(price)"),
    ("COALESCE", "COALESCE(QTY, 0)", "CASE WHEN qty IS NULL THEN 0 ELSE qty END"),
    ("NULLIF", "NULLIF(KIND, 'buy')", "nullif(kind, 'buy')"),
    ("GREATEST", "GREATEST(PRICE, RATE)", "greatest(price, rate)"),
    ("TIMESTAMP > TIMESTAMP", "TS > TS2", "ts > ts2"),
    ("FORMAT_TIMESTAMP", "FORMAT_TIMESTAMP(TS, 'yyyy-MM-dd HH:mm:ss')", "to_char(ts, '%Y-%m-%d %H:%M:%S')"),
    (
        "PARSE_TIMESTAMP",
        "PARSE_TIMESTAMP(WHEN_, 'yyyy-MM-dd HH:mm:ss')",
        "to_timestamp_millis(when_, '%Y-%m-%d %H:%M:%S')",
    ),
    ("CAST STRING to TIMESTAMP", "CAST(ISO AS TIMESTAMP)", "CAST(iso AS TIMESTAMP)"),
    ("CAST TIMESTAMP to DATE", "CAST(TS AS DATE)", "CAST(ts AS DATE)"),
    ("TIMESTAMPADD", "TIMESTAMPADD(HOURS, 1, TS)", "ts + INTERVAL '1 hour'"),
    ("REGEXP_REPLACE", "REGEXP_REPLACE(NOTE, '[ae]+', '_')", "regexp_replace(note, '[ae]+', '_', 'g')"),
    ("MD5", "MD5(NOTE)", "md5(note)"),
    ("ARRAY item", "SPLIT(NOTE, '-')[1]", "string_to_array(note, '-')[1]"),
];

/// Compares, unless a filter on the command line leaves it out. Prints; machines differ.
pub(crate) fn kernels(_: &mut Criterion) {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if filter.as_ref().is_some_and(|filter| !"kernels".contains(filter.as_str())) {
        return;
    }
    let ours = batch(str::to_uppercase);
    let theirs = batch(str::to_owned);
    let context = SessionContext::new_with_config(SessionConfig::new());
    let names = DFSchema::try_from(theirs.schema().as_ref().clone()).expect("names are unique");
    println!("{:<28} {:>10} {:>10} {:>7}", "ns/row", "ours", "DataFusion", "ratio");
    let mut slow = Vec::new();
    for (name, mine, other) in CASES {
        let mine =
            TestExpression::new(mine, &ours.schema()).unwrap_or_else(|error| panic!("{mine}: {error}"));
        let other: Option<Arc<dyn PhysicalExpr>> = context
            .parse_sql_expr(other, &names)
            .and_then(|other| context.create_physical_expr(other, &names))
            .inspect_err(|error| println!("{name}: DataFusion has none: {error}"))
            .ok();
        let (mut a, mut b) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            a = a.min(time(|| mine.evaluate(&ours).expect("it computes")));
            if let Some(other) = &other {
                b = b.min(time(|| {
                    let value = other.evaluate(&theirs).unwrap_or_else(|error| panic!("{name}: {error}"));
                    value.into_array(ROWS).expect("a value per row")
                }));
            }
        }
        let per_row = |time: Duration| time.as_nanos() as f64 / ROWS as f64;
        if other.is_none() {
            println!("{name:<28} {:>10.2}", per_row(a));
            continue;
        }
        let ratio = a.as_secs_f64() / b.as_secs_f64();
        println!("{name:<28} {:>10.2} {:>10.2} {ratio:>7.2}", per_row(a), per_row(b));
        if ratio > 2.0 {
            slow.push(*name);
        }
    }
    println!(
        "slower than twice DataFusion's time: {}",
        if slow.is_empty() { "none".into() } else { slow.join(", ") }
    );
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn time(evaluate: impl Fn() -> ArrayRef) -> Duration {
    let start = Instant::now();
    black_box(evaluate());
    start.elapsed()
}

/// The columns under names of the one side or the other.
fn batch(name: impl Fn(&str) -> String) -> RecordBatch {
    let mut bits = Bits(3);
    let mut next = |below: u64| (bits.next() >> 16) % below;
    let words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"];
    let numbers =
        |next: &mut dyn FnMut(u64) -> u64| -> Vec<u64> { (0..ROWS).map(|_| next(1_000_000)).collect() };
    let (a, b, c) = (numbers(&mut next), numbers(&mut next), numbers(&mut next));
    let text = |make: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((0..ROWS).map(|row| Some(make(row))).collect::<StringArray>())
    };
    let times = |numbers: &[u64]| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from_iter_values(
            numbers.iter().map(|number| 1_700_000_000_000 + *number as i64 * 977),
        ))
    };
    let clock = |row: usize| (a[row] % 24, b[row] % 60, c[row] % 60);
    let day = |row: usize| format!("20{:02}-{:02}-{:02}", a[row] % 30, b[row] % 12 + 1, c[row] % 28 + 1);
    let amounts = Decimal128Array::from_iter_values(a.iter().map(|number| i128::from(*number % 10_000)));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(a.iter().map(|number| *number as i64)))),
        ("qty", Arc::new(b.iter().map(|n| (n % 10 > 0).then_some((n % 8) as i32)).collect::<Int32Array>())),
        ("price", Arc::new(Float64Array::from_iter_values(b.iter().map(|number| *number as f64 / 10_000.0)))),
        (
            "rate",
            Arc::new(Float64Array::from_iter_values(c.iter().map(|number| *number as f64 / 9_999.0 + 0.1))),
        ),
        ("amount", Arc::new(amounts.with_precision_and_scale(10, 2).expect("they fit"))),
        ("kind", text(&|row| ["buy", "sell", "hold", "void"][(a[row] % 4) as usize].to_owned())),
        ("note", text(&|row| format!("{}-{}", words[(b[row] % 6) as usize], words[(c[row] % 6) as usize]))),
        ("digits", text(&|row| a[row].to_string())),
        ("ts", times(&a)),
        ("ts2", times(&b)),
        (
            "when_",
            text(&|row| {
                let (hour, minute, second) = clock(row);
                format!("{} {hour:02}:{minute:02}:{second:02}", day(row))
            }),
        ),
        (
            "iso",
            text(&|row| {
                let (hour, minute, second) = clock(row);
                format!("{}T{hour:02}:{minute:02}:{second:02}.123", day(row))
            }),
        ),
    ];
    let field = |(called, column): &(&str, ArrayRef)| {
        let ty: DataType = column.data_type().clone();
        Field::new(name(called), ty, true)
    };
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of one length")
}
