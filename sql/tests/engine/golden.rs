//! Scripts in `scripts/*.sql`: statements, `---`, what they print; sections are separated by `===`.
//!
//! `UPDATE_GOLDEN=1` writes what is printed into the files.

use std::{env, fs, path::Path};

use super::Client;

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/scripts").join(name);
    let script = fs::read_to_string(&path).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::open(dir.path());
    let mut sections = Vec::new();
    for section in script.split("\n===\n") {
        let (statements, expected) = section.split_once("\n---").unwrap_or((section, ""));
        let printed = client.transcript(statements);
        if env::var_os("UPDATE_GOLDEN").is_none() {
            assert_eq!(printed.trim(), expected.trim(), "{name}:\n{statements}");
        }
        sections.push(format!("{}\n---\n{printed}", statements.trim_end()));
    }
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, sections.join("\n===\n") + "\n").unwrap();
    }
}

#[test]
fn streams() {
    check("streams.sql");
}

#[test]
fn keys() {
    check("keys.sql");
}

#[test]
fn aggregates() {
    check("aggregates.sql");
}

#[test]
fn joins() {
    check("joins.sql");
}

#[test]
fn tables() {
    check("tables.sql");
}

#[test]
fn catalogue() {
    check("catalogue.sql");
}

#[test]
fn pull_queries() {
    check("pulls.sql");
}

#[test]
fn push_queries() {
    check("push.sql");
}

#[test]
fn expressions() {
    check("expressions.sql");
}

#[test]
fn functions() {
    check("functions.sql");
}

#[test]
fn decimals() {
    check("decimals.sql");
}
