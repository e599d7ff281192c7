//! What can go wrong with a statement, and how it is shown.

use std::error::Error;
use std::fmt;

use crate::ast::Span;

/// An error of this crate. Variants tell what the caller does next; the text tells the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The text is not a statement: correct the text.
    #[error(transparent)]
    Syntax(Box<Problem>),
    /// The statement does not fit the catalogue, the types or the settings: correct the statement.
    #[error(transparent)]
    Invalid(Box<Problem>),
    /// The statement is understood but cannot be done here: write another.
    #[error(transparent)]
    Unsupported(Box<Problem>),
    /// What an ASSERT claims is not so.
    #[error(transparent)]
    Assertion(Box<Problem>),
    /// A valid statement failed while it ran: look at the cause.
    #[error("could not {action}: {source}")]
    Failed {
        /// What was being done.
        action: String,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What is wrong with a statement, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, naming the word at fault.
    pub message: String,
    /// Where, in the text that was parsed.
    pub span: Option<Span>,
    /// What would be valid.
    pub hint: Option<String>,
    /// Whether it is about what a name stands for: ksqlDB writes the places of those in words.
    pub of_name: bool,
}

impl Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())?;
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl SqlError {
    /// The text is not a statement.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self::Syntax(Problem::new(format!("Syntax Error\n{}", message.into())))
    }

    /// The text has the form of a statement, but a name or number in it is none.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::Syntax(Problem::new(message))
    }

    /// The statement does not fit the catalogue, the types or the settings.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(Problem::new(message))
    }

    /// The statement is understood but cannot be done here.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::Unsupported(Problem::new(message))
    }

    /// What an ASSERT claims is not so.
    pub fn assertion(message: impl Into<String>) -> Self {
        Self::Assertion(Problem::new(message))
    }

    /// Doing `action` (a verb: `open the topic`) failed because of `source`.
    pub fn failed(action: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed { action: action.into(), source: source.into() }
    }

    /// The same error at a place. A place that is already known stays.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        if let Some(problem) = self.problem_mut() {
            let known = span.line > 0;
            problem.span = problem.span.or(known.then_some(span));
        }
        self
    }

    /// The same error, about what a name stands for: that it stands for nothing, for several things, or for something that
    /// cannot be used there.
    #[must_use]
    pub(crate) fn of_name(mut self) -> Self {
        if let Some(problem) = self.problem_mut() {
            problem.of_name = true;
        }
        self
    }

    /// The same error with `text` in front of its message: what was being done.
    #[must_use]
    pub fn prefixed(mut self, text: &str) -> Self {
        if let Some(problem) = self.problem_mut() {
            problem.message.insert_str(0, text);
        }
        self
    }

    /// The same error with its place moved.
    pub(crate) fn moved(mut self, place: &dyn Fn(Span) -> Span) -> Self {
        if let Some(problem) = self.problem_mut() {
            problem.span = problem.span.map(place);
        }
        self
    }

    /// The same error with advice. Advice that is already there stays.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(problem) = self.problem_mut() {
            problem.hint.get_or_insert(hint.into());
        }
        self
    }

    /// The same error with the valid names nearest to `word`, or with all of them (`what` says of what kind) if none is near.
    #[must_use]
    pub fn hint_nearest<S: AsRef<str>>(self, word: &str, valid: &[S], what: &str) -> Self {
        match nearest(word, valid) {
            Some(name) => self.hint(format!("did you mean {name}?")),
            None if valid.is_empty() => self,
            None => {
                let names: Vec<&str> = valid.iter().take(LISTED_MAX).map(AsRef::as_ref).collect();
                let more = if valid.len() > LISTED_MAX { ", ..." } else { "" };
                self.hint(format!("{what}: {}{more}", names.join(", ")))
            }
        }
    }

    /// What is wrong with the statement, unless a valid one failed while it ran.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Syntax(p) | Self::Invalid(p) | Self::Unsupported(p) | Self::Assertion(p) => Some(p),
            Self::Failed { .. } => None,
        }
    }

    fn problem_mut(&mut self) -> Option<&mut Problem> {
        match self {
            Self::Syntax(p) | Self::Invalid(p) | Self::Unsupported(p) | Self::Assertion(p) => Some(p),
            Self::Failed { .. } => None,
        }
    }

    /// The error for a person: the message, the line of `text` it is about with the place underlined, and the advice.
    ///
    /// `text` is the script that was parsed. Lines end without trailing newline.
    pub fn render(&self, text: &str) -> String {
        let Some(problem) = self.problem() else { return self.to_string() };
        let mut out = problem.place() + &problem.message;
        if let Some(span) = problem.span
            && let Some(line) = text.lines().nth(span.line as usize - 1)
        {
            let before = span.column as usize - 1;
            // A tab stays a tab, so that the caret lands under its word in any terminal.
            let indent: String = line
                .chars()
                .chain(std::iter::repeat(' '))
                .take(before)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let rest = line.chars().count().saturating_sub(before);
            let width = span.slice(text).chars().count().clamp(1, rest.max(1));
            out.push_str(&format!("\n  {line}\n  {indent}{}", "^".repeat(width)));
        }
        if let Some(hint) = &problem.hint {
            out.push_str(&format!("\n  hint: {hint}"));
        }
        out
    }
}

impl Problem {
    fn new(message: impl Into<String>) -> Box<Self> {
        Box::new(Self { message: message.into(), span: None, hint: None, of_name: false })
    }

    /// Where it is, in front of its message.
    fn place(&self) -> String {
        match self.span {
            None => String::new(),
            Some(span) if self.of_name => format!("Line: {}, Col: {}: ", span.line, span.column),
            Some(span) => format!("line {}:{}: ", span.line, span.column),
        }
    }
}

impl From<arrow::error::ArrowError> for SqlError {
    fn from(source: arrow::error::ArrowError) -> Self {
        Self::failed("compute a column", source)
    }
}

impl From<datafusion::error::DataFusionError> for SqlError {
    fn from(source: datafusion::error::DataFusionError) -> Self {
        Self::failed("evaluate the query", source)
    }
}

/// How many valid names a hint lists at most.
const LISTED_MAX: usize = 12;

/// The valid name nearest to `word`, if one is near enough to be what was meant.
pub fn nearest<'a, S: AsRef<str>>(word: &str, valid: &'a [S]) -> Option<&'a str> {
    let folded = word.to_uppercase();
    valid
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&folded, &name.as_ref().to_uppercase()), name.as_ref()))
        .min()
        .filter(|(distance, name)| *distance <= (name.chars().count().min(word.chars().count()) / 3).max(1))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_draws_its_place() {
        let text = "SELECT a\n\tFORM b;";
        let span = Span { offset: 10, length: 4, line: 2, column: 2 };
        let error = SqlError::syntax("unexpected 'FORM'").at(span).hint_nearest(
            "FORM",
            &["FROM", "WHERE"],
            "expected",
        );
        assert_eq!(error.to_string(), "line 2:2: Syntax Error\nunexpected 'FORM' (did you mean FROM?)");
        assert_eq!(
            error.render(text),
            "line 2:2: Syntax Error\nunexpected 'FORM'\n  \tFORM b;\n  \t^^^^\n  hint: did you mean FROM?"
        );
    }

    #[test]
    fn a_place_outside_the_text_is_still_drawn() {
        let span = Span { offset: 99, length: 4, line: 1, column: 40 };
        assert!(SqlError::invalid("x").at(span).render("SELECT").ends_with('^'));
        let span = Span { offset: 99, length: 4, line: 7, column: 40 };
        assert_eq!(SqlError::invalid("x").at(span).render("SELECT"), "line 7:40: x");
    }

    #[test]
    fn near_names_only() {
        assert_eq!(nearest("oirgin", &["ORIGIN", "DEST"]), Some("ORIGIN"));
        assert_eq!(nearest("X", &["ORIGIN", "DEST"]), None);
        assert_eq!(nearest("X", &[] as &[&str]), None);
    }
}
