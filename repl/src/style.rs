//! Colours: what they mean and when they are used.

use std::io::{IsTerminal, stderr, stdout};

use anstyle::{AnsiColor, Style};

use crate::args::Colour;

/// Keywords of SQL.
pub(crate) const KEYWORD: Style = AnsiColor::Blue.on_default().bold();
/// Strings.
pub(crate) const STRING: Style = AnsiColor::Green.on_default();
/// Numbers.
pub(crate) const NUMBER: Style = AnsiColor::Cyan.on_default();
/// What is less important than the rest.
pub(crate) const DIM: Style = Style::new().dimmed();
/// The prompt and headings.
pub(crate) const PROMPT: Style = Style::new().bold();
/// The word `error` and the caret.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What to do about an error.
pub(crate) const HINT: Style = AnsiColor::Yellow.on_default();

/// Where colours are used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Colours {
    /// On standard output.
    pub(crate) stdout: bool,
    /// On standard error.
    pub(crate) stderr: bool,
}

impl Colours {
    /// Decides for both outputs. `auto` colours a terminal, unless NO_COLOR is set or the terminal is dumb.
    pub(crate) fn choose(choice: Colour) -> Self {
        match choice {
            Colour::Always => Self { stdout: true, stderr: true },
            Colour::Never => Self { stdout: false, stderr: false },
            Colour::Auto => {
                let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                    || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
                Self {
                    stdout: !unwanted && stdout().is_terminal(),
                    stderr: !unwanted && stderr().is_terminal(),
                }
            }
        }
    }
}

/// The text in this style.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
