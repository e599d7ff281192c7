//! Queries over data at rest: what DataFusion can say over topics and tables, and how little of them it reads.

use millstream_sql::Outcome;

use super::Client;

const TRADES: &str = "
    CREATE STREAM trades (symbol STRING KEY, qty INT, price DOUBLE)
        WITH (KAFKA_TOPIC='trades', VALUE_FORMAT='JSON', PARTITIONS=1);
    CREATE TABLE names (symbol STRING PRIMARY KEY, name STRING)
        WITH (KAFKA_TOPIC='names', VALUE_FORMAT='JSON', PARTITIONS=1);
    CREATE TABLE totals AS SELECT symbol, COUNT(*) AS n, SUM(qty) AS qty FROM trades GROUP BY symbol;
    INSERT INTO names (ROWTIME, symbol, name) VALUES (10, 'A', 'Apples');
    INSERT INTO names (ROWTIME, symbol, name) VALUES (20, 'B', 'Bolts');
    INSERT INTO names (ROWTIME, symbol, name) VALUES (30, 'A', 'Acorns');
    INSERT INTO trades (ROWTIME, symbol, qty, price) VALUES (100, 'A', 5, 1.5);
    INSERT INTO trades (ROWTIME, symbol, qty, price) VALUES (200, 'B', 7, 0.5);
    INSERT INTO trades (ROWTIME, symbol, qty, price) VALUES (300, 'A', 1, 2.5);
    INSERT INTO trades (ROWTIME, symbol, qty, price) VALUES (400, 'C', 9, 9.0);";

fn client(dir: &std::path::Path) -> Client {
    let mut client = Client::open(dir);
    client.run(TRADES);
    client
}

#[test]
fn datafusion_answers_what_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = client(dir.path());
    for (query, expected) in [
        ("SELECT symbol, qty FROM trades ORDER BY qty DESC LIMIT 2;", vec!["C | 9", "B | 7"]),
        (
            "SELECT symbol, COUNT(*), SUM(qty) FROM trades GROUP BY symbol ORDER BY symbol;",
            vec!["A | 2 | 6", "B | 1 | 7", "C | 1 | 9"],
        ),
        (
            "SELECT t.symbol, n.name FROM trades t JOIN names n ON t.symbol = n.symbol ORDER BY t.qty;",
            vec!["A | Acorns", "A | Acorns", "B | Bolts"],
        ),
        ("WITH big AS (SELECT * FROM totals WHERE qty > 6) SELECT COUNT(*) FROM big;", vec!["2"]),
        ("SELECT symbol FROM totals WHERE qty = (SELECT MAX(qty) FROM totals);", vec!["C"]),
        (
            "SELECT rowtime, SUM(qty) OVER (ORDER BY rowtime) AS running FROM trades ORDER BY rowtime;",
            vec!["100 | 5", "200 | 12", "300 | 13", "400 | 22"],
        ),
        ("SELECT DISTINCT LCASE(symbol) AS s FROM trades ORDER BY s;", vec!["a", "b", "c"]),
        (
            "SELECT symbol FROM trades UNION SELECT name FROM names ORDER BY symbol;",
            vec!["A", "Acorns", "B", "Bolts", "C"],
        ),
    ] {
        assert_eq!(client.rows(query), expected, "{query}");
    }
}

#[test]
fn sources_are_read_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = client(dir.path());
    for (query, expected) in [
        ("SELECT symbol FROM trades AS OF OFFSET 2;", vec!["A", "B"]),
        ("SELECT symbol FROM trades AS OF TIMESTAMP 300 ORDER BY rowoffset;", vec!["A", "B", "A"]),
        ("SELECT COUNT(*) FROM trades AS OF TIMESTAMP '1970-01-01T00:00:00.250Z';", vec!["2"]),
        ("SELECT name FROM names AS OF TIMESTAMP 20 WHERE symbol = 'A';", vec!["Apples"]),
        ("SELECT name FROM names AS OF TIMESTAMP 40 WHERE symbol = 'A';", vec!["Acorns"]),
        (
            "SELECT o.name, n.name FROM names AS OF OFFSET 2 o JOIN names n ON o.symbol = n.symbol ORDER BY 1;",
            vec!["Apples | Acorns", "Bolts | Bolts"],
        ),
    ] {
        assert_eq!(client.rows(query), expected, "{query}");
    }
}

fn rows_read(client: &mut Client, query: &str) -> u64 {
    client.settle();
    match client.run(query).pop() {
        Some(Outcome::Table(rows)) => rows.rows_read,
        other => panic!("{query} gave {other:?}"),
    }
}

#[test]
fn conditions_narrow_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = client(dir.path());
    for (query, read, path) in [
        (
            "SELECT qty FROM trades ORDER BY qty;",
            4,
            "SCAN of topic trades, from its beginning to its end now",
        ),
        ("SELECT qty FROM trades WHERE rowoffset >= 3 ORDER BY qty;", 1, "narrowed by ROWOFFSET"),
        ("SELECT qty FROM trades WHERE rowoffset < 2 ORDER BY qty;", 2, "narrowed by ROWOFFSET"),
        ("SELECT qty FROM trades WHERE rowtime > 200 ORDER BY qty;", 2, "narrowed by ROWTIME"),
        ("SELECT qty FROM trades AS OF OFFSET 3 ORDER BY qty;", 3, "from its beginning to offset 3"),
        ("SELECT n FROM totals WHERE symbol = 'A' ORDER BY n;", 1, "KEY LOOKUP by SYMBOL"),
        ("SELECT n FROM totals WHERE symbol >= 'B' ORDER BY n;", 2, "RANGE SCAN over SYMBOL"),
        ("SELECT n FROM totals ORDER BY n;", 3, "TABLE SCAN"),
        ("SELECT qty FROM trades WHERE rowoffset >= 3;", 1, "narrowed by ROWOFFSET"),
        ("SELECT n FROM totals WHERE symbol = 'A' || '';", 1, "KEY LOOKUP by SYMBOL"),
        (
            "SELECT n FROM totals WHERE (symbol = 'A' AND n > 0) OR (n < 9 AND symbol = 'C');",
            2,
            "KEY LOOKUP by SYMBOL",
        ),
    ] {
        assert_eq!(rows_read(&mut client, query), read, "{query}");
        let plan = client.rows(&format!("EXPLAIN {query}")).join("\n");
        assert!(plan.contains(path), "{query}: {plan}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = client(dir.path());
    for (query, expected) in [
        ("SELECT * FROM trads ORDER BY qty;", "did you mean TRADES?"),
        ("SELECT quantity FROM trades ORDER BY qty;", "QUANTITY"),
        ("SELECT * FROM trades AS OF 5;", "AS OF needs OFFSET and a number"),
        ("SELECT * FROM trades ORDER;", "ORDER"),
    ] {
        let error = client.error(query);
        assert!(error.contains(expected), "{query}: {error}");
    }
}
