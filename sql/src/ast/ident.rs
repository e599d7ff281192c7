//! Names, and which of them must be quoted.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::ast::Span;

/// A name as written in a statement. Unquoted names are upper-cased when read, so `name` is always the name meant.
///
/// Equality and hash are those of `name`.
#[derive(Clone, Debug)]
pub struct Ident {
    /// The name, unescaped; upper case unless it was quoted.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

impl Ident {
    /// A name that stands in no text.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), span: Span::default() }
    }
}

impl PartialEq for Ident {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Ident {}

impl Hash for Ident {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote_if_needed(&self.name))
    }
}

/// The name as it must be written to mean exactly itself: bare when that is enough, else in backticks.
pub fn quote_if_needed(name: &str) -> String {
    let bare =
        is_bare_identifier(name) && !name.chars().any(|c| c.is_ascii_lowercase()) && !is_reserved(name);
    if bare { name.to_string() } else { quoted(name) }
}

/// The name in backticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A letter or `_`, then letters, digits, `_`, `@`; or the same after leading digits.
fn is_bare_identifier(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '@')
        && name.chars().any(|c| !c.is_ascii_digit())
        && !name.starts_with('@')
        && !is_number(name)
}

/// Digits with an exponent read as a number, not as a name: `1E5`.
fn is_number(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit()) && name.parse::<f64>().is_ok()
}

/// Whether an (upper case) word can only be a name when quoted.
pub fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word).is_ok()
}

/// Words of the grammar that cannot be names, sorted.
const RESERVED: &[&str] = &[
    "ADVANCE",
    "ALL",
    "AND",
    "AS",
    "AT",
    "BEGINNING",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CONNECTOR",
    "CONNECTORS",
    "CREATE",
    "DELETE",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXISTS",
    "EXTENDED",
    "FALSE",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "HOPPING",
    "IN",
    "INNER",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LIST",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "OUTER",
    "PAUSE",
    "PRINT",
    "PROPERTIES",
    "QUERIES",
    "QUERY",
    "RESUME",
    "RETENTION",
    "RIGHT",
    "RUN",
    "SAMPLE",
    "SCRIPT",
    "SELECT",
    "SIZE",
    "STREAM",
    "STREAMS",
    "TABLE",
    "TERMINATE",
    "THEN",
    "TOPIC",
    "TOPICS",
    "TRUE",
    "TUMBLING",
    "UNSET",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn only_names_that_need_quotes_get_them() {
        for (name, expected) in [
            ("ID", "ID"),
            ("1ST", "1ST"),
            ("A@B", "A@B"),
            ("id", "`id`"),
            ("SELECT", "`SELECT`"),
            ("HOUR", "HOUR"),
            ("123", "`123`"),
            ("1E5", "`1E5`"),
            ("A-B", "`A-B`"),
            ("A`B", "`A``B`"),
            ("", "``"),
        ] {
            assert_eq!(quote_if_needed(name), expected, "{name}");
        }
    }
}
