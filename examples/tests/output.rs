//! Every example prints what it should: `expected/<name>.txt`. `UPDATE_GOLDEN=1` writes what they print now.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The examples, beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.parent().and_then(Path::parent).expect("tests are in the directory deps of a profile");
    profile.join("examples").join(name)
}

#[test]
fn examples_print_what_they_should() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(manifest.join("README.md")).expect("the examples have a README");
    let sources = fs::read_dir(manifest.join("src")).expect("there are examples");
    let mut names: Vec<String> = sources
        .map(|file| file.expect("a file of the examples").path())
        .filter_map(|path| Some(path.file_name()?.to_str()?.strip_suffix(".rs")?.to_owned()))
        .filter(|name| name != "lib")
        .collect();
    names.sort();
    for name in names {
        let run = Command::new(example(&name)).current_dir(manifest.join("..")).output();
        let run = run.unwrap_or_else(|error| panic!("example {name} is built with the tests: {error}"));
        assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
        let printed = String::from_utf8(run.stdout).expect("examples print text");
        let golden = manifest.join("tests/expected").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &printed).expect("the expected output can be written");
        }
        assert_eq!(printed, fs::read_to_string(&golden).unwrap_or_default(), "{name}");
        assert!(
            readme.contains(&format!("--example {name}\n")),
            "examples/README.md does not say how to run {name}"
        );
        assert!(readme.contains(printed.trim_end()), "examples/README.md does not say what {name} prints");
    }
}
