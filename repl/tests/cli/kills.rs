//! The program killed while it writes, again and again: what it had acknowledged is compared with what is left.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::Program;

/// `MILLSTREAM_TEST_KILLS` asks for more than the quick tier's.
fn kills() -> u64 {
    std::env::var("MILLSTREAM_TEST_KILLS").map_or(15, |count| count.parse().unwrap())
}

#[test]
fn what_is_acknowledged_outlives_a_killed_program() {
    let program = Program::new();
    program.ok(&["topics", "create", "t", "--config", "segment.bytes=20000"]);
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let mut next = 0_u64;
    for round in 0..kills() {
        let mut child = program
            .command(&["produce", "t", "--sync", "--output", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
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
        // Some of the kills hit a program that has just begun.
        std::thread::park_timeout(Duration::from_millis(20 + (round * 7919) % 600));
        child.kill().unwrap();
        child.wait().unwrap();
        let offsets = reader.join().unwrap();
        acknowledged.extend(offsets.iter().zip(first..).map(|(offset, number)| (number, *offset)));
        next = writer.join().unwrap() + 1;
    }
    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for line in program.ok(&["consume", "t", "--from-beginning", "-e", "--output", "json"]).lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let number = record["value"].as_str().unwrap().parse().unwrap();
        found.entry(number).or_default().push(record["offset"].as_u64().unwrap());
    }
    let figures =
        format!("{} kills, {} records acknowledged, {} found", kills(), acknowledged.len(), found.len());
    // Past the capture of a test's output. Nobody may be reading any more: that is no reason to fail.
    let _unread = writeln!(std::io::stderr(), "{figures}");
    assert!(!acknowledged.is_empty(), "the program was never up for long enough");
    for (number, offset) in &acknowledged {
        assert_eq!(found.get(number), Some(&vec![*offset]), "record {number}");
    }
    assert!(found.values().all(|offsets| offsets.len() == 1), "nothing is there twice");
}

fn offset(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?["last_offset"].as_u64()
}
