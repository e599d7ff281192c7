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
            "SELECT s.k FROM s JOIN c ON s.k = c.k WHERE s.qty = 'many' EMIT CHANGES;",
            &["Cannot compare S_QTY (INTEGER) to 'many' (STRING) with EQUAL."],
        ),
        ("SELECT k FROM s JOIN c ON s.k = c.k EMIT CHANGES;", &["Line: 1, Col: 8: Column 'K' is ambiguous."]),
        (
            "SELECT k, prise FROM s EMIT CHANGES;",
            &[
                "Line: 1, Col: 11: SELECT column 'PRISE' cannot be resolved.",
                "  SELECT k, prise FROM",
                "            ^^^^^",
                "did you mean PRICE?",
            ],
        ),
        ("SELECT * FROM ss EMIT CHANGES;", &["line 1:15: SS does not exist.", "did you mean S?"]),
        ("SELECT x.k FROM s EMIT CHANGES;", &["'X' is not a valid stream/table name or alias.", "S"]),
        ("SELECT COUNTT(*) FROM s EMIT CHANGES;", &["COUNTT", "did you mean COUNT?"]),
        ("TERMINATE CTAS_C_9;", &["Unknown queryId: CTAS_C_9", "CTAS_C_"]),
        ("DESCRIBE tt;", &["Could not find STREAM/TABLE 'TT'", "did you mean T?"]),
        (
            "INSERT INTO s (k, prise) VALUES ('a', 1);",
            &["Failed to insert values into 'S'. Column name `PRISE` does not exist.", "did you mean PRICE?"],
        ),
        (
            "SET 'auto.offset.rset'='earliest';",
            &["unknown property: auto.offset.rset", "did you mean auto.offset.reset?"],
        ),
        ("PRINT nothing;", &["Could not find topic 'nothing'"]),
    ]);
}

#[test]
fn types_that_do_not_match() {
    check(&[
        ("SELECT k + 1 FROM s EMIT CHANGES;", &["Unsupported arithmetic types. STRING INTEGER"]),
        (
            "SELECT k FROM s WHERE price = 'x' EMIT CHANGES;",
            &["Cannot compare PRICE (DOUBLE) to 'x' (STRING) with EQUAL."],
        ),
        (
            "SELECT k FROM s WHERE qty EMIT CHANGES;",
            &["Type error in WHERE expression: Should evaluate to boolean but is"],
        ),
        (
            "SELECT k FROM s WHERE qty = NULL EMIT CHANGES;",
            &["Comparison with NULL not supported", "Use 'IS NULL'"],
        ),
        (
            "INSERT INTO s VALUES ('a', TRUE, 1);",
            &["Expected type DOUBLE for field PRICE but got BOOLEAN(true)"],
        ),
        ("INSERT INTO s VALUES ('a', 'x', 1);", &["Value for field PRICE", "'x' is not a valid DOUBLE"]),
        (
            "INSERT INTO s VALUES ('a', 1);",
            &["Expected a value for each column. Expected Columns: [`K`, `PRICE`, `QTY`]. Got ['a', 1]"],
        ),
        (
            "INSERT INTO t (name) VALUES ('x');",
            &["Value for primary key column(s) ID is required for tables"],
        ),
        ("SELECT LEN(qty) FROM s EMIT CHANGES;", &["LEN", "INTEGER"]),
        (
            "CREATE STREAM x AS SELECT s.k, s.qty, t.name FROM s JOIN t ON s.qty = t.id;",
            &["types don't match. Got S.QTY{INTEGER} = T.ID{STRING}."],
        ),
    ]);
}

#[test]
fn missing_and_wrong_properties() {
    check(&[
        (
            "CREATE STREAM x (a INT) WITH (VALUE_FORMAT='JSON');",
            &["Missing required property \"KAFKA_TOPIC\"", "KAFKA_TOPIC='x'"],
        ),
        (
            "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='x', PARTITIONS=1);",
            &["missing the 'VALUE_FORMAT' property", "ksql.persistence.default.format.value"],
        ),
        (
            "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON');",
            &["Topic 'x' does not exist.", "PARTITIONS=1"],
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
            &["already exists, with different partition", "expects 3 partitions (topic has 1)"],
        ),
        (
            "CREATE STREAM x (a INT, b INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='KAFKA', PARTITIONS=1);",
            &["only supports a single field"],
        ),
        (
            "CREATE TABLE x (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);",
            &["Tables require a PRIMARY KEY."],
        ),
        (
            "CREATE TABLE x (a INT PRIMARY KEY, b INT)
               WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=1000);",
            &["Non-windowed tables do not support retention."],
        ),
        (
            "CREATE TABLE x (a INT KEY, b INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);",
            &["Line: 1, Col: 17: Column `A` is a 'KEY' column: please use 'PRIMARY KEY' for tables."],
        ),
        (
            "CREATE STREAM x (ROWTIME BIGINT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);",
            &["'ROWTIME' is a reserved column name."],
        ),
        (
            "CREATE STREAM x (a INT, t STRING) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='t');",
            &["add TIMESTAMP_FORMAT"],
        ),
        (
            "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);",
            &["Cannot add stream 'S': A stream with the same name already exists"],
        ),
    ]);
}

#[test]
fn queries_that_break_the_rules() {
    check(&[
        (
            "CREATE TABLE x AS SELECT k, price FROM s;",
            &["Your SELECT query produces a STREAM", "CREATE STREAM AS SELECT"],
        ),
        (
            "CREATE STREAM x AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;",
            &["Your SELECT query produces a TABLE"],
        ),
        (
            "CREATE STREAM x AS SELECT price FROM s;",
            &[
                "Key missing from projection",
                "The query used to build `X` must include the key column K in its projection (eg, SELECT K...).",
            ],
        ),
        (
            "CREATE STREAM x AS SELECT k, k AS k2, price FROM s;",
            &["contains a key column (`K`) more than once, aliased as: K and K2.", "AS_VALUE(K)"],
        ),
        ("CREATE STREAM x AS SELECT k FROM s;", &["The projection contains no value columns."]),
        (
            "CREATE STREAM x AS SELECT k, ROWTIME FROM s;",
            &["Reserved column name in select: `ROWTIME`. Please remove or alias the column."],
        ),
        (
            "CREATE TABLE x AS SELECT k, price, COUNT(*) AS n FROM s GROUP BY k;",
            &[
                "line 1:29: Non-aggregate SELECT expression(s) not part of GROUP BY: PRICE\nEither add the column(s)",
            ],
        ),
        (
            "CREATE TABLE x AS SELECT k, COUNT(*) AS n FROM s GROUP BY k HAVING price > 1;",
            &["Non-aggregate HAVING expression not part of GROUP BY: PRICE"],
        ),
        ("CREATE TABLE x AS SELECT k, SUM(COUNT(*)) AS n FROM s GROUP BY k;", &["can not be nested"]),
        (
            "CREATE TABLE x AS SELECT COUNT(*) AS n FROM s;",
            &[
                "CREATE TABLE AS SELECT statement does not support aggregate function [COUNT(ROWTIME)] without a GROUP BY clause.",
            ],
        ),
        ("CREATE TABLE x AS SELECT k, price FROM s GROUP BY k;", &["GROUP BY requires aggregate functions"]),
        (
            "CREATE TABLE x AS SELECT k, LCASE(k) FROM s GROUP BY k;",
            &["GROUP BY requires aggregate functions"],
        ),
        (
            "SELECT k FROM s WHERE COUNT(*) > 1 EMIT CHANGES;",
            &["WHERE does not support aggregate functions", "use HAVING"],
        ),
        (
            "SELECT k FROM s WINDOW TUMBLING (SIZE 1 HOUR) EMIT CHANGES;",
            &["WINDOW clause requires a GROUP BY clause"],
        ),
        (
            "CREATE TABLE x AS SELECT k, qty, COUNT(*) AS n FROM s GROUP BY k, qty;",
            &[
                "reason: The 'KAFKA' format only supports a single field. Got: [`K` STRING KEY, `QTY` INTEGER KEY]",
                "KEY_FORMAT",
            ],
        ),
        (
            "CREATE STREAM x AS SELECT s.k, t.name FROM s JOIN t ON s.k = t.name;",
            &["join on the table's primary key", "ID"],
        ),
        (
            "CREATE STREAM x AS SELECT k, price FROM s LIMIT 3;",
            &["CREATE STREAM AS SELECT statements don't support LIMIT clause."],
        ),
        (
            "SELECT * FROM t;",
            &["The `T` table isn't queryable", "CREATE TABLE QUERYABLE_T AS SELECT * FROM T"],
        ),
        (
            "SELECT k, COUNT(*) FROM c WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY k;",
            &["Pull queries don't support WINDOW clauses", "EMIT CHANGES"],
        ),
        (
            "DROP STREAM s;",
            &["Cannot drop S.\nThe following streams and/or tables read from this source: [C]."],
        ),
        (
            "DROP TABLE s;",
            &["Incompatible data source type is STREAM, but statement was DROP TABLE", "DROP STREAM S"],
        ),
    ]);
}
