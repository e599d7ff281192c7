//! Avro to Arrow and back on the events of the shared benchmarks, beside JSON on the same events and beside the Avro
//! library's dynamic values.

#[allow(unreachable_pub, reason = "benchmarks share the module")]
mod events;

use std::{hint::black_box, sync::Arc};

use apache_avro::{
    Schema as Library, reader::datum::GenericDatumReader, types::Value, writer::datum::GenericDatumWriter,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use events::{ROWS, events, fields};
use millstream_formats::{EmbeddedRegistry, Format, FormatSpec, Payloads, Subject, split_header};

fn avro(criterion: &mut Criterion) {
    let (json, avro) = (FormatSpec::value(Format::Json), FormatSpec::value(Format::Avro));
    let fields = fields();
    let registry = Arc::new(EmbeddedRegistry::new());
    let subject = Subject { registry, name: "events-value".into(), full_name: None, schema_id: None };
    let events = events();
    let texts: Vec<Option<&[u8]>> = events.iter().map(|event| Some(event.as_bytes())).collect();
    let columns = json.decoder(&fields, None, None).expect("the columns fit").decode(&texts).columns;
    let mut encoder = avro.encoder(&fields, Some(&subject)).expect("the columns fit");
    let mut written = Payloads::new();
    encoder.encode(&columns, ROWS, None, &mut written).expect("the declared columns");
    let payloads: Vec<Option<&[u8]>> = written.iter().collect();

    let mut group = criterion.benchmark_group("avro");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, projection) in [("4_of_7", Some(&[1, 2, 3, 4][..])), ("7_of_7", None)] {
        let mut decoder = avro.decoder(&fields, projection, Some(&subject)).expect("the columns fit");
        group.bench_function(format!("decode_{name}"), |bencher| {
            bencher.iter(|| black_box(decoder.decode(&payloads)));
        });
        let mut decoder = json.decoder(&fields, projection, None).expect("the columns fit");
        group.bench_function(format!("decode_{name}_json"), |bencher| {
            bencher.iter(|| black_box(decoder.decode(&texts)));
        });
    }
    let schema = avro.generate_schema(&fields, None).expect("the columns fit").expect("Avro has schemas");
    let schema = Library::parse_str(&schema.text).expect("a valid schema");
    let reader = GenericDatumReader::builder(&schema).build().expect("a whole schema");
    let read = |payload: &[u8]| {
        let (_, mut body) = split_header(payload).expect("a header");
        reader.read_value(&mut body).expect("written by this schema")
    };
    group.bench_function("decode_7_of_7_library", |bencher| {
        bencher.iter(|| payloads.iter().flatten().for_each(|payload| drop(black_box(read(payload)))));
    });

    let mut out = Payloads::new();
    for (name, spec, subject) in [("encode_7", avro, Some(&subject)), ("encode_7_json", json, None)] {
        let mut encoder = spec.encoder(&fields, subject).expect("the columns fit");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                encoder.encode(&columns, ROWS, None, &mut out).expect("the declared columns");
                black_box(out.len_bytes())
            });
        });
    }
    let values: Vec<Value> = payloads.iter().flatten().map(|payload| read(payload)).collect();
    let writer = GenericDatumWriter::builder(&schema).build().expect("a whole schema");
    let mut bytes = Vec::new();
    group.bench_function("encode_7_library", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            for value in &values {
                writer.write_value_ref(&mut bytes, value).expect("the value is of the schema");
            }
            black_box(bytes.len())
        });
    });
    group.finish();
}

criterion_group!(benches, avro);
criterion_main!(benches);
