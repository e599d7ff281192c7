//! The program killed while it is at work, again and again: what it had said, kept outside, is compared with what is
//! left.
//!
//! | Workload | What must hold |
//! | --- | --- |
//! | acknowledged | every acknowledged value at its offset, nothing twice |
//! | producers | each producer's values in order and once, whatever cut it off |
//! | copy | an exactly-once query has copied every row once, in order |
//! | group | members that come and go read every record, and their offsets never go back |

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Program;

/// `MILLSTREAM_TEST_KILLS` asks for more than the quick tier's.
fn kills() -> u64 {
    std::env::var("MILLSTREAM_TEST_KILLS").map_or(15, |count| count.parse().unwrap())
}

fn start(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Some of the kills hit a program that has just begun.
fn let_run(round: u64, most: u64) {
    std::thread::park_timeout(Duration::from_millis(20 + (round * 7919) % most));
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Says figures past the capture of a test's output. Nobody may be reading any more: that is no reason to fail.
fn tell(figures: &str) {
    let _unread = writeln!(std::io::stderr(), "{figures}");
}

/// All records of a topic as JSON, by partition in offset order.
fn records(program: &Program, topic: &str) -> BTreeMap<u64, Vec<Value>> {
    let arguments =
        ["consume", topic, "--from-beginning", "-e", "--isolation", "read_committed", "--output", "json"];
    let mut found: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for line in program.ok(&arguments).lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        found.entry(record["partition"].as_u64().unwrap()).or_default().push(record);
    }
    found
}

fn offset(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?["last_offset"].as_u64()
}

#[test]
fn what_is_acknowledged_outlives_a_killed_program() {
    let program = Program::new();
    program.ok(&["topics", "create", "t", "--config", "segment.bytes=20000"]);
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let mut next = 0_u64;
    for round in 0..kills() {
        let mut child = start(program.command(&["produce", "t", "--sync", "--output", "json"]));
        let (mut input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let first = next;
        let writer = std::thread::spawn(move || {
            let mut number = first;
            // Ends when nobody reads any more.
            while writeln!(input, "{number}").is_ok() {
                number += 1;
            }
            number
        });
        let reader = std::thread::spawn(move || {
            // The last line may be cut off by the kill.
            output.lines().map_while(Result::ok).filter_map(|line| offset(&line)).collect::<Vec<_>>()
        });
        let_run(round, 600);
        kill(child);
        let offsets = reader.join().unwrap();
        acknowledged.extend(offsets.iter().zip(first..).map(|(offset, number)| (number, *offset)));
        next = writer.join().unwrap() + 1;
    }
    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for record in records(&program, "t").into_values().flatten() {
        let number = record["value"].as_str().unwrap().parse().unwrap();
        found.entry(number).or_default().push(record["offset"].as_u64().unwrap());
    }
    tell(&format!("{} kills, {} records acknowledged, {} found", kills(), acknowledged.len(), found.len()));
    assert!(!acknowledged.is_empty(), "the program was never up for long enough");
    for (number, offset) in &acknowledged {
        assert_eq!(found.get(number), Some(&vec![*offset]), "record {number}");
    }
    assert!(found.values().all(|offsets| offsets.len() == 1), "nothing is there twice");
}

/// What ends a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Killed,
    /// Its input ends, which is how it should end.
    InputEnds,
    /// Nobody takes its acknowledgements any more.
    NobodyListens,
}

#[test]
fn producers_that_are_cut_off_leave_their_records_once_and_in_order() {
    const PRODUCERS: u64 = 3;
    let program = Program::new();
    program.ok(&["topics", "create", "t", "--partitions", "2", "--config", "segment.bytes=20000"]);
    // Next numbers, and those that were certain to be written.
    let (mut next, mut written) = ([0_u64; PRODUCERS as usize], Vec::new());
    for round in 0..kills() {
        let producer = round % PRODUCERS;
        let cut = [Cut::Killed, Cut::InputEnds, Cut::Killed, Cut::NobodyListens][round as usize % 4];
        let mut arguments = vec!["produce", "t", "--output", "json", "--batch-size", "200"];
        arguments.extend(["--property", "parse.key=true", "--property", "key.separator=:"]);
        if cut == Cut::NobodyListens {
            arguments.push("--sync");
        }
        let mut child = start(program.command(&arguments));
        let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let first = next[producer as usize];
        let (stop, stopped) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            let mut number = first;
            while stopped.try_recv().is_err() && writeln!(input, "p{producer}:{number}").is_ok() {
                number += 1;
            }
            number
        });
        if cut == Cut::NobodyListens {
            drop(output);
        }
        let_run(round, 500);
        if cut == Cut::Killed {
            child.kill().unwrap();
        }
        // It may have ended by itself.
        let _ended = stop.send(());
        let end = writer.join().unwrap();
        let status = child.wait().unwrap();
        if cut == Cut::InputEnds {
            assert!(status.success(), "{status}");
            written.extend((first..end).map(|number| (producer, number)));
        }
        next[producer as usize] = end + 1;
    }
    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (partition, records) in records(&program, "t") {
        for record in records {
            let producer = record["key"].as_str().unwrap().strip_prefix('p').unwrap().parse().unwrap();
            let number: u64 = record["value"].as_str().unwrap().parse().unwrap();
            let known = found.entry(producer).or_default();
            let last = known.last();
            assert!(last.is_none_or(|last| *last < number), "p{producer} in {partition}: {last:?}, {number}");
            known.push(number);
        }
    }
    let total: usize = found.values().map(Vec::len).sum();
    tell(&format!("{} cuts of producers, {} records certain, {total} found", kills(), written.len()));
    for (producer, number) in written {
        assert!(found[&producer].binary_search(&number).is_ok(), "p{producer} has lost {number}");
    }
}

#[test]
fn a_query_that_is_killed_copies_every_row_once_and_in_order() {
    const EARLIEST: &str = "auto.offset.reset=earliest";
    const ROWS: u64 = 400;
    let program = Program::new();
    let setup = "CREATE STREAM source (id STRING KEY, n BIGINT)
          WITH (KAFKA_TOPIC='source', VALUE_FORMAT='JSON', PARTITIONS=2);
        CREATE STREAM copied WITH (KAFKA_TOPIC='copied', VALUE_FORMAT='JSON', PARTITIONS=2) AS
          SELECT id, n FROM source EMIT CHANGES;";
    program.ok(&["sql", "--property", EARLIEST, "-e", setup]);
    let keyed = ["produce", "source", "--property", "parse.key=true", "--property", "key.separator=|"];
    for round in 0..kills() {
        let rows = (round * ROWS..(round + 1) * ROWS).map(|n| format!("k{}|{{\"N\":{n}}}\n", n % 13));
        program.run_with_input(&keyed, rows.collect::<String>().as_bytes()).ok();
        // The query is at work as long as somebody watches what it does.
        let watching = start(program.command(&["sql", "-e", "SELECT n FROM copied EMIT CHANGES;"]));
        let_run(round, 900);
        kill(watching);
    }
    let in_order = |topic| -> BTreeMap<u64, Vec<(Value, Value)>> {
        let row = |record: Value| (record["key"].clone(), record["value"].clone());
        let rows = |(partition, records): (u64, Vec<Value>)| {
            (partition, records.into_iter().map(row).collect::<Vec<_>>())
        };
        records(&program, topic).into_iter().map(rows).collect()
    };
    let before: usize = in_order("copied").values().map(Vec::len).sum();
    // Lets the query catch up.
    program.ok(&["sql", "-e", "INSERT INTO source (id, n) VALUES ('last', -1);"]);
    let (source, copied) = (in_order("source"), in_order("copied"));
    let total: usize = source.values().map(Vec::len).sum();
    tell(&format!("{} kills of a query, {total} rows, {before} of them copied in between", kills()));
    assert_eq!(total as u64, kills() * ROWS + 1);
    for (partition, rows) in &source {
        let copies = copied.get(partition).map_or(&[][..], Vec::as_slice);
        let first = rows.iter().zip(copies).position(|(row, copy)| row != copy);
        assert_eq!((first, copies.len()), (None, rows.len()), "partition {partition}");
    }
    assert_eq!(copied.len(), source.len());
}

#[test]
fn members_that_are_killed_leave_nothing_unread() {
    const RECORDS: u64 = 300;
    let program = Program::new();
    program.ok(&["topics", "create", "t", "--partitions", "3", "--config", "segment.bytes=20000"]);
    let (mut read, mut committed) = (BTreeMap::<(u64, u64), String>::new(), BTreeMap::<u64, u64>::new());
    let mut reads = 0;
    for round in 0..kills() {
        let lines = (round * RECORDS..(round + 1) * RECORDS).map(|n| format!("k{}:{n}\n", n % 29));
        let keyed = ["produce", "t", "--property", "parse.key=true", "--property", "key.separator=:"];
        program.run_with_input(&keyed, lines.collect::<String>().as_bytes()).ok();
        let mut arguments = vec!["consume", "t", "--from-beginning", "--group", "g", "--output", "json"];
        let commits = ["--consumer-property", "auto.commit.interval.ms=1"];
        arguments.extend(commits.into_iter().chain(["--consumer-property", "max.poll.records=20"]));
        if round % 3 == 1 {
            // It comes back under the same name, or takes over from the one that was killed.
            arguments.extend(["--consumer-property", "group.instance.id=one"]);
            arguments.extend(["--consumer-property", "max.poll.interval.ms=100"]);
        }
        let mut member = start(program.command(&arguments));
        let output = BufReader::new(member.stdout.take().unwrap());
        let reader = std::thread::spawn(move || output.lines().map_while(Result::ok).collect::<Vec<_>>());
        let_run(round, 400);
        kill(member);
        for line in reader.join().unwrap() {
            let Ok(record) = serde_json::from_str::<Value>(&line) else { continue };
            let at = (record["partition"].as_u64().unwrap(), record["offset"].as_u64().unwrap());
            let value = record["value"].as_str().unwrap().to_owned();
            let before = read.insert(at, value.clone());
            assert!(before.is_none_or(|before| before == value), "{at:?} was another record");
            reads += 1;
        }
        check_offsets(&program, &read, &mut committed);
    }
    // The last member reads what is left.
    let rest =
        ["consume", "t", "--from-beginning", "--group", "g", "--output", "json", "--timeout-ms", "2000"];
    for line in program.ok(&rest).lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let at = (record["partition"].as_u64().unwrap(), record["offset"].as_u64().unwrap());
        read.insert(at, record["value"].as_str().unwrap().to_owned());
        reads += 1;
    }
    tell(&format!("{} kills of members, {} records, {reads} reads", kills(), read.len()));
    let expected: BTreeMap<(u64, u64), String> = records(&program, "t")
        .into_iter()
        .flat_map(|(partition, records)| records.into_iter().map(move |record| (partition, record)))
        .map(|(partition, record)| {
            ((partition, record["offset"].as_u64().unwrap()), record["value"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(expected.len() as u64, kills() * RECORDS);
    let unread: Vec<_> = expected.iter().filter(|(at, value)| read.get(at) != Some(value)).take(3).collect();
    assert!(unread.is_empty(), "not read: {unread:?} ..");
    assert_eq!(read.len(), expected.len());
}

/// The group's offsets do not go back, and nobody has committed what nobody has read.
fn check_offsets(program: &Program, read: &BTreeMap<(u64, u64), String>, committed: &mut BTreeMap<u64, u64>) {
    let described = program.run(&["groups", "describe", "g", "--output", "json"]);
    if described.code != Some(0) {
        assert!(committed.is_empty(), "the group is gone: {}", described.stderr);
        return;
    }
    for line in described.stdout.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| row[name].as_u64();
        let Some(partition) = field("partition") else { panic!("no partition in {line}") };
        let offset = field("current_offset").unwrap_or(0);
        let before = committed.insert(partition, offset).unwrap_or(0);
        assert!(before <= offset, "partition {partition} went back from {before} to {offset}");
        if let Some(unread) = (0..offset).find(|offset| !read.contains_key(&(partition, *offset))) {
            panic!("{offset} is committed in partition {partition}, but nobody has read {unread}");
        }
    }
}
