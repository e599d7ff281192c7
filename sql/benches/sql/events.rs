//! Events of the shape and distribution of `gen_events.py`, and an engine whose topic is full of them.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use millstream_log::{Log, ProducerConfig, Record, Timestamp};
use millstream_sql::{Engine, Outcome, Session, SqlConfig};

/// Events of the usual run.
pub(crate) const EVENTS: u64 = 1_000_000;
/// Their keys.
pub(crate) const KEYS: u64 = 1_000;
const PER_MS: u64 = 10;
const START_MS: u64 = 1_700_000_000_000;
const KINDS: [&str; 4] = ["buy", "sell", "hold", "void"];
const WORDS: [&str; 12] = [
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo",
    "lima",
];

/// A small generator of random bits (splitmix64), from a fixed seed.
pub(crate) struct Bits(pub(crate) u64);

impl Bits {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

/// Calls `each` with time, key and JSON of every event, keys uniform among `keys`.
pub(crate) fn events(count: u64, keys: u64, mut each: impl FnMut(u64, &str, &str)) {
    let mut bits = Bits(1);
    let (mut key, mut json) = (String::new(), String::new());
    for id in 0..count {
        let ts = START_MS + id / PER_MS;
        key.clear();
        write!(key, "k{:08}", (bits.next() >> 24) % keys).expect("a string takes what is written to it");
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

/// The columns of the values.
pub(crate) const EVENT_COLUMNS: &str =
    "id BIGINT, ts BIGINT, key STRING, kind STRING, price DOUBLE, qty INT, note STRING";

/// An engine with a log on disk.
pub(crate) struct Bench {
    _dir: tempfile::TempDir,
    pub(crate) engine: Engine,
    pub(crate) session: Session,
}

impl Bench {
    /// An engine with nothing in it.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Log::open(dir.path().join("log")).expect("a log");
        let engine = Engine::open(log, SqlConfig::new(dir.path().join("state"))).expect("an engine");
        Self { _dir: dir, engine, session: Session::new() }
    }

    /// An engine whose topic `events` is full. The record key is the event's key.
    pub(crate) fn new() -> Self {
        let mut bench = Self::empty();
        bench.fill("events", EVENTS, KEYS);
        bench
    }

    /// Adds a topic of events, with a stream over it.
    pub(crate) fn fill(&mut self, topic: &str, count: u64, keys: u64) {
        self.run(&format!(
            "CREATE STREAM {topic} (rk STRING KEY, {EVENT_COLUMNS})
             WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON', PARTITIONS=1);"
        ));
        let mut producer = self.engine.log().producer(ProducerConfig::default()).expect("a producer");
        events(count, keys, |ts, key, json| {
            let record = Record {
                key: Some(key.as_bytes().to_vec().into()),
                value: Some(json.as_bytes().to_vec().into()),
                timestamp: Some(Timestamp::new(ts as i64)),
                ..Record::default()
            };
            producer.send(topic, record).expect("sent");
        });
        producer.flush().expect("flushed");
    }

    /// The number of rows that a query over data at rest gives.
    pub(crate) fn count(&mut self, query: &str) -> usize {
        match self.engine.execute(&mut self.session, query).map(|mut outcomes| outcomes.pop()) {
            Ok(Some(Outcome::Table(rows))) => rows.rows(),
            other => panic!("{query}: {other:?}"),
        }
    }

    /// Runs statements.
    pub(crate) fn run(&mut self, text: &str) {
        self.engine.execute(&mut self.session, text).unwrap_or_else(|error| panic!("{}", error.render(text)));
    }

    /// The time from the start of a persistent query until all events are through it and committed.
    #[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub(crate) fn time(&mut self, create: &str, drop: &str) -> Duration {
        let start = Instant::now();
        self.run(create);
        assert!(self.engine.wait_caught_up(Duration::from_secs(120)).expect("no error"), "caught up");
        let time = start.elapsed();
        self.run(drop);
        time
    }
}
