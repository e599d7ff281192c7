//! The interactive shell: a prompt, statements of several lines, and results under them.

mod complete;
mod helper;
pub(crate) mod names;
mod token;

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use self::helper::ShellHelper;
use crate::args::Global;
use crate::error::{CliError, show};
use crate::interrupt::Interrupt;
use crate::output::{Format, Out};
use crate::session::Session;
use crate::style::Colours;

const PROMPT: &str = "millstream> ";
const HISTORY_LENGTH: usize = 2000;

const HELP: &str = "\
Statements end with a semicolon and may span lines. Some to start with:
  SHOW TOPICS;  SHOW STREAMS;  SHOW TABLES;  SHOW QUERIES;  SHOW FUNCTIONS;
  DESCRIBE <stream or table>;  DESCRIBE FUNCTION <name>;  EXPLAIN <query>;
  CREATE STREAM s (id INT KEY, name STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
  INSERT INTO s (id, name) VALUES (1, 'one');
  SELECT * FROM s EMIT CHANGES;              a push query: runs until Ctrl-C
  SELECT * FROM t WHERE id = 1;              a pull query: ends by itself
  SET 'auto.offset.reset' = 'earliest';      queries start at the first record
Commands of the shell, without semicolon: help, clear, exit (or Ctrl-D).
Tab completes names; Up and Ctrl-R find earlier statements.";

/// Reads statements and runs them until Ctrl-D. Without a terminal it runs standard input as a script.
pub(crate) fn run(global: &Global, colours: Colours) -> Result<(), CliError> {
    let interrupt = Interrupt::install()?;
    let mut session = Session::open(global)?;
    let result = if io::stdin().is_terminal() {
        converse(&mut session, global, colours, &interrupt)
    } else {
        let mut script = String::new();
        io::stdin().lock().read_to_string(&mut script)?;
        session.run_settled(&script, &mut Out::new(global.output), &interrupt)
    };
    session.close()?;
    result
}

fn converse(
    session: &mut Session,
    global: &Global,
    colours: Colours,
    interrupt: &Interrupt,
) -> Result<(), CliError> {
    session.resume_connectors()?;
    let config = Config::builder().completion_type(CompletionType::List).max_history_size(HISTORY_LENGTH);
    let config = config.and_then(|config| config.history_ignore_dups(true)).map_err(editor_error)?;
    let config = config.history_ignore_space(true).auto_add_history(false).build();
    let mut editor: Editor<ShellHelper, FileHistory> = Editor::with_config(config).map_err(editor_error)?;
    editor.set_helper(Some(ShellHelper::new(session.names(), colours.stdout)));
    let history = history_file(&global.data_dir);
    // The first run has none.
    let _ = editor.load_history(&history);
    if global.output == Format::Table {
        let (version, directory) = (env!("CARGO_PKG_VERSION"), global.data_dir.display());
        writeln!(io::stdout(), "Millstream {version} on {directory}. Type help for help.")?;
    }
    loop {
        if let Some(helper) = editor.helper_mut() {
            helper.names = session.names();
        }
        let input = match editor.readline(PROMPT) {
            Ok(input) => input,
            // Ctrl-C drops what was typed.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(editor_error(error)),
        };
        let statement = input.trim();
        if statement.is_empty() {
            continue;
        }
        if editor.add_history_entry(statement).map_err(editor_error)? {
            save_history(&mut editor, &history);
        }
        match statement.trim_end_matches(';').trim_end().to_ascii_lowercase().as_str() {
            "exit" | "quit" => break,
            "help" => writeln!(io::stdout(), "{HELP}")?,
            "clear" => editor.clear_screen().map_err(editor_error)?,
            _ => {
                interrupt.clear();
                // A new one for each statement: the terminal may have been resized.
                let mut out = Out::new(global.output);
                let result = session.run(statement, &mut out, interrupt);
                drop(out);
                match result {
                    Ok(()) | Err(CliError::Interrupted) => {}
                    Err(error @ CliError::ClosedPipe) => return Err(error),
                    Err(error) => writeln!(io::stderr(), "{}", show(&error, colours))?,
                }
            }
        }
    }
    Ok(())
}

/// Next to other programs' state, so that all data directories share one history.
fn history_file(data_dir: &Path) -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/state")));
    match state {
        Some(state) => state.join("millstream").join("history"),
        None => data_dir.join("shell-history"),
    }
}

/// A history that cannot be written is no reason to stop the shell.
fn save_history(editor: &mut Editor<ShellHelper, FileHistory>, path: &Path) {
    let saved = match path.parent() {
        Some(parent) => {
            fs::create_dir_all(parent).map_err(ReadlineError::from).and_then(|()| editor.append_history(path))
        }
        None => editor.append_history(path),
    };
    if let Err(error) = saved {
        tracing::debug!(%error, path = %path.display(), "could not save the history");
    }
}

fn editor_error(error: ReadlineError) -> CliError {
    match error {
        ReadlineError::Io(error) => error.into(),
        error => CliError::Failed(format!("could not read the line: {error}")),
    }
}
