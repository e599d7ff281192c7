//! JSON to Arrow and back on the events of the shared benchmarks, beside a bare scan of the same bytes.
//!
//! `scan` is the library that the decoder reads with, skipping the whole document: what reading costs at least.

#[allow(unreachable_pub, reason = "benchmarks share the module")]
mod events;

use std::hint::black_box;

use arrow::buffer::BooleanBuffer;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use events::{ROWS, events, fields};
use jiter::Jiter;
use millstream_formats::{Format, FormatSpec, Payloads};

fn json(criterion: &mut Criterion) {
    // Names as most producers write them, in another case than the columns.
    let events: Vec<String> = events().iter().map(|event| event.to_lowercase()).collect();
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
