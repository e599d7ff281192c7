//! Whole plans on the test driver: the cutting of the input into batches must not show.

use std::sync::Arc;

use millstream_formats::{Format, FormatSpec};
use millstream_log::SystemClock;
use millstream_streams::{
    StreamsConfig, Topology,
    driver::{InputRecord, OutputRecord, TopologyTestDriver},
};

use crate::{
    analysis::{self, Context, Purpose},
    ast::{CreateAs, SourceKind, Statement},
    catalogue::{Catalogue, Column, Columns, Source, Windowing},
    function::FunctionRegistry,
    parser::parse_one,
    topology::{Destination, build},
    types::SqlType,
    with::With,
};

fn source(name: &str, kind: SourceKind, key: Column, value: Vec<Column>) -> Source {
    Source {
        name: name.to_uppercase(),
        kind,
        columns: Columns::new(vec![key], value),
        topic: name.to_owned(),
        key_format: FormatSpec::key(Format::Kafka, 1),
        inherited_key_format: FormatSpec::key(Format::Kafka, 1),
        value_format: FormatSpec::value(Format::Json),
        key_subject: None,
        value_subject: None,
        wraps_explicitly: false,
        timestamp: None,
        window: None,
        read_only: false,
        statement: String::new(),
        query: None,
    }
}

/// The topology of a CREATE .. AS SELECT that writes to topic `out`.
fn topology(statement: &str) -> Topology {
    let mut catalogue = Catalogue::default();
    let value = vec![Column::new("KIND", SqlType::String), Column::new("QTY", SqlType::Int)];
    catalogue.put(source("events", SourceKind::Stream, Column::new("K", SqlType::String), value));
    let value = vec![Column::new("NAME", SqlType::String)];
    catalogue.put(source("kinds", SourceKind::Table, Column::new("KIND", SqlType::String), value));
    let value = vec![Column::new("AMOUNT", SqlType::Int)];
    catalogue.put(source("others", SourceKind::Stream, Column::new("K", SqlType::String), value));
    let panes = source(
        "panes",
        SourceKind::Stream,
        Column::new("K", SqlType::String),
        vec![Column::new("QTY", SqlType::Int)],
    );
    catalogue.put(Source { window: Some(Windowing::Tumbling { size_ms: 10 }), ..panes });
    // The same topics as tables.
    for (name, stream) in [("states", "EVENTS"), ("parts", "OTHERS")] {
        let stream = catalogue.get(stream).unwrap().clone();
        let (key, value) = (stream.columns.key[0].clone(), stream.columns.value.clone());
        catalogue.put(Source { topic: stream.topic.clone(), ..source(name, SourceKind::Table, key, value) });
    }
    let functions = FunctionRegistry::builtin(Arc::new(SystemClock::default()));
    let Statement::CreateAs(CreateAs { kind, query, .. }) = parse_one(statement).unwrap().node else {
        panic!("{statement} has no query");
    };
    let with = With::default();
    let context = Context { catalogue: &catalogue, functions: &functions, partitions: &|_| None };
    let plan = analysis::analyse(&query, Purpose::Persistent { kind, name: "OUT", with: &with }, context)
        .unwrap_or_else(|error| panic!("{}", error.render(statement)));
    let mut sink = source("out", kind, Column::new("K", SqlType::String), Vec::new());
    sink.columns = Columns::new(plan.output.key.clone(), plan.output.value.clone());
    sink.window = plan.output.window;
    build(&plan, Destination::Sink { sink: &Arc::new(sink), time: None }).unwrap()
}

/// Records with keys, kinds and times out of order; some without key, without value, or not JSON.
fn records() -> Vec<InputRecord> {
    (0..400i64)
        .map(|n| {
            let key = format!("k{}", n * 7 % 5);
            let value = format!("{{\"kind\":\"c{}\",\"qty\":{}}}", n % 3, n % 11);
            let key = (n % 41 != 0).then_some(key.as_bytes());
            let value = match n % 37 {
                5 => None,
                6 => Some(&b"{\"qty\":"[..]),
                _ => Some(value.as_bytes()),
            };
            InputRecord::new(key, value, 1_000 + n * 10 - (n % 13) * 40)
        })
        .collect()
}

/// Records for the other topic: some keys only it has, some values come again.
fn others() -> Vec<InputRecord> {
    (0..60i64)
        .map(|n| {
            let (key, value) = (format!("k{}", n % 7), format!("{{\"amount\":{}}}", n % 11));
            let value = (n % 13 != 5).then_some(value.as_bytes());
            InputRecord::new(Some(key.as_bytes()), value, 1_000 + n * 60 - (n % 5) * 90)
        })
        .collect()
}

fn run(topology: &Topology, cache: bool, cut: usize) -> Vec<OutputRecord> {
    let mut config = StreamsConfig::new("test");
    config.deserialization_handler = millstream_streams::ErrorResponse::Continue;
    config.production_handler = millstream_streams::ErrorResponse::Continue;
    config.cache_max_bytes = if cache { 10 << 20 } else { 0 };
    let mut driver = TopologyTestDriver::new(topology.clone(), config).unwrap();
    if topology.source_topics().iter().any(|topic| &**topic == "kinds") {
        for (kind, name) in [("c0", "zero"), ("c1", "one")] {
            let value = format!("{{\"name\":\"{name}\"}}");
            driver.pipe("kinds", Some(kind.as_bytes()), Some(value.as_bytes()), 1).unwrap();
        }
    }
    if topology.source_topics().iter().any(|topic| &**topic == "others") {
        for records in others().chunks(cut) {
            driver.pipe_all("others", records).unwrap();
        }
    }
    for records in records().chunks(cut) {
        driver.pipe_all("events", records).unwrap();
    }
    driver.commit().unwrap();
    driver.read("out").unwrap()
}

fn check(statement: &str) {
    let topology = topology(statement);
    let one_by_one = run(&topology, false, 1);
    assert!(!one_by_one.is_empty(), "{statement} gives rows");
    for cut in [3, 64, 1_000] {
        assert_eq!(run(&topology, false, cut), one_by_one, "{statement} in batches of {cut}");
    }
    if statement.contains("TABLE") {
        check_table(statement);
    }
}

/// Coalesced output leaves the same rows. What came and went in between leaves a delete, or nothing at all, and not its
/// time either.
fn check_table(statement: &str) {
    let topology = topology(statement);
    let last = |rows: Vec<OutputRecord>| -> std::collections::BTreeMap<_, _> {
        let rows = rows.into_iter().map(|row| ((row.partition, row.key), row.value));
        let last: std::collections::BTreeMap<_, _> = rows.collect();
        last.into_iter().filter(|(_, value)| value.is_some()).collect()
    };
    let one_by_one = last(run(&topology, false, 1));
    for (cache, cut) in [(true, 1_000), (false, 64)] {
        assert_eq!(last(run(&topology, cache, cut)), one_by_one, "{statement} with cache: {cache}");
    }
}

#[test]
fn batching_never_shows() {
    for statement in [
        "CREATE STREAM out AS SELECT k, qty, UCASE(kind) AS kind, ROWTIME AS t FROM events;",
        "CREATE STREAM out AS SELECT k, qty * 2 AS twice FROM events WHERE qty > 3 AND kind <> 'c1';",
        "CREATE STREAM out AS SELECT kind, k, qty FROM events PARTITION BY kind;",
        "CREATE STREAM out AS SELECT k, EXPLODE(ARRAY[qty, qty + 1]) AS q, kind FROM events WHERE qty > 2;",
        "CREATE TABLE out AS SELECT k, COUNT(*) AS n, SUM(qty) AS s, MAX(kind) AS m FROM events GROUP BY k;",
        "CREATE TABLE out AS SELECT kind, COUNT(*) AS n, AVG(qty) AS a FROM events GROUP BY kind;",
        "CREATE TABLE out AS SELECT k, COUNT(*) AS n FROM events WINDOW TUMBLING (SIZE 1 SECOND, GRACE PERIOD 0 SECONDS) GROUP BY k;",
        "CREATE TABLE out AS SELECT k, SUM(qty) AS s FROM events WINDOW HOPPING (SIZE 1 SECOND, ADVANCE BY 300 MILLISECONDS, GRACE PERIOD 100 MILLISECONDS) GROUP BY k;",
        "CREATE TABLE out AS SELECT k, COUNT(*) AS n FROM events WINDOW TUMBLING (SIZE 300 MILLISECONDS, GRACE PERIOD 100 MILLISECONDS) GROUP BY k EMIT FINAL;",
        "CREATE TABLE out AS SELECT k, SUM(qty) AS s FROM events WINDOW HOPPING (SIZE 1 SECOND, ADVANCE BY 300 MILLISECONDS, GRACE PERIOD 100 MILLISECONDS) GROUP BY k HAVING SUM(qty) > 9 EMIT FINAL;",
        "CREATE TABLE out AS SELECT k, COUNT(*) AS n, MAX(qty) AS m FROM events WINDOW SESSION (50 MILLISECONDS, GRACE PERIOD 200 MILLISECONDS) GROUP BY k;",
        "CREATE TABLE out AS SELECT kind, COUNT(*) AS n, SUM(qty) AS s FROM states GROUP BY kind;",
        "CREATE TABLE out AS SELECT kind, COUNT(*) AS n FROM states WHERE qty > 4 GROUP BY kind HAVING COUNT(*) > 1;",
        "CREATE TABLE out AS SELECT k, qty FROM states WHERE qty > 4;",
        "CREATE STREAM out AS SELECT e.k AS k, e.qty AS qty, o.amount AS amount FROM events e JOIN others o WITHIN 1 SECOND ON e.k = o.k;",
        "CREATE STREAM out AS SELECT e.k AS k, e.qty AS qty, o.amount AS amount FROM events e LEFT JOIN others o WITHIN 100 MILLISECONDS GRACE PERIOD 300 MILLISECONDS ON e.k = o.k;",
        "CREATE STREAM out AS SELECT ROWKEY AS k, e.qty AS qty, o.amount AS amount FROM events e FULL JOIN others o WITHIN (50 MILLISECONDS, 100 MILLISECONDS) ON e.k = o.k;",
        "CREATE STREAM out AS SELECT o.amount AS amount, e.k AS k, e.kind AS kind FROM events e RIGHT JOIN others o WITHIN 1 SECOND ON e.qty = o.amount;",
        "CREATE TABLE out AS SELECT s.k AS k, s.qty AS qty, p.amount AS amount FROM states s LEFT JOIN parts p ON s.k = p.k WHERE s.qty > 3;",
        "CREATE TABLE out AS SELECT ROWKEY AS k, s.qty AS qty, p.amount AS amount FROM states s FULL JOIN parts p ON s.k = p.k;",
        "CREATE STREAM out AS SELECT e.kind AS kind, e.k AS k, t.name AS name FROM events e JOIN kinds t ON e.kind = t.kind;",
        "CREATE STREAM out AS SELECT e.kind AS kind, e.qty AS qty, t.name AS name FROM events e LEFT JOIN kinds t ON e.kind = t.kind;",
    ] {
        check(statement);
    }
}

/// The sides of a foreign-key join exchange messages, so a row that changes again before it is answered comes out once.
#[test]
fn foreign_keys_end_up_the_same() {
    for kind in ["LEFT", "INNER"] {
        check_table(&format!(
            "CREATE TABLE out AS SELECT s.k AS k, s.qty AS qty, t.name AS name FROM states s {kind} JOIN kinds t ON s.kind = t.kind;"
        ));
    }
}

/// A stream of windows that is grouped by its key is grouped by its windows.
#[test]
fn groups_of_windowed_streams_keep_their_windows() {
    for cache in [0, 10 << 20] {
        let topology = topology("CREATE TABLE out AS SELECT k, SUM(qty) AS s FROM panes GROUP BY k;");
        let mut config = StreamsConfig::new("test");
        config.cache_max_bytes = cache;
        let mut driver = TopologyTestDriver::new(topology, config).unwrap();
        let key = |start: i64| [&b"a"[..], &start.to_be_bytes()].concat();
        for (start, qty) in [(0, 1), (10, 2), (0, 4)] {
            let value = format!("{{\"qty\":{qty}}}");
            driver.pipe("panes", Some(&key(start)), Some(value.as_bytes()), 1).unwrap();
        }
        driver.commit().unwrap();
        let rows = driver.read("out").unwrap();
        let last: std::collections::BTreeMap<_, _> =
            rows.into_iter().map(|row| (row.key.unwrap(), row.value.unwrap())).collect();
        assert_eq!(
            last,
            [(key(0), b"{\"S\":5}".to_vec()), (key(10), b"{\"S\":2}".to_vec())].into(),
            "{cache}"
        );
    }
}

/// A group that stops passing HAVING is deleted; one that never passed leaves no trace.
#[test]
fn having_deletes_what_no_longer_passes() {
    let topology =
        topology("CREATE TABLE out AS SELECT k, SUM(qty) AS s FROM events GROUP BY k HAVING SUM(qty) > 2;");
    let mut config = StreamsConfig::new("test");
    config.deserialization_handler = millstream_streams::ErrorResponse::Continue;
    config.production_handler = millstream_streams::ErrorResponse::Continue;
    config.cache_max_bytes = 0;
    let mut driver = TopologyTestDriver::new(topology, config).unwrap();
    for (time, qty) in [(1, 1), (2, 2), (3, -2), (4, -1), (5, 9)] {
        let value = format!("{{\"qty\":{qty}}}");
        driver.pipe("events", Some(b"a"), Some(value.as_bytes()), time).unwrap();
    }
    let rows = driver.read("out").unwrap();
    let values: Vec<_> = rows.iter().map(|row| row.value.as_deref().map(String::from_utf8_lossy)).collect();
    assert_eq!(values, [Some("{\"S\":3}".into()), None, Some("{\"S\":9}".into())]);
}
