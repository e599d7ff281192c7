//! What a client has set: properties and variables.

use std::collections::BTreeMap;

use crate::{config::Properties, error::SqlError, parser::Piece};

/// The properties and variables of one client. They hold for its later statements.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub(crate) properties: Properties,
    pub(crate) variables: BTreeMap<String, String>,
}

/// Where in a statement a variable stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// Where a name or literal does.
    Bare,
    /// Between quotes of this kind.
    Quoted(char),
    /// `-- ..`
    LineComment,
    /// `/* .. */`
    BlockComment,
}

impl Session {
    /// A session that has set nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The properties set, by their names without the prefix `ksql.streams.`.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Gives a variable its value, as DEFINE does. Names are compared without regard to case.
    pub fn define(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_uppercase(), value.into());
    }

    /// The statement with `${name}` replaced by the variable's value; unknown names stay as they are.
    ///
    /// Between quotes the value is escaped. Elsewhere it must be a whole name or literal by itself, so that a value can
    /// never say more than one thing: fails if it is not.
    pub fn substitute(&self, piece: &Piece) -> Result<String, SqlError> {
        let text = &piece.text;
        if self.variables.is_empty() || !text.contains("${") {
            return Ok(text.clone());
        }
        let mut result = String::with_capacity(text.len());
        let mut context = Context::Bare;
        let mut rest = text.as_str();
        while let Some(c) = rest.chars().next() {
            if let Some((name, value)) = self.variable(rest)
                && !matches!(context, Context::LineComment | Context::BlockComment)
            {
                match context {
                    Context::Quoted(quote) => {
                        result.push_str(&value.replace(quote, &format!("{quote}{quote}")));
                    }
                    _ if is_one_word(value) => result.push_str(value),
                    _ => {
                        return Err(SqlError::malformed(format!(
                            "Illegal argument at line {}: variable {name} is {value:?}",
                            piece.start.line
                        ))
                        .at(piece.start)
                        .hint("it may be a name, a number, TRUE, FALSE, or a string with quotes of its own: '''a'''"));
                    }
                }
                rest = &rest[name.len() + "${}".len()..];
                continue;
            }
            context = match (context, c) {
                (Context::Bare, '\'' | '`' | '"') => Context::Quoted(c),
                (Context::Quoted(quote), _) if c == quote => Context::Bare,
                (Context::Bare, '-') if rest.starts_with("--") => Context::LineComment,
                (Context::Bare, '/') if rest.starts_with("/*") => Context::BlockComment,
                (Context::LineComment, '\n') => Context::Bare,
                (Context::BlockComment, '/') if result.ends_with('*') => Context::Bare,
                (context, _) => context,
            };
            result.push(c);
            rest = &rest[c.len_utf8()..];
        }
        Ok(result)
    }

    /// The name and value of the variable that `text` starts with.
    fn variable<'a>(&'a self, text: &'a str) -> Option<(&'a str, &'a str)> {
        let inner = text.strip_prefix("${")?;
        let name = &inner[..inner.find('}')?];
        Some((name, self.variables.get(&name.to_uppercase())?))
    }
}

/// Whether a value is one name, number or string by itself.
fn is_one_word(value: &str) -> bool {
    let quoted = |quote: char| {
        let inner = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        inner.is_some_and(|inner| !inner.replace(&format!("{quote}{quote}"), "").contains(quote))
    };
    let name = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '@');
    let number = value.parse::<f64>().is_ok_and(f64::is_finite);
    name || number || quoted('\'') || quoted('`') || quoted('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::split;

    fn check(variables: &[(&str, &str)], text: &str) -> Result<String, String> {
        let mut session = Session::new();
        variables.iter().for_each(|(name, value)| session.define(name, *value));
        let pieces = split(text).unwrap();
        let replaced = pieces.iter().map(|piece| session.substitute(piece)).collect::<Result<Vec<_>, _>>();
        replaced.map(|pieces| pieces.join("")).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_are_replaced_and_unknown_ones_stay() {
        let variables =
            [("topic", "flights"), ("who", "O'Hara"), ("format", "'JSON'"), ("n", "-1.5"), ("odd", "a`b")];
        for (text, expected) in [
            ("PRINT ${Topic};", "PRINT flights;"),
            ("SELECT ${x} FROM a;", "SELECT ${x} FROM a;"),
            ("SELECT '${who}' -- ${who}\n;", "SELECT 'O''Hara' -- ${who}\n;"),
            ("SELECT /* ${who} */ ${n};", "SELECT /* ${who} */ -1.5;"),
            ("WITH (VALUE_FORMAT=${format});", "WITH (VALUE_FORMAT='JSON');"),
            ("SELECT `${odd}`, '${odd}';", "SELECT `a``b`, 'a`b';"),
        ] {
            assert_eq!(check(&variables, text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_value_outside_of_quotes_is_one_word() {
        for value in ["a; DROP STREAM b", "a b", "'a' 'b'", "", "a'", "1 OR 1"] {
            let error = check(&[("v", value)], "SELECT ${v};").unwrap_err();
            assert!(error.contains("Illegal argument at line 1"), "{value}: {error}");
        }
    }
}
