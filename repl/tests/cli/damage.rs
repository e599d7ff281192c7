//! Data directories that were damaged, lost in part, or cannot be used.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Program;

const SEGMENT: &str = "log/numbers-0/00000000000000000000.log";

/// A topic of several batches; returns its segment.
fn numbers(program: &Program) -> PathBuf {
    let lines = |from: u32| (from..from + 1000).map(|number| format!("{number}\n")).collect::<String>();
    for from in [0, 1000, 2000] {
        program.run_with_input(&["produce", "numbers"], lines(from).as_bytes()).ok();
    }
    program.data_dir().join(SEGMENT)
}

fn unmark(data_dir: &Path) {
    fs::remove_file(data_dir.join("log/.kafka_cleanshutdown")).unwrap();
}

fn consume(program: &Program) -> (usize, String) {
    let ran = program.run(&["consume", "numbers", "--from-beginning", "--timeout-ms", "200"]);
    let lines = ran.stdout.lines().count();
    (lines, ran.failed(1))
}

#[test]
fn a_corrupt_byte_is_named_and_what_is_before_it_is_read() {
    let program = Program::new();
    let segment = numbers(&program);
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&segment, &bytes).unwrap();
    // After a clean close its readers find it, after a crash the next start does.
    for _ in 0..2 {
        let (lines, message) = consume(&program);
        assert!((1..3000).contains(&lines), "{lines}");
        for part in [segment.to_str().unwrap(), "is corrupt at position", "restore the file from a copy"] {
            assert!(message.contains(part), "{message}");
        }
        let _gone_by_now = fs::remove_file(program.data_dir().join("log/.kafka_cleanshutdown"));
    }
    let message = program.run_with_input(&["produce", "numbers"], b"more\n").failed(1);
    assert!(message.contains("is corrupt at position"), "{message}");
    assert_eq!(fs::read(&segment).unwrap(), bytes, "what is left stays for a repair");
}

#[test]
fn a_lost_tail_is_reported_by_every_run() {
    let program = Program::new();
    let segment = numbers(&program);
    unmark(&program.data_dir());
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 10]).unwrap();
    for _ in 0..3 {
        program.ok(&["topics", "list"]);
        let (lines, message) = consume(&program);
        assert_eq!(lines, 2000);
        assert!(
            message.contains("is corrupt at position") && message.contains("(offsets 2000 to 2999)"),
            "{message}"
        );
    }
}

#[test]
fn lost_indexes_and_state_come_back() {
    let program = Program::new();
    let script = "\
        CREATE STREAM clicks (page STRING, ms INT) WITH (KAFKA_TOPIC='clicks', VALUE_FORMAT='JSON', PARTITIONS=1);\
        CREATE TABLE per_page AS SELECT page, SUM(ms) AS ms FROM clicks GROUP BY page EMIT CHANGES;\
        INSERT INTO clicks (page, ms) VALUES ('/a', 10); INSERT INTO clicks (page, ms) VALUES ('/a', 30);";
    program.ok(&["sql", "--property", "auto.offset.reset=earliest", "-e", script]);
    let total =
        || program.ok(&["sql", "--output", "csv", "-e", "SELECT ms FROM per_page WHERE page = '/a';"]);
    assert_eq!(total(), "MS\n40\n");
    let state = program.data_dir().join("state");
    fs::remove_dir_all(&state).unwrap();
    assert_eq!(total(), "MS\n40\n");
    for application in fs::read_dir(&state).unwrap() {
        fs::remove_file(application.unwrap().path().join("rocksdb/CURRENT")).unwrap();
    }
    assert_eq!(total(), "MS\n40\n");
    fs::remove_file(program.data_dir().join("log/clicks-0/00000000000000000000.index")).unwrap();
    assert_eq!(
        program.ok(&["consume", "clicks", "--from-beginning", "--max-messages", "2"]).lines().count(),
        2
    );
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let program = Program::new();
    let file = program.directory.path().join("file");
    fs::write(&file, "").unwrap();
    for directory in [file.to_str().unwrap(), "/proc/millstream"] {
        let message = program.run(&["--data-dir", directory, "topics", "list"]).failed(1);
        assert!(message.contains(directory), "{message}");
    }
}

#[test]
fn a_log_without_a_sound_catalogue_is_repaired() {
    let program = Program::new();
    numbers(&program);
    let catalogue = program.data_dir().join("log/catalogue.json");
    fs::write(&catalogue, "{}").unwrap();
    assert!(program.run(&["topics", "list"]).failed(1).contains("catalogue.json"));
    let told = program.run(&["repair", "--output", "json"]);
    assert!(told.stdout.contains("numbers (1)"), "{}", told.stdout);
    assert!(told.failed(1).contains("--execute"));
    program.ok(&["repair", "--execute"]);
    assert_eq!(program.ok(&["topics", "list"]), "numbers\n");
    let read = program.ok(&["consume", "numbers", "--from-beginning", "-e"]);
    assert_eq!(read.lines().count(), 3000);
    assert_eq!(fs::read(catalogue.with_file_name("catalogue.json.damaged")).unwrap(), b"{}");
}
