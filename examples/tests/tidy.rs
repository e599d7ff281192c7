//! The workspace keeps its shape: crates depend downwards only, and the top level holds what it should.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

/// Which of our crates each crate may name in its manifest, for builds and tests alike.
const ALLOWED: &[(&str, &[&str])] = &[
    ("millstream-log", &[]),
    ("millstream-streams", &["millstream-log"]),
    ("millstream-formats", &["millstream-log"]),
    ("millstream-connect", &["millstream-formats", "millstream-log"]),
    ("millstream-sql", &["millstream-formats", "millstream-log", "millstream-streams"]),
    (
        "millstream",
        &[
            "millstream-connect",
            "millstream-formats",
            "millstream-log",
            "millstream-sql",
            "millstream-streams",
        ],
    ),
    (
        "millstream-examples",
        &[
            "millstream",
            "millstream-connect",
            "millstream-formats",
            "millstream-log",
            "millstream-sql",
            "millstream-streams",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("examples lies in the workspace").to_owned()
}

/// Each workspace crate and those of our crates that its manifest names.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let text = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    let ours: BTreeSet<String> = packages.iter().map(text).collect();
    packages
        .iter()
        .map(|package| {
            let named = package["dependencies"].as_array().expect("dependencies").iter().map(text);
            (text(package), named.filter(|name| ours.contains(name)).collect())
        })
        .collect()
}

#[test]
fn crates_depend_downwards_only() {
    let found = dependencies();
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, below)| (*name, below.iter().copied().collect())).collect();
    assert_eq!(
        found.keys().map(String::as_str).collect::<Vec<_>>(),
        allowed.keys().copied().collect::<Vec<_>>(),
        "a new crate is a design change: give it its place here and in ARCHITECTURE.md"
    );
    for (name, below) in &found {
        for dependency in below {
            assert!(
                allowed[name.as_str()].contains(dependency.as_str()),
                "{name} must not depend on {dependency}: take what it needs as a value or a trait"
            );
        }
    }
}

#[test]
fn the_top_level_holds_only_what_it_should() {
    let expected: BTreeSet<&str> = [
        ".ci",
        ".gitignore",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "Makefile",
        "README.md",
        "clippy.toml",
        "connect",
        "examples",
        "formats",
        "log",
        "repl",
        "rustfmt.toml",
        "sql",
        "streams",
    ]
    .into();
    let listed = Command::new("git").args(["ls-tree", "--name-only", "HEAD"]).current_dir(root()).output();
    let Some(output) = listed.ok().filter(|output| output.status.success()) else {
        eprintln!("skipped: git is not here, or this is no checkout");
        return;
    };
    let listing = String::from_utf8(output.stdout).expect("names are UTF-8");
    let found: BTreeSet<&str> = listing.lines().collect();
    assert_eq!(found, expected);
}
