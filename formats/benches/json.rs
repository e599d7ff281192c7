//! JSON to Arrow and back on the events of the shared benchmarks, beside a bare scan of the same bytes.
//!
//! `scan` is the library that the decoder reads with, skipping the whole document: what reading costs at least.

use std::hint::black_box;

use arrow::{
    buffer::BooleanBuffer,
    datatypes::{DataType, Field, Fields},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiter::Jiter;
use millstream_formats::{Format, FormatSpec, Payloads};

const ROWS: usize = 8192;

fn events() -> Vec<String> {
    let kinds = ["buy", "sell", "view", "click"];
    (0..ROWS)
        .map(|n| {
            let (key, kind, cents, quantity) = (n * 7919 % 1000, kinds[n % 4], n * 37 % 100_000, n % 9 + 1);
            let ts = 1_700_000_000_001u64 + n as u64;
            format!(
                r#"{{"id":{n},"ts":{ts},"key":"k{key:08}","kind":"{kind}","price":{}.{:02},"qty":{quantity},"note":"alpha-kilo"}}"#,
                cents / 100,
                cents % 100,
            )
        })
        .collect()
}

fn fields() -> Fields {
    let columns = [
        ("ID", DataType::Int64),
        ("TS", DataType::Int64),
        ("KEY", DataType::Utf8),
        ("KIND", DataType::Utf8),
        ("PRICE", DataType::Float64),
        ("QTY", DataType::Int32),
        ("NOTE", DataType::Utf8),
    ];
    columns.map(|(name, data_type)| Field::new(name, data_type, true)).into_iter().collect()
}

fn json(criterion: &mut Criterion) {
    let events = events();
    let payloads: Vec<Option<&[u8]>> = events.iter().map(|event| Some(event.as_bytes())).collect();
    let spec = FormatSpec::value(Format::Json);
    let fields = fields();
    let mut group = criterion.benchmark_group("json");
    group.throughput(Throughput::Elements(ROWS as u64));

    group.bench_function("scan", |bencher| {
        bencher.iter(|| {
            for payload in payloads.iter().flatten() {
                Jiter::new(black_box(payload)).next_skip().expect("valid JSON");
            }
        });
    });
    for (name, projection) in [("decode_4_of_7", Some(&[1, 2, 3, 4][..])), ("decode_7_of_7", None)] {
        let mut decoder = spec.decoder(&fields, projection, None).expect("the columns fit");
        group.bench_function(name, |bencher| bencher.iter(|| black_box(decoder.decode(&payloads))));
    }
    let decoded = spec.decoder(&fields, None, None).expect("the columns fit").decode(&payloads);
    let mut encoder = spec.encoder(&fields, None).expect("the columns fit");
    let mut out = Payloads::new();
    group.bench_function("encode_7", |bencher| {
        bencher.iter(|| {
            out.clear();
            encoder.encode(&decoded.columns, ROWS, None, &mut out).expect("the declared columns");
            black_box(out.len_bytes())
        });
    });
    let half = BooleanBuffer::collect_bool(ROWS, |row| row % 2 == 0);
    group.bench_function("encode_7_half_null", |bencher| {
        bencher.iter(|| {
            out.clear();
            encoder.encode(&decoded.columns, ROWS, Some(&half), &mut out).expect("the declared columns");
            black_box(out.len_bytes())
        });
    });
    group.finish();
}

criterion_group!(benches, json);
criterion_main!(benches);
