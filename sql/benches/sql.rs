//! SQL over JSON events, topic to topic on one thread, beside a bare scan of the same JSON.
//!
//! The events have the shape and distribution of `gen_events.py`: 1,000 uniform keys, ten events per ms.

use std::{
    fmt::Write as _,
    hint::black_box,
    time::{Duration, Instant},
};

use arrow::datatypes::{DataType, Field, Fields};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream_formats::{Format, FormatSpec};
use millstream_log::{Log, ProducerConfig, Record, Timestamp};
use millstream_sql::{Engine, Session, SqlConfig};

const EVENTS: u64 = 1_000_000;
const KEYS: u64 = 1_000;
const PER_MS: u64 = 10;
const START_MS: u64 = 1_700_000_000_000;
const KINDS: [&str; 4] = ["buy", "sell", "hold", "void"];
const WORDS: [&str; 12] = [
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo",
    "lima",
];

/// A small generator of random bits (splitmix64), from a fixed seed.
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

/// Calls `each` with time, key and JSON of every event.
fn events(count: u64, mut each: impl FnMut(u64, &str, &str)) {
    let mut bits = Bits(1);
    let (mut key, mut json) = (String::new(), String::new());
    for id in 0..count {
        let ts = START_MS + id / PER_MS;
        key.clear();
        write!(key, "k{:08}", (bits.next() >> 24) % KEYS).expect("a string takes what is written to it");
        let b = bits.next() >> 32;
        let kind = KINDS[(b & 3) as usize];
        let cents = (b >> 2) % 10_000;
        let qty = 1 + ((b >> 16) & 7);
        let (first, second) = (WORDS[((b >> 19) % 12) as usize], WORDS[((b >> 23) % 12) as usize]);
        json.clear();
        write!(
            json,
            r#"{{"id":{id},"ts":{ts},"key":"{key}","kind":"{kind}","price":{}.{:02},"qty":{qty},"note":"{first}-{second}"}}"#,
            cents / 100,
            cents % 100
        )
        .expect("a string takes what is written to it");
        each(ts, &key, &json);
    }
}

const EVENT_COLUMNS: &str =
    "id BIGINT, ts BIGINT, key STRING, kind STRING, price DOUBLE, qty INT, note STRING";

struct Bench {
    _dir: tempfile::TempDir,
    engine: Engine,
    session: Session,
}

impl Bench {
    /// An engine whose topic `events` is full. The record key is the event's key.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Log::open(dir.path().join("log")).expect("a log");
        let engine = Engine::open(log, SqlConfig::new(dir.path().join("state"))).expect("an engine");
        let mut bench = Self { _dir: dir, engine, session: Session::new() };
        bench.run(&format!(
            "CREATE STREAM events (rk STRING KEY, {EVENT_COLUMNS})
             WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON', PARTITIONS=1);"
        ));
        let mut producer = bench.engine.log().producer(ProducerConfig::default()).expect("a producer");
        events(EVENTS, |ts, key, json| {
            let record = Record {
                key: Some(key.as_bytes().to_vec().into()),
                value: Some(json.as_bytes().to_vec().into()),
                timestamp: Some(Timestamp::new(ts as i64)),
                ..Record::default()
            };
            producer.send("events", record).expect("sent");
        });
        producer.flush().expect("flushed");
        bench
    }

    fn run(&mut self, text: &str) {
        self.engine.execute(&mut self.session, text).unwrap_or_else(|error| panic!("{}", error.render(text)));
    }

    /// The time from the start of a persistent query until all events are through it and committed.
    #[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    fn time(&mut self, create: &str, drop: &str) -> Duration {
        let start = Instant::now();
        self.run(create);
        assert!(self.engine.wait_caught_up(Duration::from_secs(120)).expect("no error"), "caught up");
        let time = start.elapsed();
        self.run(drop);
        time
    }
}

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
    ];
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
    events(8_192, |_, _, json| payloads.push(json.as_bytes().to_vec()));
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
    let mut nothing = FormatSpec::value(Format::Json).decoder(&fields, Some(&[])).expect("JSON holds these");
    group.bench_function("scan", |b| b.iter(|| black_box(nothing.decode(black_box(&payloads)))));
    let mut four = FormatSpec::value(Format::Json).decoder(&fields, None).expect("JSON holds these");
    group.bench_function("decode four columns", |b| b.iter(|| black_box(four.decode(black_box(&payloads)))));
    group.finish();
}

criterion_group!(benches, queries, json);
criterion_main!(benches);
