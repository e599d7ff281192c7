//! Groups, settings, transactions, offsets and repairs, by the options of Kafka's tools.

use std::fs;

use serde_json::Value;

use super::Program;

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A topic of three partitions with 100 records, read whole by the group `billing`.
fn billing() -> Program {
    let program = Program::new();
    program.ok(&["topics", "create", "orders", "--partitions", "3"]);
    let lines: String = (0..100).map(|number| format!("k{number}\tv{number}\n")).collect();
    program.run_with_input(&["produce", "orders", "--property", "parse.key=true"], lines.as_bytes()).ok();
    let read = program.ok(&["consume", "orders", "--group", "billing", "--from-beginning", "--exit-at-end"]);
    assert_eq!(read.lines().count(), 100);
    program
}

fn lag(program: &Program) -> Vec<(u64, u64, u64)> {
    let rows = json(&program.ok(&["groups", "describe", "billing", "--output", "json"]));
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
    rows.iter()
        .map(|row| (number(row, "current_offset"), number(row, "log_end_offset"), number(row, "lag")))
        .collect()
}

#[test]
fn a_group_is_listed_described_and_deleted() {
    let program = billing();
    assert_eq!(program.ok(&["groups", "list"]), "billing\n");
    assert!(program.ok(&["groups", "list", "--state", "empty"]).contains("Empty"));
    assert_eq!(program.ok(&["groups", "list", "--state", "Stable", "--output", "json"]), "");
    assert!(program.run(&["groups", "list", "--state", "Idle"]).failed(2).contains("known are Empty"));
    let described = program.run(&["groups", "describe", "--group", "billing"]);
    assert!(described.stderr.contains("has no active members"), "{}", described.stderr);
    assert!(described.ok().contains("LOG-END-OFFSET"));
    assert!(lag(&program).iter().all(|(current, end, lag)| current == end && *lag == 0));
    program.ok(&["groups", "delete", "billing"]);
    assert!(program.run(&["groups", "describe", "billing"]).failed(1).contains("billing"));
}

#[test]
fn offsets_are_moved_only_when_told_to() {
    let program = billing();
    let reset = ["groups", "reset-offsets", "billing", "--all-topics", "--to-earliest"];
    let shown = program.run(&reset);
    assert!(shown.stderr.contains("add --execute"), "{}", shown.stderr);
    assert_eq!(shown.ok().matches("billing").count(), 3);
    assert!(lag(&program).iter().all(|(_, _, lag)| *lag == 0));
    program.ok(&[reset.as_slice(), &["--execute"]].concat());
    assert_eq!(lag(&program).iter().map(|(_, _, lag)| lag).sum::<u64>(), 100);

    // What an export says can be read back.
    let exported =
        program.ok(&["groups", "reset-offsets", "billing", "--all-topics", "--to-latest", "--export"]);
    let file = program.data_dir().with_file_name("offsets.csv");
    fs::write(&file, exported).unwrap();
    let from_file =
        ["groups", "reset-offsets", "billing", "--from-file", file.to_str().unwrap(), "--execute"];
    program.ok(&from_file);
    assert!(lag(&program).iter().all(|(_, _, lag)| *lag == 0));

    let shifted =
        program.run(&["groups", "reset-offsets", "billing", "--topic", "orders:1", "--shift-by", "-1000"]);
    assert!(shifted.stderr.contains("taking 0 instead"), "{}", shifted.stderr);
    let two_modes = ["groups", "reset-offsets", "billing", "--all-topics", "--to-earliest", "--to-latest"];
    program.run(&two_modes).failed(2);
    let no_scope = program.run(&["groups", "reset-offsets", "billing", "--to-earliest"]).failed(2);
    assert!(no_scope.contains("--all-topics"), "{no_scope}");
}

#[test]
fn settings_change_while_a_topic_is_there() {
    let program = Program::new();
    program.ok(&["topics", "create", "t"]);
    program.ok(&[
        "configs",
        "alter",
        "t",
        "--add-config",
        "cleanup.policy=[compact,delete],retention.ms=1000",
    ]);
    let shown = program.ok(&["configs", "describe", "--topic", "t"]);
    assert!(
        shown.contains("cleanup.policy=compact,delete") && shown.contains("retention.ms=1000"),
        "{shown}"
    );
    program.ok(&["configs", "alter", "t", "--delete-config", "retention.ms"]);
    assert!(!program.ok(&["configs", "describe", "t"]).contains("retention.ms"));
    let all = json(&program.ok(&["configs", "describe", "t", "--all", "--output", "json"]));
    assert!(all.iter().any(|entry| entry["name"] == "segment.bytes" && entry["source"] == "DEFAULT_CONFIG"));
    let message = program.run(&["configs", "alter", "t", "--add-config", "retention.mss=1"]).failed(1);
    assert!(message.contains("retention.ms"), "{message}");
    assert!(program.run(&["configs", "alter", "t"]).failed(2).contains("nothing to change"));
}

#[test]
fn offsets_and_records_of_topics() {
    let program = Program::new();
    program.ok(&["topics", "create", "t"]);
    program.run_with_input(&["produce", "t", "--compression-codec", "zstd"], b"a\nb\nc\n").ok();
    assert_eq!(program.ok(&["topics", "offsets", "t"]), "t:0:3\n");
    assert_eq!(program.ok(&["topics", "offsets", "--topic-partitions", "t:0", "--time", "-2"]), "t:0:0\n");
    assert_eq!(program.ok(&["topics", "offsets", "t", "--time", "2100-01-01T00:00:00"]), "t:0:\n");
    let deleted = program.ok(&["topics", "delete-records", "t:0:2"]);
    assert_eq!(deleted, "partition: t-0\tlow_watermark: 2\n");
    assert_eq!(program.ok(&["consume", "t", "--from-beginning", "-e"]), "c\n");
    assert!(program.run(&["topics", "delete-records", "t:0:9"]).failed(1).contains("offset 9"));
    program.run(&["topics", "delete-records", "t:0:1", "t:0:2"]).failed(2);
    let file = program.data_dir().with_file_name("delete.json");
    fs::write(&file, r#"{"partitions":[{"topic":"t","partition":0,"offset":-1}],"version":1}"#).unwrap();
    program.ok(&["topics", "delete-records", "--offset-json-file", file.to_str().unwrap()]);
    assert_eq!(program.ok(&["topics", "offsets", "t", "--time", "earliest"]), "t:0:3\n");
    program.ok(&["topics", "alter", "t", "--partitions", "2"]);
    assert_eq!(program.ok(&["topics", "offsets", "t", "--partitions", "1"]), "t:1:0\n");
    program.run(&["topics", "alter", "t", "--partitions", "1"]).failed(1);
    assert_eq!(program.ok(&["topics", "list", "--topic", "t|u"]), "t\n");
}

#[test]
fn records_are_read_from_where_one_says() {
    let program = Program::new();
    program.ok(&["topics", "create", "t"]);
    let file = program.data_dir().with_file_name("lines.txt");
    fs::write(&file, "h:1\ta\nh:2\tb\nh:3\tc\n").unwrap();
    let produce = ["produce", "t", "--file", file.to_str().unwrap(), "--property", "parse.headers=true"];
    program.ok(&produce);
    let read = |options: &[&str]| program.ok(&[&["consume", "t", "-e"], options].concat());
    assert_eq!(read(&["--offset", "1"]), "b\nc\n");
    assert_eq!(read(&["-o", "-1", "--property", "print.headers=true"]), "h:3\tc\n");
    assert_eq!(read(&["-o", "s@0", "--partition", "0", "-c", "1"]), "a\n");
    assert_eq!(read(&["--from-beginning", "--value-deserializer", "hex"]), "61\n62\n63\n");
    let message =
        program.run(&["consume", "t", "--from-beginning", "-e", "--value-deserializer", "long"]).failed(1);
    assert!(message.contains("t-0, offset 0") && message.contains("8 bytes, not 1"), "{message}");
    let skipping = ["--from-beginning", "--value-deserializer", "long", "--skip-message-on-error"];
    assert_eq!(read(&skipping), "");
    let included = ["consume", "--include", "[a-z]", "--from-beginning", "-e"];
    assert_eq!(program.ok(&included).lines().count(), 3);
    let acknowledged = program.run_with_input(&["produce", "t", "--sync", "--output", "json"], b"d\n").ok();
    assert_eq!(acknowledged, "{\"partition\":0,\"first_offset\":3,\"last_offset\":3}\n");
}

#[test]
fn transactions_are_listed_and_described() {
    let program = Program::new();
    let produce = ["perf", "produce", "t", "--num-records", "1000", "--transactional-id", "payments"];
    program.ok(&produce);
    assert!(program.ok(&["transactions", "list"]).contains("CompleteCommit"));
    let described = ["transactions", "describe", "--transactional-id", "payments", "--output", "json"];
    assert_eq!(json(&program.ok(&described))[0]["transaction_state"], "CompleteCommit");
    let producers = ["transactions", "describe-producers", "--topic", "t", "--partition", "0"];
    assert!(program.ok(&producers).contains("None"));
    assert!(
        program
            .run(&["transactions", "describe", "--transactional-id", "paymets"])
            .failed(1)
            .contains("payments")
    );
    assert_eq!(json(&program.ok(&["transactions", "find-hanging", "--output", "json"])).len(), 0);
    let records =
        ["consume", "__transaction_state", "--formatter", "transaction-log", "--from-beginning", "-e"];
    assert!(
        json(&program.ok(&records))
            .iter()
            .all(|record| record["key"]["data"]["transactionalId"] == "payments")
    );
    assert!(program.ok(&["perf", "end-to-end", "e", "--num-records", "20"]).contains("99.9th"));
}

#[test]
fn damage_is_given_up_only_when_told_to() {
    let program = Program::new();
    assert_eq!(program.ok(&["repair"]), "No damage found.\n");
    program.ok(&["topics", "create", "t"]);
    for value in ["a\n", "b\n", "c\n"] {
        program.run_with_input(&["produce", "t"], value.as_bytes()).ok();
    }
    let segment = program.data_dir().join("log/t-0/00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let message = program.run(&["repair"]).failed(1);
    assert!(message.contains("1 of 1 partitions are damaged, 1 offsets would be lost"), "{message}");
    assert_eq!(fs::read(&segment).unwrap(), bytes, "nothing was changed");
    assert!(program.ok(&["repair", "t-0", "--execute"]).contains("t-0"));
    assert_eq!(program.ok(&["consume", "t", "--from-beginning", "-e"]), "a\nc\n");
    program.run_with_input(&["produce", "t"], b"d\n").ok();
    assert_eq!(program.ok(&["consume", "t", "--from-beginning", "-e"]), "a\nc\nd\n");
}

#[test]
fn an_application_begins_anew() {
    let program = billing();
    for topic in ["billing-sums-changelog", "billing-by-city-repartition", "billingx-sums-changelog"] {
        program.ok(&["topics", "create", topic]);
    }
    let reset = ["streams", "reset", "--application-id", "billing", "--to-earliest"];
    let shown = program.run(&reset);
    assert!(shown.stderr.contains("add --execute"), "{}", shown.stderr);
    let shown = shown.ok();
    assert_eq!((shown.matches("reset").count(), shown.matches("delete").count()), (3, 2), "{shown}");
    assert!(!shown.contains("billingx"), "{shown}");
    assert!(lag(&program).iter().all(|(_, _, lag)| *lag == 0));
    program.ok(&[reset.as_slice(), &["--execute"]].concat());
    assert_eq!(lag(&program).iter().map(|(_, _, lag)| lag).sum::<u64>(), 100);
    let topics = program.ok(&["topics", "list"]);
    assert!(!topics.contains("billing-") && topics.contains("billingx-sums-changelog"), "{topics}");
    let wrong = [reset.as_slice(), &["--internal-topics", "orders"]].concat();
    assert!(program.run(&wrong).failed(1).contains("orders is no internal topic of billing: it has none"));
}
