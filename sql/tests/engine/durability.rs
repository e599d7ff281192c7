//! What survives: statements, state and totals, however the engine ended; and rows that are no good.

use millstream_log::{Log, ProducerConfig, Record};
use millstream_sql::Outcome;

use super::Client;

const TRADES: &str = "CREATE STREAM trades (symbol STRING KEY, qty INT)
    WITH (KAFKA_TOPIC='trades', VALUE_FORMAT='JSON', PARTITIONS=2);
    CREATE TABLE totals AS SELECT symbol, COUNT(*) AS n, SUM(qty) AS qty FROM trades GROUP BY symbol;
    CREATE TABLE windows AS SELECT symbol, COUNT(*) AS n FROM trades WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY symbol;
    CREATE STREAM big AS SELECT symbol, qty FROM trades WHERE qty > 50;";

fn produce(log: &Log, from: u64, to: u64) {
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    for number in from..to {
        let record = Record {
            key: Some(format!("S{}", number % 7).into_bytes().into()),
            value: Some(format!("{{\"qty\":{}}}", number % 100).into_bytes().into()),
            timestamp: Some(millstream_log::Timestamp::new(1_000 + i64::try_from(number).unwrap())),
            ..Record::default()
        };
        producer.send("trades", record).unwrap();
    }
    producer.flush().unwrap();
}

/// Totals as the records say: per symbol the count and the sum.
fn expected(records: u64) -> Vec<String> {
    let symbol = |wanted: u64| (0..records).filter(move |number| number % 7 == wanted);
    (0..7)
        .map(|s| format!("S{s} | {} | {}", symbol(s).count(), symbol(s).map(|n| n % 100).sum::<u64>()))
        .collect()
}

fn check_totals(client: &mut Client, records: u64) {
    let mut totals = client.rows("SELECT * FROM totals;");
    totals.sort();
    assert_eq!(totals, expected(records));
    let windows = client.rows("SELECT n FROM windows;");
    let counted: u64 = windows.iter().map(|row| row.parse::<u64>().unwrap()).sum();
    assert_eq!(counted, records, "every record is in one window");
    let big = client.rows("SELECT qty FROM big;");
    let wanted = (0..records).filter(|number| number % 100 > 50).count();
    assert_eq!(big.len(), wanted, "big trades, each once");
}

#[test]
fn sinks_keep_records_as_long_as_their_source_or_their_windows() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open(dir.path());
    client.run(
        "CREATE STREAM day (k STRING KEY, v INT)
           WITH (KAFKA_TOPIC='day', VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=86400000);
         CREATE STREAM ever (k STRING KEY, v INT)
           WITH (KAFKA_TOPIC='ever', VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=-1);
         CREATE STREAM copy AS SELECT * FROM day;
         CREATE STREAM hour WITH (RETENTION_MS=3600000) AS SELECT * FROM ever;
         CREATE STREAM always AS SELECT * FROM ever;
         CREATE TABLE counts AS SELECT k, COUNT(*) AS n FROM day
           WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 3 DAYS, GRACE PERIOD 1 HOUR) GROUP BY k;
         CREATE TABLE counts_ever AS SELECT k, COUNT(*) AS n FROM ever
           WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY k;",
    );
    for (topic, expected) in [
        ("COPY", "86400000"),
        ("HOUR", "3600000"),
        ("ALWAYS", "-1"),
        ("COUNTS", "259200000"),
        ("COUNTS_EVER", "-1"),
    ] {
        let described = client.engine.log().describe_topic(topic).unwrap();
        assert_eq!(described.configs["retention.ms"], expected, "{topic}");
    }
}

#[test]
fn statements_and_state_survive_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open(dir.path());
    client.run(TRADES);
    produce(client.engine.log(), 0, 500);
    check_totals(&mut client, 500);
    client.run("CREATE STREAM gone AS SELECT symbol, qty FROM trades; DROP STREAM gone DELETE TOPIC;");
    client.engine.close().unwrap();

    let mut client = Client::open(dir.path());
    let ids: Vec<String> = client.engine.queries().into_iter().map(|query| query.id).collect();
    assert_eq!(ids.len(), 3, "the dropped one stays dropped: {ids:?}");
    check_totals(&mut client, 500);
    produce(client.engine.log(), 500, 800);
    check_totals(&mut client, 800);
}

#[test]
fn totals_are_exact_after_ends_without_warning() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open(dir.path());
    client.run(TRADES);
    for round in 0..4 {
        produce(client.engine.log(), round * 1_000, (round + 1) * 1_000);
        // Dropped in the middle of the work: what was not committed is done again, and only that.
        drop(client);
        client = Client::open(dir.path());
    }
    check_totals(&mut client, 4_000);
}

#[test]
fn malformed_rows_are_counted_and_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open(dir.path());
    client.run(TRADES);
    produce(client.engine.log(), 0, 10);
    let mut producer = client.engine.log().producer(ProducerConfig::default()).unwrap();
    for value in ["{\"qty\":", "{\"qty\":\"many\"}"] {
        let record = Record { key: Some("S1".into()), value: Some(value.into()), ..Record::default() };
        producer.send("trades", record).unwrap();
    }
    producer.flush().unwrap();
    produce(client.engine.log(), 10, 20);
    let mut totals = client.rows("SELECT * FROM totals;");
    totals.sort();
    assert_eq!(totals, expected(20), "the query goes on");
    let query = client.engine.queries().into_iter().find(|query| query.sink == "TOTALS").unwrap();
    assert_eq!((query.skipped, query.error), (2, None));
    match client.run("DESCRIBE totals EXTENDED;").as_slice() {
        [Outcome::Message(text)] => {
            assert!(text.contains("skipped: 2"), "{text}");
            assert!(text.contains("failed to deserialize value from topic: trades"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn small_and_large_commits_give_the_same_rows() {
    let run = |properties: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        let mut client = Client::open_with(dir.path(), properties);
        client.run(TRADES);
        produce(client.engine.log(), 0, 300);
        let mut rows = client.rows("SELECT * FROM windows;");
        rows.sort();
        rows
    };
    let usual = run(&[]);
    assert_eq!(usual, run(&[("cache.max.bytes.buffering", "0")]));
    assert_eq!(
        usual,
        run(&[("buffered.records.per.partition", "1"), ("processing.guarantee", "at_least_once")])
    );
    assert_eq!(usual, run(&[("num.stream.threads", "2")]));
}

#[test]
fn errors_of_rows_are_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open_with(dir.path(), &[("ksql.logging.processing.stream.auto.create", "true")]);
    client.run(
        "CREATE STREAM numbers (k STRING KEY, n INT)
           WITH (KAFKA_TOPIC='numbers', VALUE_FORMAT='JSON', PARTITIONS=1);
         CREATE STREAM shares AS SELECT k, 10 / n AS share FROM numbers;
         INSERT INTO numbers VALUES ('a', 5);
         INSERT INTO numbers VALUES ('b', 0);",
    );
    assert_eq!(client.rows("SELECT k, share FROM shares;"), ["a | 2", "b | null"]);
    let query = "SELECT logger, level, message->type, message->recordProcessingError->errorMessage
        FROM ksql_processing_log EMIT CHANGES LIMIT 1;";
    client.run("SET 'auto.offset.reset'='earliest';");
    let errors = client.rows(query);
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(error.starts_with("processing.CSAS_SHARES_") && error.contains(" | ERROR | 1 | "), "{error}");
    assert!(error.to_lowercase().contains("zero"), "{error}");
}

/// The errors of a run, one line each: logger, type, and what the wanted field of the message says.
fn errors(client: &mut Client, rows: usize) -> Vec<String> {
    client.settle();
    client.run("SET 'auto.offset.reset'='earliest';");
    client.rows(&format!(
        "SELECT logger, message->type,
            COALESCE(message->recordProcessingError->errorMessage, message->deserializationError->errorMessage,
                message->kafkaStreamsThreadError->errorMessage) AS text,
            COALESCE(message->recordProcessingError->record, message->deserializationError->recordB64) AS record
         FROM ksql_processing_log EMIT CHANGES LIMIT {rows};"
    ))
}

#[test]
fn the_processing_log_says_which_rows_if_that_is_wanted() {
    for (include, records) in [
        ("false", ["null", "null", "null", "null", "null"]),
        (
            "true",
            [
                r#"{"K":"b","N":0}"#,
                r#"{"K":"d","N":0}"#,
                "bm8gSlNPTg==",
                r#"{"K":"b","N":0}"#,
                r#"{"K":"d","N":0}"#,
            ],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let properties = [
            ("ksql.logging.processing.stream.auto.create", "true"),
            ("ksql.logging.processing.rows.include", include),
        ];
        let mut client = Client::open_with(dir.path(), &properties);
        client.run(
            "CREATE STREAM numbers (k STRING KEY, n INT)
               WITH (KAFKA_TOPIC='numbers', VALUE_FORMAT='JSON', PARTITIONS=1);",
        );
        let mut producer = client.engine.log().producer(ProducerConfig::default()).unwrap();
        for (key, value) in [
            ("a", r#"{"N":5}"#),
            ("b", r#"{"N":0}"#),
            ("c", "no JSON"),
            ("d", r#"{"N":0}"#),
            ("e", r#"{"N":1}"#),
        ] {
            let bytes = |text: &str| Some(text.as_bytes().to_vec().into());
            producer
                .send("numbers", Record { key: bytes(key), value: bytes(value), ..Record::default() })
                .unwrap();
        }
        producer.flush().unwrap();
        client.run("CREATE STREAM shares AS SELECT k, 10 / n AS share FROM numbers WHERE n < 5;");
        let text = "Error computing expression (10 / N) for column SHARE with index 1: ";
        let mut found = errors(&mut client, 3);
        found.sort();
        assert!(
            found[0].starts_with("processing.CSAS_SHARES_")
                && found[0].contains(".KsqlTopic.Source.deserializer | 0 | ")
        );
        assert!(found[0].ends_with(&format!(" | {}", records[2])), "{found:?}");
        for (error, record) in found[1..].iter().zip(&records[..2]) {
            assert!(error.contains(&format!(".Project | 1 | {text}")), "{error}");
            assert!(error.ends_with(&format!(" | {record}")), "{error}");
        }
        client.run("CREATE TABLE sums AS SELECT k, SUM(10 / n) AS s FROM numbers GROUP BY k;");
        let found = errors(&mut client, 6);
        let mut found: Vec<&String> =
            found.iter().filter(|error| error.contains("CTAS_SUMS") && error.contains(" | 1 | ")).collect();
        found.sort();
        for (error, record) in found.iter().zip(&records[3..]) {
            assert!(error.contains("Error computing expression SUM((10 / N)) with index 0: "), "{error}");
            assert!(error.ends_with(&format!(" | {record}")), "{error}");
        }
        assert_eq!(found.len(), 2);
    }
}

#[test]
fn the_processing_log_says_why_a_query_ended() {
    let dir = tempfile::tempdir().unwrap();
    let properties = [
        ("ksql.logging.processing.stream.auto.create", "true"),
        ("ksql.fail.on.deserialization.error", "true"),
    ];
    let mut client = Client::open_with(dir.path(), &properties);
    client.run(
        "CREATE STREAM numbers (k STRING KEY, n INT) WITH (KAFKA_TOPIC='numbers', VALUE_FORMAT='JSON', PARTITIONS=1);
         CREATE STREAM copy AS SELECT * FROM numbers;",
    );
    let mut producer = client.engine.log().producer(ProducerConfig::default()).unwrap();
    producer.send("numbers", Record { value: Some(b"x".to_vec().into()), ..Record::default() }).unwrap();
    producer.flush().unwrap();
    client.run("SET 'auto.offset.reset'='earliest';");
    let query = "SELECT logger, message->type, message->kafkaStreamsThreadError->errorMessage,
        message->kafkaStreamsThreadError->threadName, message->kafkaStreamsThreadError->cause
        FROM ksql_processing_log EMIT CHANGES LIMIT 1;";
    let mut found = Vec::new();
    client.run(query).into_iter().for_each(|outcome| super::print(outcome, &mut found));
    let [error] = found.as_slice() else { panic!("{found:?}") };
    let (start, end) = ("processing.CSAS_COPY_", " | 4 | Unhandled exception caught in streams thread | ");
    assert!(error.starts_with(start) && error.contains(end), "{error}");
    assert!(
        error.contains("CSAS_COPY") && error.contains("failed to deserialize value from topic: numbers"),
        "{error}"
    );
}

#[test]
fn changes_of_a_table_move_between_groups_however_many_come_at_once() {
    let aggregate =
        "CREATE TABLE groups AS SELECT g, COUNT(*) AS n, SUM(v) AS v, COLLECT_LIST(v) AS vs, AVG(v) AS a
        FROM rows GROUP BY g HAVING COUNT(*) <> 3;";
    let run = |properties: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        let mut client = Client::open_with(dir.path(), properties);
        client.run(
            "CREATE TABLE rows (k STRING PRIMARY KEY, g INT, v INT)
               WITH (KAFKA_TOPIC='rows', VALUE_FORMAT='JSON', PARTITIONS=1);",
        );
        let mut producer = client.engine.log().producer(ProducerConfig::default()).unwrap();
        let mut bits = 7u64;
        for number in 0..3_000i64 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (key, group) = (bits >> 33, bits >> 50);
            let value = match group % 11 {
                0 => None,
                _ => Some(format!("{{\"G\":{},\"V\":{}}}", group % 40, number % 100)),
            };
            let record = Record {
                key: Some(format!("k{}", key % 200).into_bytes().into()),
                value: value.map(|value| value.into_bytes().into()),
                timestamp: Some(millstream_log::Timestamp::new(number)),
                ..Record::default()
            };
            producer.send("rows", record).unwrap();
        }
        producer.flush().unwrap();
        client.run(aggregate);
        // Of changes that wait for a commit only the last is taken, so then lists have another order.
        let mut rows = client.rows("SELECT g, n, v, ARRAY_SORT(vs), a FROM groups;");
        rows.sort();
        rows.extend(client.rows("SELECT vs FROM groups;"));
        let records = client.engine.log();
        let end = records
            .offsets(&millstream_log::TopicPartition::new("GROUPS", 0), millstream_log::OffsetSpec::Latest);
        (rows, end.unwrap())
    };
    let single = ("buffered.records.per.partition", "1");
    let (rows, _) = run(&[single]);
    let groups = rows.len() / 2;
    assert!(groups > 30, "{rows:?}");
    assert_eq!(rows[..groups], run(&[]).0[..groups]);
    let every = ("cache.max.bytes.buffering", "0");
    let (again, written) = run(&[every]);
    assert_eq!(rows[..groups], again[..groups]);
    assert_eq!((again, written), run(&[every, single]), "every update comes out, in one order");
}
