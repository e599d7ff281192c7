//! Statements made by chance: none may panic, and a query must say the same whichever way it runs.
//!
//! `MILLSTREAM_FUZZ_ROUNDS` asks for more rounds than the few of every test run, `MILLSTREAM_FUZZ_SEED` for another start.
//! A failure names its seed.

use std::{collections::BTreeMap, env};

use millstream_log::{ConsumerConfig, Isolation, Log, TopicPartition};
use millstream_sql::{
    SqlConfig,
    ast::Statement,
    parser::parse,
    testing::{TestEngine, TopicRecord},
};

use super::Client;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Runs `test` with the seeds of this run; a panic names the seed.
fn rounds(default: u64, test: impl Fn(&mut Random)) {
    let start = setting("MILLSTREAM_FUZZ_SEED", 1);
    for seed in start..start + setting("MILLSTREAM_FUZZ_ROUNDS", default) {
        let run = std::panic::AssertUnwindSafe(|| test(&mut Random(seed)));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("MILLSTREAM_FUZZ_SEED={seed} MILLSTREAM_FUZZ_ROUNDS=1 shows it again");
            std::panic::resume_unwind(panic);
        }
    }
}

const SETUP: &str = "
    CREATE STREAM s (id INT KEY, a INT, b BIGINT, d DOUBLE, t STRING, x BOOLEAN)
        WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
    CREATE TABLE u (id INT PRIMARY KEY, name STRING, l ARRAY<INT>, m MAP<STRING, DOUBLE>)
        WITH (KAFKA_TOPIC='u', VALUE_FORMAT='JSON', PARTITIONS=1);";

/// Statements to change a little. What they are about is there after [`SETUP`].
const CORPUS: &[&str] = &[
    "CREATE STREAM o WITH (KAFKA_TOPIC='o', VALUE_FORMAT='DELIMITED', TIMESTAMP='b') AS SELECT id, a + 1 AS c, b FROM s WHERE d > 1.5 AND t LIKE 'a%' EMIT CHANGES;",
    "CREATE TABLE o AS SELECT id, COUNT(*) AS n, SUM(a) FROM s WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 1 MINUTE) WHERE x GROUP BY id HAVING COUNT(*) > 1;",
    "CREATE TABLE o AS SELECT t, LATEST_BY_OFFSET(a) FROM s WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY t EMIT FINAL;",
    "CREATE TABLE o AS SELECT id, COUNT(*) FROM s WINDOW SESSION (5 MINUTES) GROUP BY id;",
    "CREATE STREAM o AS SELECT s.id, name, s.a FROM s LEFT JOIN u ON s.id = u.id PARTITION BY s.a;",
    "CREATE OR REPLACE STREAM o AS SELECT *, CAST(b AS STRING) AS bs FROM s PARTITION BY NULL;",
    "CREATE TABLE o AS SELECT id, name, l[1] AS first, m['k'] FROM u WHERE name IS NOT NULL;",
    "CREATE STREAM o (k STRING KEY, h ARRAY<STRUCT<key STRING, value BYTES>> HEADERS, v DECIMAL(4, 2)) WITH (KAFKA_TOPIC='o', FORMAT='JSON', PARTITIONS=2);",
    "CREATE SOURCE TABLE o (k STRING PRIMARY KEY, v STRUCT<a INT, b ARRAY<MAP<STRING, DATE>>>) WITH (KAFKA_TOPIC='u', VALUE_FORMAT='JSON');",
    "CREATE STREAM o (k INT KEY, v INT) WITH (KAFKA_TOPIC='o', VALUE_FORMAT='KAFKA', WINDOW_TYPE='TUMBLING', WINDOW_SIZE='10 SECONDS', PARTITIONS=1);",
    "INSERT INTO s (id, a, b, d, t, x) VALUES (1, 2, 3, 1.5E0, 'it''s', TRUE);",
    "INSERT INTO s SELECT id, a, b, d, t, x FROM s WHERE a BETWEEN 1 AND 10;",
    "INSERT INTO u (id, name, l, m) VALUES (1, 'n', ARRAY[1, 2], MAP('k' := 1.5E0));",
    "ALTER STREAM s ADD COLUMN extra STRUCT<f INT>;",
    "CREATE TYPE address AS STRUCT<street STRING, zip INT>;",
    "DROP TYPE IF EXISTS address;",
    "DROP STREAM IF EXISTS s DELETE TOPIC;",
    "SET 'auto.offset.reset' = 'earliest';",
    "DEFINE v = 'x';",
    "EXPLAIN SELECT CASE WHEN a > 1 THEN 'x' WHEN a IN (1, 2, 3) THEN 'y' ELSE UCASE(t) END, -a * (b + 1) / 2 % 3 FROM s EMIT CHANGES;",
    "EXPLAIN SELECT SUBSTRING(t, 1, 2) || 'z', STRUCT(f := a, g := ARRAY[d])->g[1], CAST('2020-01-01' AS DATE) FROM s WHERE NOT (x OR a IS DISTINCT FROM 3) EMIT CHANGES;",
    "EXPLAIN SELECT a.id, b.t FROM s a FULL OUTER JOIN s b WITHIN (1 HOUR, 2 HOURS) GRACE PERIOD 5 MINUTES ON a.id = b.id EMIT CHANGES;",
    "EXPLAIN SELECT TRANSFORM(l, e => e + 1), REDUCE(m, 0, (acc, k, v) => acc + 1) FROM u EMIT CHANGES;",
    "EXPLAIN SELECT id, ROWTIME FROM s WHERE ROWTIME >= '2020-01-01T00:00:00' LIMIT 5;",
    "SHOW TOPICS EXTENDED;",
    "DESCRIBE s EXTENDED;",
    "SHOW PROPERTIES;",
    "DESCRIBE FUNCTION UCASE;",
    "ASSERT NOT EXISTS TOPIC nothing TIMEOUT 0 SECONDS;",
    "PAUSE ALL;",
    "TERMINATE ALL;",
];

/// What may come in place of a token.
const TOKENS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "JOIN",
    "ON",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    "->",
    "=>",
    ":=",
    "*",
    "-",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "99999999999999999999",
    "1.5",
    "1e308",
    "1e999",
    "'text'",
    "''",
    "NULL",
    "TRUE",
    "id",
    "a",
    "t",
    "s",
    "u",
    "`quoted`",
    "\"also\"",
    "ROWTIME",
    "WINDOWSTART",
    "KEY",
    "EMIT",
    "CHANGES",
    "ARRAY",
    "MAP",
    "STRUCT",
    "<",
    ">",
    "INT",
    "DECIMAL(38, 38)",
    "DECIMAL(39, 2)",
    "DECIMAL(76, 38)",
    "CASE",
    "END",
    "NOT",
    "AND",
    "WITH",
    "KAFKA_TOPIC",
    "COUNT(*)",
    "LEN",
    "${v}",
    "--",
    "/*",
    "'",
    "é",
    "\u{0}",
    "?",
];

fn mutated(random: &mut Random) -> String {
    let mut tokens: Vec<String> =
        random.one_of(CORPUS).split_inclusive([' ', '(', ')', ',']).map(str::to_owned).collect();
    for _ in 0..random.below(4) {
        let place = random.below(tokens.len());
        let token = format!("{} ", random.one_of(TOKENS));
        match random.below(5) {
            0 => drop(tokens.remove(place)),
            1 => tokens.insert(place, token),
            2 => tokens[place] = token,
            3 => {
                let copy = tokens[place].clone();
                tokens.insert(place, copy);
            }
            _ => {
                let other = random.below(tokens.len());
                tokens.swap(place, other);
            }
        }
        if tokens.is_empty() {
            break;
        }
    }
    tokens.concat()
}

#[test]
fn near_valid_statements_are_done_or_refused() {
    rounds(4, |random| {
        let mut engine = TestEngine::open(SqlConfig::new("unused")).unwrap();
        engine.execute(SETUP).unwrap();
        for _ in 0..150 {
            let text = mutated(random);
            let Ok(statements) = parse(&text) else { continue };
            for statement in &statements {
                // Queries for clients run for ever; EXPLAIN plans them all the same.
                if !matches!(statement.node, Statement::Select(_) | Statement::Print(_)) {
                    // Either outcome is fine; a panic is not.
                    let _ = engine.execute_statement(statement);
                }
            }
        }
        engine.execute("SHOW STREAMS;").unwrap();
    });
}

#[test]
fn hostile_text_is_an_error_in_bounded_time() {
    let wide: Vec<String> = (0..10_000).map(|n| format!("c{n} INT")).collect();
    let many: Vec<String> = (0..10_000).map(|n| format!("a + {n}")).collect();
    for (text, refused) in [
        (
            format!(
                "CREATE STREAM w ({}) WITH (KAFKA_TOPIC='w', VALUE_FORMAT='JSON', PARTITIONS=1);",
                wide.join(", ")
            ),
            false,
        ),
        (format!("EXPLAIN SELECT id, {} FROM s EMIT CHANGES;", many.join(", ")), false),
        (format!("EXPLAIN SELECT {}a{} FROM s;", "(".repeat(100_000), ")".repeat(100_000)), true),
        (format!("EXPLAIN SELECT {}a FROM s;", "- ".repeat(100_000)), true),
        (format!("CREATE TYPE d AS {}INT{};", "ARRAY<".repeat(10_000), ">".repeat(10_000)), true),
        (format!("EXPLAIN SELECT a{} FROM s EMIT CHANGES;", " + a".repeat(100_000)), true),
        (format!("EXPLAIN SELECT a{} FROM s EMIT CHANGES;", "[1]".repeat(100_000)), true),
        (format!("EXPLAIN SELECT '{}' FROM s EMIT CHANGES;", "x".repeat(1_000_000)), false),
        ("SELECT ".repeat(100_000), true),
        ("'".repeat(100_001), true),
    ] {
        let mut engine = TestEngine::open(SqlConfig::new("unused")).unwrap();
        engine.execute(SETUP).unwrap();
        let outcome = engine.execute(&text);
        assert_eq!(
            outcome.is_err(),
            refused,
            "{}...: {:?}",
            &text[..60],
            outcome.err().map(|e| e.to_string())
        );
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Int,
    Bigint,
    Double,
    Text,
    Truth,
}

fn expr(random: &mut Random, kind: Kind, depth: usize) -> String {
    let leaf = depth == 0 || random.chance(25);
    let next = depth.saturating_sub(1);
    match kind {
        Kind::Int if leaf => random.one_of(&["a", "(id + 1)", "0", "7", "-3"]).to_owned(),
        Kind::Int => match random.below(4) {
            0 => format!("LEN({})", expr(random, Kind::Text, next)),
            1 => format!("COALESCE({}, 5)", expr(random, Kind::Int, next)),
            2 => {
                let condition = expr(random, Kind::Truth, next);
                let (then, or) = (expr(random, Kind::Int, next), expr(random, Kind::Int, next));
                format!("CASE WHEN {condition} THEN {then} ELSE {or} END")
            }
            _ => {
                let (left, right) = (expr(random, Kind::Int, next), expr(random, Kind::Int, next));
                format!("({left} {} {right})", random.one_of(&["+", "-", "*", "/", "%"]))
            }
        },
        Kind::Bigint if leaf => random.one_of(&["b", "CAST(a AS BIGINT)", "10000000000"]).to_owned(),
        Kind::Bigint => {
            let (left, right) = (expr(random, Kind::Bigint, next), expr(random, Kind::Int, next));
            format!("({left} {} {right})", random.one_of(&["+", "-", "*"]))
        }
        Kind::Double if leaf => random.one_of(&["d", "1.5E0", "CAST(b AS DOUBLE)"]).to_owned(),
        Kind::Double => {
            let (left, right) = (expr(random, Kind::Double, next), expr(random, Kind::Int, next));
            format!("({left} {} {right})", random.one_of(&["+", "-", "*", "/"]))
        }
        Kind::Text if leaf => random.one_of(&["t", "'abc'", "''", "CAST(a AS STRING)"]).to_owned(),
        Kind::Text => match random.below(3) {
            0 => {
                format!("{}({})", random.one_of(&["UCASE", "LCASE", "TRIM"]), expr(random, Kind::Text, next))
            }
            1 => format!("SUBSTRING({}, 1, 2)", expr(random, Kind::Text, next)),
            _ => format!("({} + {})", expr(random, Kind::Text, next), expr(random, Kind::Text, next)),
        },
        Kind::Truth => truth(random, next),
    }
}

fn truth(random: &mut Random, next: usize) -> String {
    match random.below(if next == 0 { 4 } else { 7 }) {
        0 => {
            let (left, right) = (expr(random, Kind::Int, next), expr(random, Kind::Bigint, next));
            format!("({left} {} {right})", random.one_of(&["=", "<>", "<", "<=", ">", ">="]))
        }
        1 => format!("({} LIKE 'a%')", expr(random, Kind::Text, next)),
        2 => format!("({} IS {}NULL)", expr(random, Kind::Double, next), random.one_of(&["", "NOT "])),
        3 => format!("({} BETWEEN 0 AND 5)", expr(random, Kind::Int, next)),
        4 => format!("(NOT {})", truth(random, next - 1)),
        5 => format!("({} IN (1, 2, 3))", expr(random, Kind::Int, next)),
        _ => {
            let (left, right) = (truth(random, next - 1), truth(random, next - 1));
            format!("({left} {} {right})", random.one_of(&["AND", "OR"]))
        }
    }
}

fn rows(random: &mut Random, count: usize) -> Vec<String> {
    let mut row = |number: usize| {
        let mut cell = |choices: &[&str]| match random.chance(15) {
            true => "NULL".to_owned(),
            false => random.one_of(choices).to_owned(),
        };
        let values = [
            cell(&["0", "1", "2", "-7", "2147483647"]),
            cell(&["0", "5", "-9223372036854775807", "10000000000"]),
            cell(&["0.0E0", "1.5E0", "-2.25E3", "1E10"]),
            cell(&["'abc'", "'Ärger'", "''", "'a b'"]),
            cell(&["TRUE", "FALSE"]),
        ];
        let id = number % 5;
        format!("INSERT INTO s (ROWTIME, id, a, b, d, t, x) VALUES ({number}, {id}, {});", values.join(", "))
    };
    (0..count).map(&mut row).collect()
}

/// Key, value and time of every record of a topic with one partition.
type Records = Vec<(Option<Vec<u8>>, Option<Vec<u8>>, i64)>;

fn topic(log: &Log, name: &str) -> Records {
    let config = ConsumerConfig::default().isolation(Isolation::ReadCommitted);
    let mut consumer = log.consumer(config).unwrap();
    let partition = TopicPartition::new(name, 0);
    consumer.assign(vec![partition.clone()]).unwrap();
    consumer.seek_to(&partition, millstream_log::OffsetSpec::Earliest).unwrap();
    let mut records = Vec::new();
    loop {
        let runs = consumer.poll(std::time::Duration::ZERO).unwrap();
        if runs.is_empty() {
            return records;
        }
        for record in runs.iter().flat_map(|run| run.records()) {
            let record = record.unwrap();
            let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            records.push((bytes(record.key), bytes(record.value), record.timestamp.get()));
        }
    }
}

/// The last value of every key.
fn last(records: Records) -> BTreeMap<Option<Vec<u8>>, Option<Vec<u8>>> {
    records.into_iter().map(|(key, value, _)| (key, value)).collect()
}

/// Whatever way it runs, a query says the same: row by row or in batches, streaming or over data at rest, with every
/// update or only those that a cache lets through, at once or with a restart in the middle.
#[test]
fn queries_say_the_same_whichever_way_they_run() {
    rounds(2, |random| {
        let projections: Vec<String> = (0..6)
            .map(|_| {
                let kinds = [Kind::Int, Kind::Bigint, Kind::Double, Kind::Text, Kind::Truth];
                let columns: Vec<String> = kinds
                    .into_iter()
                    .enumerate()
                    .map(|(number, kind)| format!("{} AS c{number}", expr(random, kind, 3)))
                    .collect();
                format!("SELECT id, {} FROM s WHERE {}", columns.join(", "), truth(random, 2))
            })
            .collect();
        let aggregate = format!(
            "CREATE TABLE agg AS SELECT id, COUNT(*) AS n, SUM({}) AS total, MIN({}) AS least, MAX({}) AS most FROM s \
             WHERE {} GROUP BY id;",
            expr(random, Kind::Int, 2),
            expr(random, Kind::Bigint, 1),
            expr(random, Kind::Double, 1),
            truth(random, 1)
        );
        let mut script = SETUP.to_owned();
        for (number, projection) in projections.iter().enumerate() {
            script.push_str(&format!("CREATE STREAM o{number} AS {projection};\n"));
        }
        script.push_str(&aggregate);
        let rows = rows(random, 60);

        let mut single = TestEngine::open(SqlConfig::new("unused")).unwrap();
        single.execute(&script).unwrap();
        single.execute(&rows.concat()).unwrap();
        single.process(&[]).unwrap();

        let dir = tempfile::tempdir().unwrap();
        let mut client = Client::open(dir.path());
        client.run(&script);
        client.run(&rows[..30].concat());
        client.settle();
        client.engine.close().unwrap();
        let mut client = Client::open(dir.path());
        client.run(&rows[30..].concat());
        client.settle();

        for (number, projection) in projections.iter().enumerate() {
            let stepped: Records = single
                .records(&format!("O{number}"))
                .iter()
                .map(|record| (record.key.clone(), record.value.clone(), record.timestamp))
                .collect();
            let streamed = topic(client.engine.log(), &format!("O{number}"));
            assert_eq!(streamed, stepped, "row by row or in batches: {projection}");
            let read = client.rows(&format!("SELECT * FROM o{number};"));
            let at_rest = client.rows(&format!("{projection};"));
            assert_eq!(at_rest, read, "over data at rest or streaming: {projection}");
        }
        let stepped = single.records("AGG").iter().map(|r| (r.key.clone(), r.value.clone(), r.timestamp));
        let (stepped, cached) = (last(stepped.collect()), last(topic(client.engine.log(), "AGG")));
        assert_eq!(cached, stepped, "every update or the last ones: {aggregate}");
    });
}

/// A join of streams says the same whether its rows come one by one or all of them wait when it begins.
#[test]
fn stream_joins_say_the_same_whether_rows_wait_or_not() {
    const STREAMS: &str = "
        CREATE STREAM l (id INT KEY, a INT, t STRING) WITH (KAFKA_TOPIC='l', VALUE_FORMAT='JSON', PARTITIONS=1);
        CREATE STREAM r (id INT KEY, b BIGINT, l ARRAY<INT>)
            WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON', PARTITIONS=1);";
    rounds(6, |random| {
        let kind = random.one_of(&["", "LEFT", "RIGHT", "FULL OUTER"]);
        let grace = random.one_of(&["", "GRACE PERIOD 3 MILLISECONDS"]);
        let join = format!(
            "CREATE STREAM o AS SELECT * FROM l {kind} JOIN r WITHIN ({} MILLISECONDS, {} MILLISECONDS) {grace} ON l.id = r.id;",
            random.below(12),
            random.below(12),
        );
        let rows = (0..80).map(|time| {
            let id = random.one_of(&["0", "1", "2", "3"]);
            match (random.chance(50), random.one_of(&["NULL", "7", "12"])) {
                (true, a) => {
                    format!("INSERT INTO l (ROWTIME, id, a, t) VALUES ({time}, {id}, {a}, 'l{time}');")
                }
                (false, b) => {
                    format!("INSERT INTO r (ROWTIME, id, b, l) VALUES ({time}, {id}, {b}, ARRAY[{time}, 1]);")
                }
            }
        });
        let rows = rows.collect::<Vec<_>>().concat();

        let mut single = TestEngine::open(SqlConfig::new("unused")).unwrap();
        single.execute(STREAMS).unwrap();
        single.execute(&join).unwrap();
        single.execute(&rows).unwrap();
        let given = ["l", "r"].iter().flat_map(|topic| {
            let records = single.records(topic).iter();
            records.map(|record| TopicRecord { topic: (*topic).to_owned(), record: record.clone() })
        });
        let mut given: Vec<TopicRecord> = given.collect();
        given.sort_by_key(|given| given.record.timestamp);
        single.process(&given).unwrap();
        let stepped = single.records("O").iter().map(|r| (r.key.clone(), r.value.clone(), r.timestamp));
        let stepped: Records = stepped.collect();

        let dir = tempfile::tempdir().unwrap();
        let mut client = Client::open(dir.path());
        client.run(STREAMS);
        client.run(&rows);
        client.run("SET 'auto.offset.reset' = 'earliest';");
        client.run(&join);
        client.settle();
        assert!(stepped.len() > 10, "{join}: {stepped:?}");
        assert_eq!(topic(client.engine.log(), "O"), stepped, "{join}");
    });
}
