//! NEXMark's auctions, from a generator of our own, and its queries as far as the dialect has them. Each result is
//! compared with what DataFusion says over the same topics.
//!
//! Source: Tucker, Tufte, Papadimos, Maier, "NEXMark - A Benchmark for Queries over Data Streams" (2002), with the later
//! queries that are commonly added. Queries 4, 6, 9, 10, 13, 14, 16, 19 and 21 need what ksqlDB's dialect does not have.

use std::time::{Duration, Instant};

use criterion::Criterion;
use millstream_log::{Producer, ProducerConfig, Record, Timestamp};

use crate::events::{Bench, Bits};

/// Events in all: of every 50, 1 is a person, 3 are auctions, 46 are bids.
const EVENTS: u64 = 500_000;
/// Events of one ms.
const PER_MS: u64 = 10;
const START_MS: u64 = 1_700_006_400_000;
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CHANNELS: [&str; 4] = ["apple", "baidu", "facebook", "google"];

const SOURCES: &str = "
    CREATE TABLE person (id BIGINT PRIMARY KEY, name STRING, city STRING, state STRING)
        WITH (KAFKA_TOPIC='person', VALUE_FORMAT='JSON', PARTITIONS=1);
    CREATE STREAM newcomer (id BIGINT KEY, name STRING, city STRING, state STRING)
        WITH (KAFKA_TOPIC='person', VALUE_FORMAT='JSON');
    CREATE STREAM auction (id BIGINT KEY, seller BIGINT, category INT, item STRING, reserve BIGINT)
        WITH (KAFKA_TOPIC='auction', VALUE_FORMAT='JSON', PARTITIONS=1);
    CREATE STREAM bid (auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING)
        WITH (KAFKA_TOPIC='bid', VALUE_FORMAT='JSON', PARTITIONS=1);";

/// A query, and how DataFusion says the same over the topics: `rows` of the result and `expected` ones.
struct Query {
    name: &'static str,
    create: &'static str,
    rows: &'static str,
    expected: &'static str,
}

const QUERIES: [Query; 11] = [
    Query {
        name: "q0 pass through",
        create: "CREATE STREAM out AS SELECT auction, bidder, price FROM bid;",
        rows: "SELECT auction, bidder, price FROM out",
        expected: "SELECT auction, bidder, price FROM bid",
    },
    Query {
        name: "q1 currency",
        create: "CREATE STREAM out AS SELECT auction, bidder, price * 908 / 1000 AS euro FROM bid;",
        rows: "SELECT auction, bidder, euro FROM out",
        expected: "SELECT auction, bidder, price * 908 / 1000 FROM bid",
    },
    Query {
        name: "q2 selection",
        create: "CREATE STREAM out AS SELECT auction, price FROM bid WHERE auction % 123 = 0;",
        rows: "SELECT auction, price FROM out",
        expected: "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    },
    Query {
        name: "q3 local items",
        create: "CREATE STREAM out AS SELECT a.seller, a.id AS id, p.name, p.state FROM auction a
            JOIN person p ON a.seller = p.id WHERE a.category = 3 AND p.state IN ('OR', 'ID', 'CA');",
        rows: "SELECT id, name, state FROM out",
        expected: "SELECT a.id, p.name, p.state FROM auction a JOIN person p ON a.seller = p.id
            WHERE a.category = 3 AND p.state IN ('OR', 'ID', 'CA')",
    },
    Query {
        name: "q5 bids of hopping windows",
        create: "CREATE TABLE out AS SELECT auction, COUNT(*) AS n FROM bid
            WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY auction;",
        rows: "SELECT auction, windowstart, n FROM out",
        expected: "SELECT auction, start, COUNT(*) FROM (
                SELECT auction, rowtime - rowtime % 5000 AS start FROM bid
                UNION ALL SELECT auction, rowtime - rowtime % 5000 - 5000 FROM bid)
            GROUP BY auction, start",
    },
    Query {
        name: "q7 highest bid",
        create: "CREATE TABLE out AS SELECT channel, MAX(price) AS price FROM bid
            WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY channel;",
        rows: "SELECT channel, windowstart, price FROM out",
        expected: "SELECT channel, rowtime - rowtime % 10000, MAX(price) FROM bid
            GROUP BY channel, rowtime - rowtime % 10000",
    },
    Query {
        name: "q8 new sellers",
        create: "CREATE STREAM out AS SELECT p.id AS id, p.name, a.id AS auction FROM newcomer p
            JOIN auction a WITHIN 10 SECONDS GRACE PERIOD 1 HOUR ON p.id = a.seller;",
        rows: "SELECT name, auction FROM out",
        expected: "SELECT p.name, a.id FROM newcomer p JOIN auction a ON p.id = a.seller
            AND a.rowtime BETWEEN p.rowtime - 10000 AND p.rowtime + 10000",
    },
    Query {
        name: "q12 bids of a bidder",
        create: "CREATE TABLE out AS SELECT bidder, COUNT(*) AS n FROM bid
            WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY bidder;",
        rows: "SELECT bidder, windowstart, n FROM out",
        expected: "SELECT bidder, rowtime - rowtime % 10000, COUNT(*) FROM bid
            GROUP BY bidder, rowtime - rowtime % 10000",
    },
    Query {
        name: "q17 statistics of auctions",
        create: "CREATE TABLE out AS SELECT auction, COUNT(*) AS n, MIN(price) AS low, MAX(price) AS high,
            SUM(price) AS total FROM bid WINDOW TUMBLING (SIZE 1 DAY) GROUP BY auction;",
        rows: "SELECT auction, n, low, high, total FROM out",
        expected: "SELECT auction, COUNT(*), MIN(price), MAX(price), SUM(price) FROM bid
            GROUP BY auction, rowtime - rowtime % 86400000",
    },
    Query {
        name: "q18 last bid",
        create: "CREATE TABLE out AS SELECT bidder, LATEST_BY_OFFSET(price) AS price FROM bid GROUP BY bidder;",
        rows: "SELECT bidder, price FROM out",
        expected: "SELECT bidder, price FROM (
                SELECT bidder, price, ROW_NUMBER() OVER (PARTITION BY bidder ORDER BY rowoffset DESC) AS place FROM bid)
            WHERE place = 1",
    },
    Query {
        name: "q22 directories of URLs",
        create: "CREATE STREAM out AS SELECT auction, SPLIT(url, '/')[4] AS first, SPLIT(url, '/')[5] AS second FROM bid;",
        rows: "SELECT auction, first, second FROM out",
        expected: "SELECT auction, split_part(url, '/', 4), split_part(url, '/', 5) FROM bid",
    },
];

pub(crate) fn nexmark(_: &mut Criterion) {
    let mut bench = Bench::empty();
    bench.run(SOURCES);
    let mut producer = bench.engine.log().producer(ProducerConfig::default()).expect("a producer");
    generate(&mut producer);
    producer.flush().expect("flushed");
    for query in QUERIES {
        run(&mut bench, &query);
    }
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn run(bench: &mut Bench, query: &Query) {
    let start = Instant::now();
    bench.run(query.create);
    assert!(bench.engine.wait_caught_up(Duration::from_secs(120)).expect("no error"), "caught up");
    let time = start.elapsed();
    let (rows, expected) = (query.rows, query.expected);
    let found = bench.count(&format!("{rows} ORDER BY 1;"));
    let wanted = bench.count(&format!("{expected} ORDER BY 1;"));
    assert_eq!(found, wanted, "rows of {}", query.name);
    for difference in [format!("{rows} EXCEPT {expected};"), format!("{expected} EXCEPT {rows};")] {
        assert_eq!(bench.count(&difference), 0, "{}: {difference}", query.name);
    }
    let rate = EVENTS as f64 / time.as_secs_f64() / 1e6;
    println!("nexmark {}: {rate:.2} M events/s, {found} rows as DataFusion has them", query.name);
    let kind = if query.create.starts_with("CREATE TABLE") { "TABLE" } else { "STREAM" };
    bench.run(&format!("DROP {kind} out DELETE TOPIC;"));
}

/// Writes all events. Bids go to recent auctions and auctions to recent persons, so that windows find them.
fn generate(producer: &mut Producer) {
    let mut bits = Bits(42);
    let (mut persons, mut auctions) = (0u64, 0u64);
    for event in 0..EVENTS {
        let time = START_MS + event / PER_MS;
        let mut below = |bound: u64| (bits.next() >> 24) % bound;
        let (topic, key, value) = match event % 50 {
            0 => {
                persons += 1;
                let state = STATES[below(6) as usize];
                let value = format!(
                    r#"{{"name":"person {persons}","city":"city {}","state":"{state}"}}"#,
                    below(100)
                );
                ("person", Some(persons), value)
            }
            1..=3 => {
                auctions += 1;
                let seller = persons - below(persons.min(100));
                let value = format!(
                    r#"{{"seller":{seller},"category":{},"item":"item {auctions}","reserve":{}}}"#,
                    below(5),
                    below(10_000)
                );
                ("auction", Some(auctions), value)
            }
            _ => {
                let auction = auctions - below(auctions.min(500));
                let channel = CHANNELS[below(4) as usize];
                let value = format!(
                    r#"{{"auction":{auction},"bidder":{},"price":{},"channel":"{channel}","url":"https://www.nexmark.com/a{}/b{}/item.htm"}}"#,
                    1 + below(persons),
                    100 + below(10_000),
                    below(50),
                    below(50)
                );
                ("bid", None, value)
            }
        };
        let record = Record {
            key: key.map(|key| key.to_be_bytes().to_vec().into()),
            value: Some(value.into_bytes().into()),
            timestamp: Some(Timestamp::new(time as i64)),
            ..Record::default()
        };
        producer.send(topic, record).expect("sent");
    }
}
