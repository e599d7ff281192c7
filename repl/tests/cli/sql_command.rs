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
fn schemas_of_sql_are_in_the_data_directory() {
    let program = Program::new();
    let script = "CREATE STREAM s (k INT KEY, v STRING) WITH (KAFKA_TOPIC='s', FORMAT='AVRO', PARTITIONS=1);
        INSERT INTO s VALUES (1, 'a');";
    program.ok(&["sql", "-e", script]);
    assert_eq!(program.ok(&["schemas", "list"]), "s-key\ns-value\n");
    let query = "SELECT * FROM s EMIT CHANGES LIMIT 1;";
    let pushed = program.ok(&["sql", "--output", "csv", "--property", EARLIEST, "-e", query]);
    assert_eq!(pushed, "K,V\n1,a\n");
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
    assert!(message.contains("Line: 2, Col: 8:") && message.contains("SELECT usr FROM clicks"), "{message}");
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

#[test]
fn scripts_are_tests_with_directives() {
    let program = Program::new();
    let script = "
        --@test: rows are counted
        CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
        CREATE TABLE c AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;
        INSERT INTO s (k, v) VALUES ('a', 1);
        ASSERT VALUES c (k, n) VALUES ('a', 1);
        --@test: tables have keys
        --@expected.message: Tables require a PRIMARY KEY
        CREATE TABLE t (v INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);";
    let file = program.data_dir().with_file_name("good.sql");
    std::fs::write(&file, script).unwrap();
    let passed = program.run(&["test", file.to_str().unwrap()]).ok();
    assert!(passed.ends_with("2 passed, 0 failed\n"), "{passed}");
    let bad = program.data_dir().with_file_name("bad.sql");
    std::fs::write(
        &bad,
        script.replace("VALUES ('a', 1);\n        --@test", "VALUES ('a', 2);\n        --@test"),
    )
    .unwrap();
    let failed = program.run(&["test", bad.to_str().unwrap()]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.stdout.contains("N: expected 2, found 1"), "{}", failed.stdout);
}

#[test]
fn scripts_run_scripts_and_define_variables() {
    let program = Program::new();
    let inner = program.data_dir().with_file_name("inner.sql");
    std::fs::write(&inner, "CREATE STREAM ${name} (k STRING KEY, v INT) WITH (KAFKA_TOPIC='${name}', VALUE_FORMAT='JSON', PARTITIONS=1);").unwrap();
    let outer = program.data_dir().with_file_name("outer.sql");
    std::fs::write(
        &outer,
        format!("DEFINE name='inner_s';\nRUN SCRIPT '{}';\nSHOW STREAMS;", inner.display()),
    )
    .unwrap();
    let listed = program.run(&["sql", "-f", outer.to_str().unwrap(), "--output", "csv"]).ok();
    assert!(listed.contains("INNER_S,inner_s"), "{listed}");
}

#[test]
fn connectors_are_made_by_statements() {
    let program = Program::new();
    let file = program.data_dir().with_file_name("in.txt");
    std::fs::write(&file, "a line\n").unwrap();
    let statements = format!(
        "CREATE SOURCE CONNECTOR lines WITH ('connector.class'='FileStreamSource', 'file'='{}', 'topic'='lines');
         CREATE SOURCE CONNECTOR IF NOT EXISTS lines WITH ('connector.class'='FileStreamSource');
         SHOW CONNECTORS; DROP CONNECTOR lines; SHOW CONNECTOR PLUGINS;",
        file.display()
    );
    let shown = program.run(&["sql", "-e", &statements, "--output", "csv"]).ok();
    assert!(shown.contains("LINES,SOURCE,FileStreamSource"), "{shown}");
    assert!(shown.contains("FileStreamSink,SINK"), "{shown}");
}

#[test]
fn the_example_passes_its_test() {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights-test.sql");
    let passed = Program::new().ok(&["test", script.to_str().unwrap()]);
    assert!(passed.ends_with("3 passed, 0 failed\n"), "{passed}");
}
