//! `connect`: files in, files out, and where the connectors will go on.

use std::fs;

use crate::Program;

fn write(program: &Program, name: &str, text: &str) {
    fs::write(program.directory.path().join(name), text).unwrap();
}

const SOURCE: &str = r#"{"name": "in", "config": {"connector.class": "FileSource", "file": "in.csv", "topic": "cities", "key.field": "code"}}"#;
const SINK: &str =
    r#"{"name": "out", "connector.class": "FileSink", "topics": "cities", "file": "out.jsonl"}"#;

#[test]
fn rows_go_from_file_to_file_once() {
    let program = Program::new();
    write(&program, "in.csv", "code,name\nb,Berlin\nr,Rome\n");
    write(&program, "source.json", SOURCE);
    write(&program, "sink.json", SINK);
    let moved = program.ok(&["connect", "run", "source.json", "sink.json", "--output", "csv"]);
    assert_eq!(moved, "connector,type,records,skipped\nin,source,2,0\nout,sink,2,0\n");
    let lines = || fs::read_to_string(program.directory.path().join("out.jsonl")).unwrap();
    assert_eq!(lines(), "{\"code\":\"b\",\"name\":\"Berlin\"}\n{\"code\":\"r\",\"name\":\"Rome\"}\n");

    // The next run takes only what is new.
    write(&program, "in.csv", "code,name\nb,Berlin\nr,Rome\no,Oslo\n");
    let moved = program.ok(&["connect", "run", "source.json", "sink.json", "--output", "csv"]);
    assert_eq!(moved, "connector,type,records,skipped\nin,source,1,0\nout,sink,1,0\n");
    assert_eq!(lines().lines().count(), 3);

    let listed = program.ok(&["connect", "list", "--output", "csv"]);
    assert_eq!(
        listed,
        "connector,type,class,topics\nin,source,FileSource,cities\nout,sink,FileSink,cities\n"
    );
    let status = program.ok(&["connect", "status", "in", "--output", "json"]);
    assert!(status.contains("\"position\":\"") && status.contains("line 5"), "{status}");
    let unknown = program.run(&["connect", "status", "inn"]).failed(1);
    assert!(unknown.contains("unknown connector inn"), "{unknown}");
}

#[test]
fn mistakes_are_named() {
    let program = Program::new();
    write(&program, "in.csv", "code,name\nb,Berlin\nr\n");
    write(&program, "source.json", SOURCE);
    let short = program.run(&["connect", "run", "source.json"]).failed(1);
    assert!(short.contains("in.csv:3") && short.contains('1') && short.contains('2'), "{short}");

    write(&program, "typo.json", &SOURCE.replace("key.field", "key.feild"));
    let typo = program.run(&["connect", "run", "typo.json"]).failed(1);
    assert!(typo.contains("key.feild") && typo.contains("key.field"), "{typo}");
    let missing = program.run(&["connect", "run", "missing.json"]).failed(1);
    assert!(missing.contains("missing.json"), "{missing}");
}
