//! What is promised about speed. Printed, not asserted: machines differ.

use std::time::{Duration, Instant};

use criterion::Criterion;
use millstream_sql::Outcome;

use crate::events::{Bench, Bits, EVENTS, KEYS};

/// Keys of the run with state on disk.
const MANY_KEYS: u64 = 100_000;
/// Rows on each side of a stream-stream join.
const SIDE: u64 = 200_000;
/// Pull queries by key.
const PULLS: usize = 200_000;

/// Runs each, unless a filter on the command line leaves it out.
pub(crate) fn promises(_: &mut Criterion) {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let runs: [(&str, fn()); 5] = [
        ("promise/rows", rows),
        ("promise/many_keys", many_keys),
        ("promise/joins", joins),
        ("promise/pulls", pulls),
        ("promise/idle", idle),
    ];
    for (name, run) in runs {
        if filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())) {
            run();
        }
    }
}

fn millions(rows: u64, time: Duration) -> f64 {
    rows as f64 / time.as_secs_f64() / 1e6
}

/// The shortest of three runs.
fn best(bench: &mut Bench, create: &str, drop: &str) -> Duration {
    (0..3).map(|_| bench.time(create, drop)).min().unwrap_or_default()
}

const TUMBLING: &str =
    "CREATE TABLE out AS SELECT rk, COUNT(*) AS n, SUM(qty) AS qty, AVG(price) AS price FROM events
     WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY rk;";

fn rows() {
    let mut bench = Bench::new();
    let time = best(
        &mut bench,
        "CREATE STREAM out AS SELECT rk, id, price * qty AS total FROM events WHERE kind = 'buy' AND price > 50.0;",
        "DROP STREAM out DELETE TOPIC;",
    );
    println!("filter and projection: {:.2} M rows/s (promised: 1.5 M)", millions(EVENTS, time));
    let time = best(&mut bench, TUMBLING, "DROP TABLE out DELETE TOPIC;");
    println!("tumbling COUNT, SUM, AVG, {KEYS} keys: {:.2} M rows/s (promised: 1 M)", millions(EVENTS, time));
    bench.run("SET 'cache.max.bytes.buffering'='0';");
    let time = best(&mut bench, TUMBLING, "DROP TABLE out DELETE TOPIC;");
    println!("the same, every update emitted: {:.2} M rows/s (promised: 0.4 M)", millions(EVENTS, time));
}

fn many_keys() {
    let mut bench = Bench::empty();
    bench.fill("events", EVENTS, MANY_KEYS);
    // The default, and that of ksqlDB.
    for interval in [100, 2000] {
        bench.run(&format!("SET 'commit.interval.ms'='{interval}';"));
        let time = best(&mut bench, TUMBLING, "DROP TABLE out DELETE TOPIC;");
        println!(
            "tumbling COUNT, SUM, AVG, {MANY_KEYS} keys, RocksDB, exactly once, commits every {interval} ms: {:.2} M \
             rows/s (promised: 0.5 M)",
            millions(EVENTS, time)
        );
    }
}

fn joins() {
    let mut bench = Bench::new();
    bench.run(
        "CREATE TABLE totals AS SELECT rk, COUNT(*) AS n FROM events GROUP BY rk;
         CREATE STREAM changes (rk STRING KEY, n BIGINT) WITH (KAFKA_TOPIC='TOTALS', VALUE_FORMAT='JSON');",
    );
    assert!(bench.engine.wait_caught_up(Duration::from_secs(120)).expect("no error"), "caught up");
    let time = best(
        &mut bench,
        "CREATE STREAM out AS SELECT e.rk, e.id, t.n FROM events e JOIN totals t ON e.rk = t.rk;",
        "DROP STREAM out DELETE TOPIC;",
    );
    println!("stream-table join: {:.2} M rows/s (promised: 0.5 M)", millions(EVENTS, time));
    let mut bench = Bench::empty();
    bench.fill("orders", SIDE, 10_000);
    bench.fill("payments", SIDE, 10_000);
    let time = best(
        &mut bench,
        "CREATE STREAM out AS SELECT o.rk, o.id, p.id FROM orders o JOIN payments p
             WITHIN 1 SECOND GRACE PERIOD 1 SECOND ON o.rk = p.rk;",
        "DROP STREAM out DELETE TOPIC;",
    );
    println!("stream-stream join: {:.2} M rows/s and side (promised: 0.2 M)", millions(SIDE, time));
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn pulls() {
    let mut bench = Bench::new();
    bench.run("CREATE TABLE totals AS SELECT rk, COUNT(*) AS n FROM events GROUP BY rk;");
    assert!(bench.engine.wait_caught_up(Duration::from_secs(120)).expect("no error"), "caught up");
    let mut bits = Bits(7);
    let mut times = Vec::with_capacity(PULLS);
    let start = Instant::now();
    for _ in 0..PULLS {
        let query = format!("SELECT n FROM totals WHERE rk = 'k{:08}';", (bits.next() >> 24) % KEYS);
        let begin = Instant::now();
        let outcome = bench.engine.execute(&mut bench.session, &query).expect("it answers").pop();
        times.push(begin.elapsed());
        assert!(matches!(outcome, Some(Outcome::Table(rows)) if rows.rows() == 1), "{query}");
    }
    let rate = PULLS as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    let p99 = times[PULLS * 99 / 100];
    println!("pull queries by key: {rate:.0}/s (promised: 50000), p99 {p99:?} (promised: 1 ms)");
}

/// Bytes of memory that are the process's now.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = status.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}

/// Ticks of a hundredth of a second that the process has used.
fn ticks() -> u64 {
    let status = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = status.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn idle() {
    const QUERIES: u64 = 1_000;
    let mut bench = Bench::empty();
    bench.run(
        "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);",
    );
    let before = resident();
    for number in 0..QUERIES {
        bench.run(&format!("CREATE STREAM out_{number} AS SELECT k, v + {number} AS v FROM s;"));
    }
    std::thread::sleep(Duration::from_secs(2));
    let memory = resident().saturating_sub(before);
    let (start, used) = (Instant::now(), ticks());
    std::thread::sleep(Duration::from_secs(10));
    let share = (ticks() - used) as f64 / start.elapsed().as_secs_f64();
    println!(
        "{QUERIES} idle queries: {} MB (promised: 200), {share:.1} % of a core (promised: 1 %)",
        memory / 1_000_000
    );
}
