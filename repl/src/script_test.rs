//! `millstream test`: SQL scripts with `--@test`, run in memory.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use millstream_sql::SqlConfig;
use millstream_sql::testing::run_script;

use crate::args::TestArgs;
use crate::error::CliError;

/// Runs the tests of all files and says how each went; fails if one did.
pub(crate) fn run(args: &TestArgs) -> Result<(), CliError> {
    let (mut passed, mut failed) = (0, 0);
    let mut out = io::stdout().lock();
    for file in &args.files {
        let text = read(file)?;
        let directory = file.parent().unwrap_or(Path::new(""));
        // A RUN SCRIPT names files next to the script.
        let next_to = |name: &str| fs::read_to_string(directory.join(name));
        let mut config = SqlConfig::new(PathBuf::from("unused"));
        for (name, value) in &args.properties {
            config = config.property(name, value).map_err(|error| CliError::Usage(error.to_string()))?;
        }
        let outcomes = run_script(&text, &config, &next_to)
            .map_err(|error| CliError::Statement(format!("{}: {}", file.display(), error.render(&text))))?;
        for outcome in outcomes
            .iter()
            .filter(|outcome| args.filter.as_ref().is_none_or(|filter| outcome.name.contains(filter)))
        {
            writeln!(out, "{}: {outcome}", file.display())?;
            match outcome.failure {
                None => passed += 1,
                Some(_) => failed += 1,
            }
        }
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    match failed {
        0 => Ok(()),
        _ => Err(CliError::Failed(format!("{failed} tests failed"))),
    }
}

fn read(file: &Path) -> Result<String, CliError> {
    let read = fs::read_to_string(file);
    read.map_err(|source| CliError::File { action: "read", path: file.to_owned(), source })
}
