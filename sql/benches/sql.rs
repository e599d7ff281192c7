//! SQL over JSON events, topic to topic on one thread, beside a bare scan of the same JSON.
//!
//! The events have the shape and distribution of `gen_events.py`: 1,000 uniform keys, ten events per ms.

#[path = "sql/events.rs"]
mod events;
#[path = "sql/kernels.rs"]
mod kernels;
#[path = "sql/nexmark.rs"]
mod nexmark;
#[path = "sql/promises.rs"]
mod promises;

use std::hint::black_box;

use arrow::datatypes::{DataType, Field, Fields};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream_formats::{Format, FormatSpec};

use events::{Bench, EVENT_COLUMNS, EVENTS, KEYS, events};

fn queries(c: &mut Criterion) {
    let mut bench = Bench::new();
    let mut group = c.benchmark_group("sql");
    group.sample_size(10).throughput(Throughput::Elements(EVENTS));
    let cases = [
        (
            "filter and projection",
            "CREATE STREAM out AS SELECT rk, id, price * qty AS total FROM events WHERE kind = 'buy' AND price > 50.0;",
            "DROP STREAM out DELETE TOPIC;",
        ),
        (
            "tumbling count per record key",
            "CREATE TABLE out AS SELECT rk, COUNT(*) AS n FROM events WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY rk;",
            "DROP TABLE out DELETE TOPIC;",
        ),
        (
            "tumbling count per key in the value, repartitioned",
            "CREATE TABLE out AS SELECT key, COUNT(*) AS n FROM events WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY key;",
            "DROP TABLE out DELETE TOPIC;",
        ),
        (
            "count and sum of a table, each change taken out of its group and put into another",
            "CREATE TABLE out AS SELECT note, COUNT(*) AS n, SUM(qty) AS qty FROM latest GROUP BY note;",
            "DROP TABLE out DELETE TOPIC;",
        ),
        (
            "session count and sum per record key",
            "CREATE TABLE out AS SELECT rk, COUNT(*) AS n, SUM(qty) AS qty FROM events WINDOW SESSION (500 MILLISECONDS) GROUP BY rk;",
            "DROP TABLE out DELETE TOPIC;",
        ),
    ];
    bench.run(&format!(
        "CREATE TABLE latest (rk STRING PRIMARY KEY, {EVENT_COLUMNS}) WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON');"
    ));
    for (name, create, drop) in cases {
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| (0..rounds).map(|_| bench.time(create, drop)).sum());
        });
    }
    group.finish();
}

/// Only scanning the JSON, and decoding four columns of it.
fn json(c: &mut Criterion) {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    events(8_192, KEYS, |_, _, json| payloads.push(json.as_bytes().to_vec()));
    let payloads: Vec<Option<&[u8]>> = payloads.iter().map(|payload| Some(payload.as_slice())).collect();
    let field = |name: &str, ty: DataType| Field::new(name, ty, true);
    let fields: Fields = vec![
        field("ID", DataType::Int64),
        field("KIND", DataType::Utf8),
        field("PRICE", DataType::Float64),
        field("QTY", DataType::Int32),
    ]
    .into();
    let mut group = c.benchmark_group("json");
    group.throughput(Throughput::Elements(payloads.len() as u64));
    let mut nothing =
        FormatSpec::value(Format::Json).decoder(&fields, Some(&[]), None).expect("JSON holds these");
    group.bench_function("scan", |b| b.iter(|| black_box(nothing.decode(black_box(&payloads)))));
    let mut four = FormatSpec::value(Format::Json).decoder(&fields, None, None).expect("JSON holds these");
    group.bench_function("decode four columns", |b| b.iter(|| black_box(four.decode(black_box(&payloads)))));
    group.finish();
}

criterion_group!(benches, kernels::kernels, promises::promises, nexmark::nexmark, queries, json);
criterion_main!(benches);
