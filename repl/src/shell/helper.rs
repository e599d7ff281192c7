//! What the line editor asks while a statement is typed: is it whole, how is it coloured, how could it go on.

use std::borrow::Cow;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::complete::{SHELL_COMMANDS, complete};
use super::names::{Names, is_keyword};
use super::token::{Kind, is_complete, tokens};
use crate::style;

/// The editor's view of SQL.
pub(crate) struct ShellHelper {
    /// The words known now.
    pub(crate) names: Names,
    /// Whether to colour what is typed.
    pub(crate) colour: bool,
    hinter: HistoryHinter,
}

impl ShellHelper {
    /// A helper that knows these names.
    pub(crate) fn new(names: Names, colour: bool) -> Self {
        Self { names, colour, hinter: HistoryHinter::new() }
    }
}

impl Helper for ShellHelper {}

impl Validator for ShellHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input().trim();
        let word = input.split_whitespace().next().unwrap_or_default();
        let shell_command = SHELL_COMMANDS.iter().any(|command| word.eq_ignore_ascii_case(command));
        Ok(if shell_command || is_complete(input) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Completer for ShellHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, cursor: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, candidates) = complete(line, cursor, &self.names);
        let pairs =
            candidates.into_iter().map(|name| Pair { display: name.clone(), replacement: name }).collect();
        Ok((start, pairs))
    }
}

impl Hinter for ShellHelper {
    type Hint = String;

    fn hint(&self, line: &str, cursor: usize, context: &Context<'_>) -> Option<String> {
        // A hint of several lines would make the prompt jump.
        self.hinter.hint(line, cursor, context).filter(|hint| !hint.contains('\n'))
    }
}

impl Highlighter for ShellHelper {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if !self.colour {
            return Cow::Borrowed(line);
        }
        let mut text = String::with_capacity(line.len() * 2);
        for token in tokens(line) {
            let piece = &line[token.range.clone()];
            let style = match token.kind {
                Kind::Word if is_keyword(piece) => style::KEYWORD,
                Kind::Text => style::STRING,
                Kind::Number => style::NUMBER,
                Kind::Comment => style::DIM,
                Kind::Word | Kind::Quoted | Kind::Space | Kind::Symbol => {
                    text.push_str(piece);
                    continue;
                }
            };
            // A style must not reach over a line break: the editor redraws line by line.
            for (i, part) in piece.split('\n').enumerate() {
                if i > 0 {
                    text.push('\n');
                }
                text.push_str(&format!("{style}{part}{style:#}"));
            }
        }
        Cow::Owned(text)
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        if self.colour { Cow::Owned(style::paint(style::PROMPT, prompt)) } else { Cow::Borrowed(prompt) }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.colour { Cow::Owned(style::paint(style::DIM, hint)) } else { Cow::Borrowed(hint) }
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        self.colour && kind != CmdKind::MoveCursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_no_character() {
        let helper = ShellHelper::new(Names::default(), true);
        let coloured = helper.highlight("select 'a\nb', 1 -- x", 0);
        let mut plain = String::new();
        let mut rest = coloured.as_ref();
        while let Some(escape) = rest.find('\u{1b}') {
            plain.push_str(&rest[..escape]);
            let end = rest[escape..].find('m').unwrap();
            rest = &rest[escape + end + 1..];
        }
        plain.push_str(rest);
        assert_eq!(plain, "select 'a\nb', 1 -- x");
        assert!(coloured.starts_with("\u{1b}["), "{coloured}");
    }
}
