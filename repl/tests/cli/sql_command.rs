//! `sql` and the shell.

use std::fs;

use crate::Program;

const SETUP: &str = "\
CREATE STREAM clicks (user STRING KEY, page STRING, ms INT)
  WITH (KAFKA_TOPIC='clicks', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE per_page AS SELECT page, COUNT(*) AS clicks, SUM(ms) AS ms FROM clicks GROUP BY page EMIT CHANGES;
INSERT INTO clicks (user, page, ms) VALUES ('ann', '/a', 10);
INSERT INTO clicks (user, page, ms) VALUES ('bob', '/b', 20);
INSERT INTO clicks (user, page, ms) VALUES ('ann', '/a', 30);
";

const EARLIEST: &str = "auto.offset.reset=earliest";

#[test]
fn statements_run_and_survive() {
    let program = Program::new();
    let file = program.directory.path().join("setup.sql");
    fs::write(&file, SETUP).unwrap();
    program.ok(&["sql", "--property", EARLIEST, "-f", file.to_str().unwrap()]);
    // Another process goes on with the same statements.
    let topics = program.ok(&["topics", "list", "--exclude-internal"]);
    assert!(topics.contains("clicks") && topics.contains("PER_PAGE"), "{topics}");
    let pushed = program.ok(&[
        "sql",
        "--output",
        "csv",
        "--property",
        EARLIEST,
        "-e",
        "SELECT page, ms FROM clicks EMIT CHANGES LIMIT 3;",
    ]);
    assert_eq!(pushed, "PAGE,MS\n/a,10\n/b,20\n/a,30\n");
    let pulled = program.ok(&[
        "sql",
        "--output",
        "json",
        "-e",
        "SELECT page, clicks, ms FROM per_page WHERE page = '/a';",
    ]);
    assert_eq!(pulled, "{\"PAGE\":\"/a\",\"CLICKS\":2,\"MS\":40}\n");
    let shown = program.ok(&["sql", "-e", "SHOW TABLES;"]);
    assert!(shown.contains("PER_PAGE"), "{shown}");
}

#[test]
fn a_script_on_standard_input_needs_no_terminal() {
    let program = Program::new();
    program.run_with_input(&["sql", "-f", "-"], SETUP.as_bytes()).ok();
    let shown = program.run_with_input(&["--output", "csv"], b"SHOW STREAMS;").ok();
    assert!(shown.contains("CLICKS"), "{shown}");
}

#[test]
fn errors_point_at_their_place() {
    let program = Program::new();
    program.run_with_input(&["sql", "-f", "-"], SETUP.as_bytes()).ok();
    let script = "SHOW STREAMS;\nSELECT usr FROM clicks\n EMIT CHANGES;";
    let message = program.run(&["sql", "-e", script]).failed(1);
    assert!(message.contains("line 2:8") && message.contains("SELECT usr FROM clicks"), "{message}");
    assert!(message.contains("\n         ^^^\n"), "{message}");
    assert!(message.to_uppercase().contains("USER"), "{message}");
    let message = program.run(&["sql", "-e", "SELEC 1;"]).failed(1);
    assert!(message.contains("line 1:1") && message.contains("SELECT"), "{message}");
    // Nothing of a script runs when a later statement is no SQL.
    let message = program.run(&["sql", "-e", "DROP TABLE per_page; FOO;"]).failed(1);
    assert!(message.contains("FOO"), "{message}");
    assert!(program.ok(&["sql", "-e", "SHOW TABLES;"]).contains("PER_PAGE"));
    program.run(&["sql"]).failed(2);
    program.run(&["sql", "-f", "missing.sql"]).failed(1);
    let message = program.run(&["sql", "--property", "auto.offset.rest=x", "-e", "SHOW STREAMS;"]).failed(2);
    assert!(message.contains("auto.offset.rest") && message.contains("auto.offset.reset"), "{message}");
}
