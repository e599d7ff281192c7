use super::*;

fn run(text: &str) -> Vec<ScriptOutcome> {
    let config = SqlConfig::new("unused");
    let read = |file: &str| match file {
        "more.sql" => Ok("INSERT INTO s (k, v) VALUES ('more', 9);".to_owned()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    run_script(text, &config, &read).unwrap()
}

fn failures(text: &str) -> Vec<String> {
    run(text).into_iter().filter_map(|outcome| outcome.failure).collect()
}

const SETUP: &str = "
    CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=4);
    CREATE TABLE c AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k;
    CREATE STREAM big AS SELECT k, v FROM s WHERE v > 5;";

#[test]
fn rows_go_through_all_queries_before_the_next_statement() {
    let script = format!(
        "--@test: counts
        {SETUP}
        INSERT INTO s (ROWTIME, k, v) VALUES (7, 'a', 1);
        INSERT INTO s (k, v) VALUES ('b', 10);
        ASSERT VALUES c (k, n, total, ROWTIME) VALUES ('a', 1, 1, 7);
        INSERT INTO s (k, v) VALUES ('a', 2);
        ASSERT VALUES c VALUES ('b', 1, 10);
        ASSERT VALUES c (k, n) VALUES ('a', 2);
        ASSERT VALUES big (k, v) VALUES ('b', 10);
        CREATE STREAM later AS SELECT k, v + 1 AS w FROM big;
        ASSERT VALUES later (k, w) VALUES ('b', 11);
        DEFINE next = '12';
        INSERT INTO s (k, v) VALUES ('c', ${{next}});
        ASSERT VALUES later (w) VALUES (13);
        RUN SCRIPT 'more.sql';
        ASSERT VALUES later (k, w) VALUES ('more', 10);
        ASSERT STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
        ASSERT TABLE c WITH (KAFKA_TOPIC='C', KEY_FORMAT='KAFKA');
        --@test: nothing is left of the first
        {SETUP}
        INSERT INTO s (k, v) VALUES ('a', 1);
        ASSERT VALUES c (n) VALUES (1);"
    );
    assert_eq!(failures(&script), Vec::<String>::new());
    let names: Vec<(String, u32)> = run(&script).into_iter().map(|test| (test.name, test.line)).collect();
    assert_eq!(names[0], ("counts".to_owned(), 1));
    assert_eq!(names[1].0, "nothing is left of the first");
}

#[test]
fn formats_with_schemas_have_a_registry() {
    for format in ["AVRO", "PROTOBUF", "JSON_SR"] {
        let script = format!(
            "--@test: {format}
            CREATE STREAM s (k INT KEY, v STRING, l ARRAY<INT>) WITH (KAFKA_TOPIC='s', FORMAT='{format}', PARTITIONS=4);
            CREATE STREAM longer AS SELECT k, CONCAT(v, '!') AS v, l FROM s;
            CREATE TABLE t AS SELECT v, COUNT(*) AS n FROM longer GROUP BY v;
            INSERT INTO s VALUES (1, 'a', ARRAY[1, 2]);
            INSERT INTO s VALUES (2, 'a', ARRAY[3]);
            ASSERT VALUES longer (k, v, l) VALUES (1, 'a!', ARRAY[1, 2]);
            ASSERT VALUES longer (k, v, l) VALUES (2, 'a!', ARRAY[3]);
            ASSERT VALUES t (v, n) VALUES ('a!', 1);
            ASSERT VALUES t (v, n) VALUES ('a!', 2);
            ASSERT SCHEMA SUBJECT 'LONGER-value';"
        );
        assert_eq!(failures(&script), Vec::<String>::new());
    }
}

#[test]
fn decimals_have_up_to_76_digits() {
    let digits = "1234567890123456789012345678901234567890.123456789";
    for format in ["JSON", "DELIMITED", "AVRO", "PROTOBUF", "PROTOBUF_NOSR", "JSON_SR"] {
        let script = format!(
            "--@test: {format}
            CREATE STREAM s (k STRING KEY, d DECIMAL(60, 9)) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='{format}', PARTITIONS=1);
            CREATE TABLE t AS SELECT k, SUM(d) AS total FROM s GROUP BY k;
            INSERT INTO s (k, d) VALUES ('a', -{digits});
            INSERT INTO s (k, d) VALUES ('a', {digits});
            ASSERT VALUES s (k, d) VALUES ('a', -{digits});
            ASSERT VALUES t (k, total) VALUES ('a', -{digits});
            ASSERT VALUES t (k, total) VALUES ('a', 0.0);
            ASSERT STREAM s (k STRING KEY, d DECIMAL(60, 9)) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='{format}');"
        );
        assert_eq!(failures(&script), Vec::<String>::new(), "{format}");
        let wrong = script.replace("('a', 0.0)", "('a', 0.000000001)");
        assert!(failures(&wrong)[0].contains("0.000000001"), "{format}");
    }
    let refused = "--@test: 77
        --@expected.error: KsqlException
        --@expected.message: DECIMAL precision must be 1 to 76, not 77
        CREATE STREAM s (d DECIMAL(77, 0)) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);";
    assert_eq!(failures(refused), Vec::<String>::new());
}

#[test]
fn differences_are_said_column_by_column() {
    for (statements, expected) in [
        (
            "INSERT INTO s (k, v) VALUES ('a', 1);\nASSERT VALUES c (k, n, total) VALUES ('a', 2, 1);",
            "line 5: record 1 of C differs\n  N: expected 2, found 1\n  found: K=a, N=1, TOTAL=1, ROWTIME=",
        ),
        ("ASSERT VALUES c (n) VALUES (1);", "line 4: C has 0 records, so there is no record 1"),
        (
            "INSERT INTO s (k, v) VALUES ('a', 1);\nASSERT NULL VALUES c (k) KEY ('a');",
            "record 1 of C is no deletion",
        ),
        (
            "INSERT INTO s (k, v) VALUES ('a', 1);\nASSERT VALUES c (m) VALUES (1);",
            "line 5:18: the record has no column M",
        ),
        (
            "ASSERT TABLE c (k STRING PRIMARY KEY, n INT) WITH (KAFKA_TOPIC='c');",
            "C differs\n  columns: expected",
        ),
        ("ASSERT TABLE c WITH (KAFKA_TOPIC='c');", "  KAFKA_TOPIC: expected c, found C"),
        ("ASSERT STREAM c WITH (KAFKA_TOPIC='C');", "  kind: expected STREAM, found TABLE"),
        ("SELEC;", "line 4:1: Syntax Error"),
        ("RUN SCRIPT 'none.sql';", "line 4: could not read none.sql"),
        ("DROP STREAM s;", "Cannot drop S."),
    ] {
        let script = format!("{SETUP}\n{statements}").trim_start().to_owned();
        let found = failures(&script);
        assert_eq!(found.len(), 1, "{statements}");
        assert!(found[0].contains(expected), "{statements}\n{}\nexpected: {expected}", found[0]);
    }
}

#[test]
fn what_must_be_refused_is() {
    let script = "
        --@test: refused
        --@expected.error: io.confluent.ksql.util.KsqlException
        --@expected.message: Tables require a PRIMARY KEY
        CREATE TABLE t (v INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);
        --@test: refused, whatever the words
        --@expected.error: KsqlException
        DROP STREAM t;
        --@test: in other words
        --@expected.message: no such thing
        DROP STREAM t;
        --@test: not at all
        --@expected.error: KsqlException
        SHOW STREAMS;";
    let found: Vec<Option<String>> = run(script).into_iter().map(|test| test.failure).collect();
    assert_eq!((&found[0], &found[1]), (&None, &None));
    assert!(found[2].as_ref().unwrap().starts_with("refused in other words\n  expected: no such thing"));
    assert!(found[3].as_ref().unwrap().starts_with("nothing was refused"));
    let error = run_script("--@tset: x", &SqlConfig::new("unused"), &|_| Ok(String::new())).unwrap_err();
    assert!(error.to_string().starts_with("line 1:1: unknown directive --@tset"), "{error}");
}

#[test]
fn tables_delete_their_rows() {
    let script = "
        CREATE TABLE t (k STRING PRIMARY KEY, v INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);
        CREATE TABLE big AS SELECT k, v FROM t WHERE v > 5;
        INSERT INTO t (k, v) VALUES ('a', 10);
        INSERT INTO t (k, v) VALUES ('a', 1);
        ASSERT VALUES big (k, v) VALUES ('a', 10);
        ASSERT NULL VALUES big (k) KEY ('a');";
    assert_eq!(failures(script), Vec::<String>::new());
}
