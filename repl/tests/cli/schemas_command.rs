//! `millstream schemas`, on the data directory and over the network.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::Program;

const INT: &str = r#"{"type": "int"}"#;

#[test]
fn schemas_are_registered_shown_checked_and_deleted() {
    let program = Program::new();
    let registered = program.ok(&["schemas", "register", "a", "--schema", INT]);
    assert_eq!(registered, "Registered a schema for a with id 1.\n");
    let file = program.data_dir().with_file_name("text.json");
    std::fs::write(&file, r#"{"type":"string"}"#).unwrap();
    program.ok(&["schemas", "register", "b", "--file", file.to_str().unwrap()]);
    assert_eq!(program.ok(&["schemas", "list"]), "a\nb\n");
    let listed = program.ok(&["schemas", "list", "--prefix", "b", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap(), json!({"subject": "b", "versions": [1]}));
    let shown = program.ok(&["schemas", "show", "b"]);
    assert_eq!(shown, "Subject: b\tVersion: 1\tId: 2\tType: JSON\n{\"type\":\"string\"}\n");
    let shown = program.ok(&["schemas", "show", "--id", "1", "--output", "json"]);
    let expected = json!({"id": 1, "type": "AVRO", "references": [], "schema": "\"int\""});
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), expected);

    program.ok(&["schemas", "check", "a", "--schema", r#""long""#]);
    let refused = program.run(&["schemas", "check", "a", "--schema", r#""string""#]).failed(1);
    assert!(refused.contains("incompatible with a") && refused.contains("TYPE_MISMATCH"), "{refused}");
    let refused = program.run(&["schemas", "register", "a", "--schema", r#""string""#]).failed(1);
    assert!(refused.contains("(code 409)"), "{refused}");

    assert_eq!(program.ok(&["schemas", "delete", "a"]), "Deleted of a: version 1.\n");
    assert!(program.run(&["schemas", "show", "a"]).failed(1).contains("Subject 'a' not found. (code 40401)"));
    assert_eq!(program.ok(&["schemas", "list", "--deleted"]), "a\nb\n");
    program.ok(&["schemas", "delete", "a", "--version", "1", "--permanent"]);
    assert!(program.run(&["schemas", "show", "--id", "1"]).failed(1).contains("40403"));
    program.run(&["schemas", "show"]).failed(2);
    program.run(&["schemas", "show", "b", "--version", "0"]).failed(2);
    program.run(&["schemas", "list", "--property", "bearer.auth.token=x"]).failed(2);
}

#[test]
fn references_are_named_on_the_command_line() {
    let program = Program::new();
    let item = r#"{"type":"record","name":"Item","fields":[]}"#;
    program.ok(&["schemas", "register", "item", "--schema", item]);
    let list = ["schemas", "register", "items", "--schema", r#"{"type":"array","items":"Item"}"#];
    assert!(program.run(&list).failed(1).contains("42201"));
    program.ok(&[list.as_slice(), &["--reference", "Item=item:latest"]].concat());
    let shown = program.ok(&["schemas", "show", "items"]);
    assert!(shown.contains("\nReference: Item (subject item, version 1)\n"), "{shown}");
    assert!(program.run(&["schemas", "delete", "item"]).failed(1).contains("42206"));
}

#[test]
fn settings_and_modes_are_shown_and_changed() {
    let program = Program::new();
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&program.ok(&[&["schemas"], args, &["--output", "json"]].concat())).unwrap()
    };
    let settings = |level: Value, normalize: Value| json!({"compatibility": level, "normalize": normalize, "alias": null, "compatibility_group": null});
    assert_eq!(json(&["config", "get"]), settings(json!("BACKWARD"), json!(null)));
    let set = program.ok(&["schemas", "config", "set", "--compatibility", "full", "--normalize", "true"]);
    assert_eq!(set, "Set the global settings.\n");
    assert!(program.run(&["schemas", "config", "get", "a"]).failed(1).contains("40408"));
    assert_eq!(json(&["config", "get", "a", "--effective"]), settings(json!("FULL"), json!(true)));
    assert_eq!(
        program.ok(&["schemas", "config", "set", "a", "--compatibility", "NONE"]),
        "Set the settings of a.\n"
    );
    assert_eq!(json(&["config", "get", "a"]), settings(json!("NONE"), json!(null)));
    assert_eq!(program.ok(&["schemas", "config", "delete", "a"]), "Deleted the settings of a.\n");
    program.run(&["schemas", "config", "set", "a"]).failed(2);
    assert!(
        program
            .run(&["schemas", "config", "set", "--compatibility", "some"])
            .failed(2)
            .contains("backward_transitive")
    );

    program.ok(&["schemas", "register", "a", "--schema", r#"{"type":"int","z":1,"b":2}"#, "--normalize"]);
    assert!(program.ok(&["schemas", "show", "a"]).contains(r#"{"type":"int","b":2,"z":1}"#));
    assert!(program.run(&["schemas", "mode", "set", "IMPORT", "a"]).failed(1).contains("42205"));
    assert_eq!(program.ok(&["schemas", "mode", "set", "import", "a", "--force"]), "Set the mode of a.\n");
    assert_eq!(json(&["mode", "get", "a"]), json!({"mode": "IMPORT"}));
    program.ok(&["schemas", "register", "a", "--schema", INT, "--id", "40", "--version", "7"]);
    assert!(program.ok(&["schemas", "show", "a"]).starts_with("Subject: a\tVersion: 7\tId: 40\t"));
    assert_eq!(program.ok(&["schemas", "mode", "delete", "a"]), "Deleted the mode of a.\n");
    assert_eq!(json(&["mode", "get"]), json!({"mode": "READWRITE"}));
    program.run(&["schemas", "mode", "set", "SOMETIMES"]).failed(2);
}

/// Ends with the test, however that ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[test]
fn what_is_served_is_in_the_data_directory() {
    let program = Program::new();
    program.ok(&["schemas", "register", "a", "--schema", INT]);
    let mut command = program.command(&["schemas", "serve", "--listen", "127.0.0.1:0"]);
    let mut server = Server(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("http://"));
    let url = url.unwrap_or_else(|| panic!("{line}")).trim_end_matches(';').to_owned();
    assert_eq!(program.ok(&["schemas", "list", "--url", &url]), "a\n");
    program.ok(&["schemas", "register", "b", "--schema", INT, "--url", &url]);
    // SQL on another directory, with this registry.
    let other = Program::new();
    let script = "CREATE STREAM c (v STRING) WITH (KAFKA_TOPIC='c', VALUE_FORMAT='AVRO', PARTITIONS=1);\
        INSERT INTO c (v) VALUES ('x');";
    other.ok(&["sql", "--schema-registry", &url, "-e", script]);
    assert_eq!(other.ok(&["schemas", "list"]), "", "none of its own");
    assert_eq!(other.ok(&["schemas", "list", "--schema-registry", &url]), "a\nb\nc-value\n");
    drop(server);
    let kept = program.ok(&["schemas", "list"]);
    assert_eq!(kept, "a\nb\nc-value\n", "although the server was killed");
    let failed = program.run(&["schemas", "list", "--url", &url]).failed(1);
    assert!(failed.contains("could not reach the schema registry"), "{failed}");
}
