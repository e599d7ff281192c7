//! Several streams and tables over one topic, in one query; and what else records hold besides keys and values.

use millstream_log::{Header, Log, ProducerConfig, Record};

use super::Client;

/// Key, value and headers.
type Written<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

fn produce(log: &Log, topic: &str, records: &[Written<'_>]) {
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    for (key, value, headers) in records {
        let header = |(name, value): &(&str, &str)| Header {
            key: (*name).to_owned(),
            value: Some(value.as_bytes().to_vec().into()),
        };
        let record = Record {
            key: Some(key.as_bytes().to_vec().into()),
            value: Some(value.as_bytes().to_vec().into()),
            headers: headers.iter().map(header).collect(),
            ..Record::default()
        };
        producer.send(topic, record).unwrap();
    }
    producer.flush().unwrap();
}

#[test]
fn a_stream_meets_the_table_of_its_topic_as_it_was_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open(dir.path());
    client.run(
        "CREATE STREAM readings (k STRING KEY, v INT)
           WITH (KAFKA_TOPIC='readings', VALUE_FORMAT='JSON', PARTITIONS=1);
         CREATE TABLE latest (k STRING PRIMARY KEY, v INT) WITH (KAFKA_TOPIC='readings', VALUE_FORMAT='JSON');
         CREATE STREAM steps AS SELECT r.k AS k, r.v AS v, l.v AS before
           FROM readings r LEFT JOIN latest l ON r.k = l.k;
         INSERT INTO readings VALUES ('a', 1);
         INSERT INTO readings VALUES ('b', 5);
         INSERT INTO readings VALUES ('a', 2);
         INSERT INTO readings VALUES ('a', 3);",
    );
    assert_eq!(
        client.rows("SELECT * FROM steps;"),
        ["a | 1 | null", "b | 5 | null", "a | 2 | 1", "a | 3 | 2"]
    );
}

#[test]
fn a_stream_is_joined_with_itself_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open(dir.path());
    client.run(
        "CREATE STREAM a (k STRING KEY, v STRING) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);
         CREATE STREAM b (k STRING KEY, v INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');
         CREATE STREAM c (k STRING KEY, v BIGINT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');
         CREATE STREAM pairs AS SELECT a.k AS k, a.v AS av, b.v AS bv
           FROM a INNER JOIN b WITHIN 1 HOUR ON a.k = b.k;
         CREATE STREAM triples AS SELECT a.k AS k, a.v AS av, b.v AS bv, c.v AS cv
           FROM a JOIN b WITHIN 1 HOUR ON a.k = b.k JOIN c WITHIN 1 HOUR ON a.k = c.k;",
    );
    // A record that one of them cannot read is still a row of the others.
    let records: &[Written<'_>] =
        &[("x", r#"{"v":1}"#, &[]), ("x", r#"{"v":"no number"}"#, &[]), ("x", r#"{"v":3}"#, &[])];
    produce(client.engine.log(), "t", records);
    assert_eq!(
        client.rows("SELECT * FROM pairs;"),
        ["x | 1 | 1", "x | no number | 1", "x | 3 | 1", "x | 1 | 3", "x | no number | 3", "x | 3 | 3"]
    );
    assert_eq!(client.rows("SELECT * FROM triples;").len(), 12, "each of the pairs with each c");
}

#[test]
fn headers_of_source_tables_can_be_queried() {
    let dir = tempfile::tempdir().unwrap();
    for restart in [false, true] {
        let mut client = Client::open(dir.path());
        if !restart {
            client.run(
                "CREATE SOURCE TABLE parts (id STRING PRIMARY KEY, n INT, m MAP<STRING, INT>, origin BYTES HEADER('origin'))
                   WITH (KAFKA_TOPIC='parts', VALUE_FORMAT='JSON', PARTITIONS=1);
                 CREATE SOURCE TABLE all_headers (id STRING PRIMARY KEY, n INT, h ARRAY<STRUCT<key STRING, value BYTES>> HEADERS)
                   WITH (KAFKA_TOPIC='parts', VALUE_FORMAT='JSON');",
            );
            let records: &[Written<'_>] = &[
                ("p", r#"{"n":1,"m":{"a":2}}"#, &[("origin", "here"), ("size", "big"), ("origin", "there")]),
                ("q", r#"{"n":2}"#, &[]),
            ];
            produce(client.engine.log(), "parts", records);
        }
        for (query, expected) in [
            (
                "SELECT id, n, m, FROM_BYTES(origin, 'utf8') FROM parts WHERE id = 'p';",
                "p | 1 | {a: 2} | there",
            ),
            ("SELECT id, n, origin FROM parts WHERE id = 'q';", "q | 2 | null"),
            ("SELECT id, h[2]->key, ARRAY_LENGTH(h) FROM all_headers WHERE id = 'p';", "p | size | 3"),
            ("SELECT n, ARRAY_LENGTH(h) FROM all_headers WHERE id = 'q';", "2 | 0"),
        ] {
            assert_eq!(client.rows(query), [expected], "{query}");
        }
    }
}

#[test]
fn a_key_that_is_asked_for_twice_comes_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open(dir.path());
    client.run(
        "CREATE STREAM s (k INT KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
         CREATE TABLE t AS SELECT k, SUM(v) AS v FROM s GROUP BY k;
         CREATE TABLE w AS SELECT k, SUM(v) AS v FROM s WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY k;
         INSERT INTO s (ROWTIME, k, v) VALUES (0, 1, 10);
         INSERT INTO s (ROWTIME, k, v) VALUES (0, 2, 20);",
    );
    for (query, expected) in [
        ("SELECT * FROM t WHERE k IN (2, 1, 2);", vec!["2 | 20", "1 | 10"]),
        ("SELECT * FROM t WHERE k = 1 OR k = 1 OR k = 3;", vec!["1 | 10"]),
        ("SELECT k, v FROM w WHERE k IN (1, 1);", vec!["1 | 10"]),
    ] {
        assert_eq!(client.rows(query), expected, "{query}");
    }
}

#[test]
fn settings_of_functions_reach_aggregates() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open(dir.path());
    client.run(
        "CREATE STREAM s (k INT KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
         SET 'ksql.functions.collect_list.limit'='2';
         CREATE TABLE two AS SELECT k, COLLECT_LIST(v) AS vs, COLLECT_SET(v) AS every FROM s GROUP BY k;
         UNSET 'ksql.functions.collect_list.limit';
         CREATE TABLE all_of AS SELECT k, COLLECT_LIST(v) AS vs FROM s GROUP BY k;",
    );
    for v in 1..=3 {
        client.run(&format!("INSERT INTO s VALUES (1, {v});"));
    }
    let check = |client: &mut Client| {
        assert_eq!(client.rows("SELECT vs, every FROM two;"), ["[1, 2] | [1, 2, 3]"]);
        assert_eq!(client.rows("SELECT vs FROM all_of;"), ["[1, 2, 3]"]);
    };
    check(&mut client);
    drop(client);
    let mut client = Client::open(dir.path());
    check(&mut client);
    client.run("SET 'auto.offset.reset'='earliest'; SET 'ksql.functions.collect_list.limit'='1';");
    let query = "SELECT k, COLLECT_LIST(v) FROM s GROUP BY k EMIT CHANGES LIMIT 1;";
    assert_eq!(client.rows(query), ["1 | [1]"]);
}
