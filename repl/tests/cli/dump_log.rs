//! `dump-log`.

use std::fs;

use crate::Program;

const SEGMENT: &str = "log/letters-0/00000000000000000000.log";

/// A topic with three records; returns its segment.
fn letters(program: &Program) -> String {
    let produce = ["produce", "letters", "--property", "parse.key=true", "--property", "key.separator=:"];
    program.run_with_input(&produce, b"a:1\nb:2\na:3\n").ok();
    program.data_dir().join(SEGMENT).to_str().unwrap().to_owned()
}

#[test]
fn a_segment_is_printed_as_kafka_prints_it() {
    let program = Program::new();
    let segment = letters(&program);
    let index = segment.replace(".log", ".index");
    let printed = program.ok(&["dump-log", "--files", &format!("{segment},{index}"), "--print-data-log"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], format!("Dumping {segment}"));
    assert_eq!(lines[1], "Log starting offset: 0");
    assert!(lines[2].starts_with("baseOffset: 0 lastOffset: 2 count: 3 "), "{printed}");
    assert!(lines[2].ends_with(" isvalid: true"), "{printed}");
    assert!(
        lines[3].starts_with("| offset: 0 CreateTime: ") && lines[3].ends_with(" key: a payload: 1"),
        "{printed}"
    );
    assert!(lines.contains(&format!("Dumping {index}").as_str()), "{printed}");

    let json = program.ok(&["dump-log", "--files", &segment, "--print-data-log", "--output", "json"]);
    assert!(json.lines().nth(3).unwrap().contains(r#""key":"a","payload":"1""#), "{json}");
    program.run(&["dump-log", "--files", &segment, "--output", "csv"]).failed(2);
}

#[test]
fn corruption_is_told_and_fails() {
    let program = Program::new();
    let segment = letters(&program);
    let mut bytes = fs::read(&segment).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&segment, bytes).unwrap();
    let message = program.run(&["dump-log", "--files", &segment]).failed(1);
    assert!(message.contains("is corrupt at position 0: the CRC of a batch does not match"), "{message}");
    let missing = segment.replace("letters", "numbers");
    let message = program.run(&["dump-log", "--files", &missing]).failed(1);
    assert!(message.contains(&missing), "{message}");
}
