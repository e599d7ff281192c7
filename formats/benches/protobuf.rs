//! Protobuf to Arrow and back on the events of the shared benchmarks, beside JSON on the same events and beside the
//! library's dynamic messages.

#[allow(unreachable_pub, reason = "benchmarks share the module")]
mod events;

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use events::{ROWS, events, fields};
use millstream_formats::{EmbeddedRegistry, Format, FormatSpec, Payloads, Subject};
use prost::Message;
use prost_reflect::DynamicMessage;
use protox::file::{File, FileResolver};

/// Magic byte, schema id, and the zero that stands for the first message.
const HEADER: usize = 6;

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
