//! Protobuf to Arrow and back on the events of the shared benchmarks, beside JSON on the same events and beside the
//! library's dynamic messages.

use std::{hint::black_box, sync::Arc};

use arrow::datatypes::{DataType, Field, Fields};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream_formats::{EmbeddedRegistry, Format, FormatSpec, Payloads, Subject};
use prost::Message;
use prost_reflect::DynamicMessage;
use protox::file::{File, FileResolver};

const ROWS: usize = 8192;
/// Magic byte, schema id, and the zero that stands for the first message.
const HEADER: usize = 6;

fn events() -> Vec<String> {
    let kinds = ["buy", "sell", "view", "click"];
    (0..ROWS)
        .map(|n| {
            let (key, kind, cents, quantity) = (n * 7919 % 1000, kinds[n % 4], n * 37 % 100_000, n % 9 + 1);
            let ts = 1_700_000_000_001u64 + n as u64;
            format!(
                r#"{{"ID":{n},"TS":{ts},"KEY":"k{key:08}","KIND":"{kind}","PRICE":{}.{:02},"QTY":{quantity},"NOTE":"alpha-kilo"}}"#,
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

struct One(String);

impl FileResolver for One {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        File::from_source(name, &self.0)
    }
}

fn protobuf(criterion: &mut Criterion) {
    let (json, protobuf) = (FormatSpec::value(Format::Json), FormatSpec::value(Format::Protobuf));
    let fields = fields();
    let registry = Arc::new(EmbeddedRegistry::new());
    let subject = Subject { registry, name: "events-value".into(), full_name: None, schema_id: None };
    let events = events();
    let texts: Vec<Option<&[u8]>> = events.iter().map(|event| Some(event.as_bytes())).collect();
    let columns = json.decoder(&fields, None, None).expect("the columns fit").decode(&texts).columns;
    let mut encoder = protobuf.encoder(&fields, Some(&subject)).expect("the columns fit");
    let mut written = Payloads::new();
    encoder.encode(&columns, ROWS, None, &mut written).expect("the declared columns");
    let payloads: Vec<Option<&[u8]>> = written.iter().collect();

    let mut group = criterion.benchmark_group("protobuf");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, projection) in [("4_of_7", Some(&[1, 2, 3, 4][..])), ("7_of_7", None)] {
        let mut decoder = protobuf.decoder(&fields, projection, Some(&subject)).expect("the columns fit");
        group.bench_function(format!("decode_{name}"), |bencher| {
            bencher.iter(|| black_box(decoder.decode(&payloads)));
        });
        let mut decoder = json.decoder(&fields, projection, None).expect("the columns fit");
        group.bench_function(format!("decode_{name}_json"), |bencher| {
            bencher.iter(|| black_box(decoder.decode(&texts)));
        });
    }
    let schema = protobuf.generate_schema(&fields, None).expect("the columns fit");
    let mut compiler = protox::Compiler::with_file_resolver(One(schema.expect("Protobuf has schemas").text));
    compiler.open_file("events.proto").expect("a valid schema");
    let descriptor = compiler.descriptor_pool().get_message_by_name("ConnectDefault1").expect("the message");
    let read = |payload: &[u8]| {
        DynamicMessage::decode(descriptor.clone(), &payload[HEADER..]).expect("written by this schema")
    };
    group.bench_function("decode_7_of_7_library", |bencher| {
        bencher.iter(|| payloads.iter().flatten().for_each(|payload| drop(black_box(read(payload)))));
    });

    let mut out = Payloads::new();
    for (name, spec, subject) in [("encode_7", protobuf, Some(&subject)), ("encode_7_json", json, None)] {
        let mut encoder = spec.encoder(&fields, subject).expect("the columns fit");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                encoder.encode(&columns, ROWS, None, &mut out).expect("the declared columns");
                black_box(out.len_bytes())
            });
        });
    }
    let messages: Vec<DynamicMessage> = payloads.iter().flatten().map(|payload| read(payload)).collect();
    let mut bytes = Vec::new();
    group.bench_function("encode_7_library", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            for message in &messages {
                message.encode(&mut bytes).expect("vectors grow");
            }
            black_box(bytes.len())
        });
    });
    group.finish();
}

criterion_group!(benches, protobuf);
criterion_main!(benches);
