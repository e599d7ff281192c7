//! `millstream sql`: statements from the command line or a file.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::args::{Global, SqlArgs};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::Out;
use crate::session::Session;

/// Runs the statements; the first that fails ends the command.
pub(crate) fn run(global: &Global, args: &SqlArgs) -> Result<(), CliError> {
    let text = match (&args.execute, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => return Err(CliError::Usage("give statements with -e or a file with -f".to_owned())),
    };
    let interrupt = Interrupt::install()?;
    let mut session = Session::open(global)?;
    for (name, value) in &args.properties {
        session.set(name, value)?;
    }
    let result = session.run_settled(&text, &mut Out::new(global.output), &interrupt);
    session.close()?;
    result
}

fn read(file: &Path) -> Result<String, CliError> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    text.map_err(|source| CliError::File { action: "read", path: file.to_owned(), source })
}
