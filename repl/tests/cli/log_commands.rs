//! `topics`, `produce`, `consume` and `perf`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::Program;

#[test]
fn a_topic_lives_through_its_commands() {
    let program = Program::new();
    assert_eq!(program.ok(&["topics", "list"]), "");
    let created =
        program.ok(&["topics", "create", "orders", "--partitions", "3", "--config", "retention.ms=86400000"]);
    assert_eq!(created, "Created topic orders.\n");
    assert_eq!(program.ok(&["topics", "list"]), "orders\n");

    let again = program.run(&["topics", "create", "--topic", "orders"]).failed(1);
    assert!(again.contains("orders") && again.contains("exists"), "{again}");
    program.ok(&["topics", "create", "orders", "--if-not-exists"]);

    let described = program.ok(&["topics", "describe", "orders"]);
    assert!(described.starts_with("Topic: orders\tTopicId: "), "{described}");
    assert!(
        described.contains("PartitionCount: 3\tReplicationFactor: 1\tConfigs: retention.ms=86400000"),
        "{described}"
    );
    assert_eq!(described.lines().count(), 4);
    let json = program.ok(&["topics", "describe", "orders", "--output", "json"]);
    assert!(
        json.lines().next().unwrap().contains(r#""partition":0,"log_start_offset":0,"log_end_offset":0"#),
        "{json}"
    );

    assert_eq!(program.ok(&["topics", "delete", "orders"]), "");
    let gone = program.run(&["topics", "delete", "orders"]).failed(1);
    assert!(gone.contains("orders"), "{gone}");
    program.ok(&["topics", "delete", "orders", "--if-exists"]);
}

#[test]
fn what_is_produced_is_consumed() {
    let program = Program::new();
    let keyed = ["--property", "parse.key=true", "--property", "key.separator=:"];
    let mut produce = vec!["produce", "letters"];
    produce.extend(keyed);
    program.run_with_input(&produce, b"a:1\nb:2\na:3\n").ok();

    let show = ["--property", "print.key=true", "--property", "key.separator=:"];
    let mut consume = vec!["consume", "letters", "--from-beginning", "--max-messages", "3"];
    consume.extend(show);
    assert_eq!(program.ok(&consume), "a:1\nb:2\na:3\n");

    // A group goes on where it stopped, even in the middle of a batch.
    let mut grouped = vec!["consume", "letters", "--from-beginning", "--group", "g", "--timeout-ms", "300"];
    grouped.extend(show);
    let first: Vec<&str> = grouped.iter().copied().chain(["--max-messages", "1"]).collect();
    assert_eq!(program.ok(&first), "a:1\n");
    assert_eq!(program.ok(&grouped), "b:2\na:3\n");
    assert_eq!(program.ok(&grouped), "");

    let json =
        program.ok(&["consume", "letters", "--from-beginning", "--max-messages", "1", "--output", "json"]);
    assert!(json.contains(r#""key":"a""#) && json.contains(r#""offset":0"#), "{json}");
    let tail =
        program.ok(&["consume", "letters", "--partition", "0", "--offset", "2", "--max-messages", "1"]);
    assert_eq!(tail, "3\n");
}

#[test]
fn headers_and_bytes_survive() {
    let program = Program::new();
    let produce = [
        "produce",
        "t",
        "--property",
        "parse.headers=true",
        "--property",
        "parse.key=true",
        "--property",
        "null.marker=NIL",
    ];
    program.run_with_input(&produce, b"h1:v1,h2:v2\tk\t\xff\xfe\n\tk\tNIL\n").ok();
    let shown = program.ok(&["consume", "t", "--from-beginning", "--max-messages", "2", "--output", "json"]);
    assert!(shown.contains(r#""headers":[{"key":"h1","value":"v1"},{"key":"h2","value":"v2"}]"#), "{shown}");
    assert!(shown.contains(r#""value_base64":"//4=""#), "{shown}");
    assert!(shown.lines().nth(1).unwrap().contains(r#""value":null"#), "{shown}");
}

#[test]
fn mistakes_are_named() {
    let program = Program::new();
    program.ok(&["topics", "create", "orders"]);
    for (arguments, code, words) in [
        (&["consume", "ordrs", "--from-beginning"][..], 1, &["ordrs", "orders"][..]),
        (&["topics", "create", "x", "--config", "retention.msx=1"], 1, &["retention.msx", "retention.ms"]),
        (&["topics", "create", "no spaces"], 1, &["no spaces"]),
        (&["produce", "orders", "--producer-property", "batch.sizes=1"], 1, &["batch.sizes", "batch.size"]),
        (&["consume", "orders", "--consumer-property", "group.idd=1"], 1, &["group.idd", "group.id"]),
        (&["consume", "orders", "--property", "print.kei=true"], 2, &["print.kei", "print.key"]),
        (&["consume", "orders", "--partition", "0", "--offset", "soon"], 2, &["soon", "earliest"]),
        (&["topics"], 2, &["Usage"]),
        (&["topcs"], 2, &["topics"]),
    ] {
        let message = program.run(arguments).failed(code);
        for word in words {
            assert!(message.contains(word), "{arguments:?}: {message}");
        }
    }
    let bad_line = program
        .run_with_input(&["produce", "orders", "--property", "parse.key=true"], b"a\t1\nbroken\n")
        .failed(1);
    assert!(bad_line.contains("line 2"), "{bad_line}");
    // What came before the bad line is there.
    assert_eq!(program.ok(&["consume", "orders", "--from-beginning", "--max-messages", "1"]), "1\n");
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let program = Program::new();
    let mut holder =
        program.command(&["produce", "t"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The warning about the new topic tells that the log is open.
    let mut line = String::new();
    BufReader::new(holder.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    let message = program.run(&["topics", "list"]).failed(1);
    assert!(message.contains("in use by") && message.contains(&holder.id().to_string()), "{message}");
    holder.stdin.take().unwrap().write_all(b"v\n").unwrap();
    assert!(holder.wait().unwrap().success());
    assert_eq!(program.ok(&["consume", "t", "--from-beginning", "--max-messages", "1"]), "v\n");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let program = Program::new();
    let lines: String = (0..200_000).map(|number| format!("{number}\n")).collect();
    program.run_with_input(&["produce", "numbers"], lines.as_bytes()).ok();
    let mut child = program
        .command(&["consume", "numbers", "--from-beginning"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "0\n");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{stderr}");

    // Standard error may be closed too.
    let mut child = program
        .command(&["consume", "numbers", "--from-beginning", "--max-messages", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_interrupted_consumer_says_so_with_its_code() {
    let program = Program::new();
    program.run_with_input(&["produce", "t"], b"one\n").ok();
    let mut child = program
        .command(&["consume", "t", "--from-beginning"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "one\n");
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn perf_refuses_records_that_no_request_takes() {
    let program = Program::new();
    let load = ["perf", "produce", "--topic", "load", "--num-records", "1", "--record-size", "100000000"];
    let stderr = program.run(&load).failed(2);
    assert!(stderr.contains("a value of 100000000 bytes is more than max.request.size, 1048576"), "{stderr}");
}

#[test]
fn perf_reports_what_it_did() {
    let program = Program::new();
    let written =
        program.ok(&["perf", "produce", "--topic", "load", "--num-records", "20000", "--record-size", "50"]);
    assert!(written.contains("20000 records sent, ") && written.contains("ms 99.9th"), "{written}");
    let paced = program.ok(&[
        "perf",
        "produce",
        "load",
        "--num-records",
        "200",
        "--throughput",
        "2000",
        "--output",
        "json",
    ]);
    let figures: serde_json::Value = serde_json::from_str(&paced).unwrap();
    let rate = figures["records_per_second"].as_f64().unwrap();
    assert!((500.0..=2200.0).contains(&rate), "{paced}");
    let read = program.ok(&["perf", "consume", "load", "--output", "json"]);
    let figures: serde_json::Value = serde_json::from_str(&read).unwrap();
    assert_eq!(figures["data.consumed.in.nMsg"], 20_200, "{read}");
}
