//! What is said about statements that cannot be done: what, which word, what to do.

use super::Client;

const SETUP: &str = "
    CREATE STREAM s (k STRING KEY, price DOUBLE, qty INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
    CREATE TABLE t (id STRING PRIMARY KEY, name STRING) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);
    CREATE TABLE c AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;";

fn check(cases: &[(&str, &[&str])]) {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open(dir.path());
    client.run(SETUP);
    for (statement, expected) in cases {
        let error = client.error(statement);
        for part in *expected {
            assert!(error.contains(part), "{statement}\nsaid: {error}\nexpected: {part}");
        }
    }
}

#[test]
fn unknown_names() {
    check(&[
        (
            "SELECT k, prise FROM s EMIT CHANGES;",
            &[
                "line 1:11: column 'PRISE' cannot be resolved",
                "  SELECT k, prise FROM",
                "            ^^^^^",
                "did you mean PRICE?",
            ],
        ),
        ("SELECT * FROM ss EMIT CHANGES;", &["line 1:15: SS does not exist", "did you mean S?"]),
        ("SELECT x.k FROM s EMIT CHANGES;", &["'X' is not a source of this query", "S"]),
        ("SELECT COUNTT(*) FROM s EMIT CHANGES;", &["COUNTT", "did you mean COUNT?"]),
        ("TERMINATE CTAS_C_9;", &["unknown queryId: CTAS_C_9", "CTAS_C_"]),
        ("DESCRIBE tt;", &["could not find STREAM/TABLE 'TT'", "did you mean T?"]),
        (
            "INSERT INTO s (k, prise) VALUES ('a', 1);",
            &["column name PRISE does not exist in S", "did you mean PRICE?"],
        ),
        (
            "SET 'auto.offset.rset'='earliest';",
            &["unknown property: auto.offset.rset", "did you mean auto.offset.reset?"],
        ),
        ("PRINT nothing;", &["could not find topic 'nothing'"]),
    ]);
}

#[test]
fn types_that_do_not_match() {
    check(&[
        ("SELECT k + 1 FROM s EMIT CHANGES;", &["unsupported arithmetic types: STRING + INTEGER"]),
        (
            "SELECT k FROM s WHERE price = 'x' EMIT CHANGES;",
            &["line 1:23: cannot compare PRICE (DOUBLE) to 'x' (STRING) with ="],
        ),
        (
            "SELECT k FROM s WHERE qty EMIT CHANGES;",
            &["type error in WHERE expression: should evaluate to boolean but is INTEGER"],
        ),
        (
            "SELECT k FROM s WHERE qty = NULL EMIT CHANGES;",
            &["comparison with NULL not supported", "use IS NULL"],
        ),
        (
            "INSERT INTO s VALUES ('a', TRUE, 1);",
            &["expected type DOUBLE for field PRICE but got BOOLEAN(TRUE)"],
        ),
        ("INSERT INTO s VALUES ('a', 'x', 1);", &["value for field PRICE", "'x' is not a valid DOUBLE"]),
        ("INSERT INTO s VALUES ('a', 1);", &["expected a value for each column: 3 columns, 2 values"]),
        ("INSERT INTO t (name) VALUES ('x');", &["value for primary key column ID is required for tables"]),
        ("SELECT LEN(qty) FROM s EMIT CHANGES;", &["LEN", "INTEGER"]),
        (
            "CREATE STREAM x AS SELECT s.k, s.qty, t.name FROM s JOIN t ON s.qty = t.id;",
            &["types don't match: S.QTY is INTEGER, T.ID is STRING"],
        ),
    ]);
}

#[test]
fn missing_and_wrong_properties() {
    check(&[
        (
            "CREATE STREAM x (a INT) WITH (VALUE_FORMAT='JSON');",
            &["missing required property KAFKA_TOPIC", "KAFKA_TOPIC='x'"],
        ),
        (
            "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='x', PARTITIONS=1);",
            &["missing required property VALUE_FORMAT"],
        ),
        (
            "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON');",
            &["topic x does not exist", "PARTITIONS=1"],
        ),
        (
            "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMT='JSON');",
            &["VALUE_FORMT", "did you mean VALUE_FORMAT?"],
        ),
        (
            "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='XML', PARTITIONS=1);",
            &["Unknown format: XML", "JSON"],
        ),
        (
            "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=3);",
            &["already exists, with 1 partitions instead of 3"],
        ),
        (
            "CREATE STREAM x (a INT, b INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='KAFKA', PARTITIONS=1);",
            &["only supports a single field"],
        ),
        (
            "CREATE TABLE x (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);",
            &["tables require a PRIMARY KEY"],
        ),
        (
            "CREATE TABLE x (a INT KEY, b INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);",
            &["use PRIMARY KEY"],
        ),
        (
            "CREATE STREAM x (ROWTIME BIGINT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);",
            &["ROWTIME is a reserved column name"],
        ),
        (
            "CREATE STREAM x (a INT, t STRING) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='t');",
            &["add TIMESTAMP_FORMAT"],
        ),
        (
            "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);",
            &["cannot add stream 'S': a stream with the same name already exists"],
        ),
    ]);
}

#[test]
fn queries_that_break_the_rules() {
    check(&[
        (
            "CREATE TABLE x AS SELECT k, price FROM s;",
            &["your SELECT query produces a STREAM", "CREATE STREAM"],
        ),
        (
            "CREATE STREAM x AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;",
            &["your SELECT query produces a TABLE"],
        ),
        ("CREATE STREAM x AS SELECT price FROM s;", &["key missing from projection", "select K"]),
        (
            "CREATE STREAM x AS SELECT k, k AS k2, price FROM s;",
            &["contains a key column more than once", "AS_VALUE(K)"],
        ),
        ("CREATE STREAM x AS SELECT k FROM s;", &["contains no value columns"]),
        ("CREATE STREAM x AS SELECT k, ROWTIME FROM s;", &["reserved column name in select: ROWTIME"]),
        (
            "CREATE TABLE x AS SELECT k, price, COUNT(*) AS n FROM s GROUP BY k;",
            &["line 1:29: non-aggregate expression not part of GROUP BY: PRICE"],
        ),
        (
            "CREATE TABLE x AS SELECT k, COUNT(*) AS n FROM s GROUP BY k HAVING price > 1;",
            &["not part of GROUP BY: PRICE"],
        ),
        ("CREATE TABLE x AS SELECT k, SUM(COUNT(*)) AS n FROM s GROUP BY k;", &["can not be nested"]),
        ("CREATE TABLE x AS SELECT COUNT(*) AS n FROM s;", &["needs a GROUP BY clause"]),
        ("CREATE TABLE x AS SELECT k, price FROM s GROUP BY k;", &["GROUP BY requires aggregate functions"]),
        (
            "CREATE TABLE x AS SELECT k, LCASE(k) FROM s GROUP BY k;",
            &["GROUP BY requires aggregate functions"],
        ),
        (
            "SELECT k FROM s WHERE COUNT(*) > 1 EMIT CHANGES;",
            &["aggregate functions are not allowed in WHERE", "use HAVING"],
        ),
        (
            "SELECT k FROM s WINDOW TUMBLING (SIZE 1 HOUR) EMIT CHANGES;",
            &["WINDOW clause requires a GROUP BY clause"],
        ),
        (
            "CREATE TABLE x AS SELECT k, qty, COUNT(*) AS n FROM s GROUP BY k, qty;",
            &["only supports a single field", "KEY_FORMAT='JSON'"],
        ),
        (
            "CREATE STREAM x AS SELECT s.k, t.name FROM s JOIN t ON s.k = t.name;",
            &["join on the table's primary key", "ID"],
        ),
        ("CREATE STREAM x AS SELECT k, price FROM s LIMIT 3;", &["do not support the LIMIT clause"]),
        ("SELECT * FROM t;", &["the T table isn't queryable", "CREATE TABLE QUERYABLE_T AS SELECT * FROM T"]),
        (
            "SELECT k, COUNT(*) FROM c GROUP BY k;",
            &["pull queries don't support GROUP BY clauses", "EMIT CHANGES"],
        ),
        ("DROP STREAM s;", &["cannot drop S: it is read by C (CTAS_C_"]),
        ("DROP TABLE s;", &["data source type is stream, but statement was DROP table", "DROP STREAM S"]),
        (
            "SELECT k, COUNT(*) FROM s WINDOW SESSION (5 SECONDS) GROUP BY k EMIT CHANGES;",
            &["WINDOW SESSION is not supported by this version"],
        ),
        ("PAUSE ALL;", &["PAUSE is not supported by this version"]),
    ]);
}
