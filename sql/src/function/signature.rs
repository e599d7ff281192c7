//! What a function takes and returns.

use std::fmt;
use std::str::FromStr;

use crate::error::SqlError;
use crate::types::SqlType;

/// A type with holes: what a parameter accepts, or what a function returns once its arguments filled the holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly this type.
    Type(SqlType),
    /// A DECIMAL of any precision and scale. As a return type: the narrowest that holds all DECIMAL arguments.
    Decimal,
    /// Any type; the same letter stands for the same type throughout a signature.
    Generic(char),
    /// An ARRAY.
    Array(Box<Pattern>),
    /// A MAP.
    Map(Box<Pattern>, Box<Pattern>),
    /// A bare unit of time; the function gets its name as a STRING.
    Unit,
}

impl Pattern {
    pub(super) fn is_generic(&self) -> bool {
        match self {
            Self::Generic(_) => true,
            Self::Array(item) => item.is_generic(),
            Self::Map(key, value) => key.is_generic() || value.is_generic(),
            Self::Type(_) | Self::Decimal | Self::Unit => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(ty) => ty.fmt(f),
            Self::Decimal => f.write_str("DECIMAL"),
            Self::Generic(letter) => letter.fmt(f),
            Self::Array(item) => write!(f, "ARRAY<{item}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Unit => f.write_str("UNIT"),
        }
    }
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// What it accepts.
    pub pattern: Pattern,
    /// A NULL here is an error of the row, whose result is NULL. Written `INT!`.
    pub required: bool,
    /// Only a literal may stand here; of aggregates only. Written `LITERAL INT`.
    pub literal: bool,
}

/// One form of a function: parameters, and the type of the result.
///
/// Written `(STRING, INT!, T...) -> ARRAY<T>`: types as in SQL, single capital letters for any type, `UNIT` for a bare
/// unit of time, `...` behind the last parameter if it may be given any number of times, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The parameters, in order.
    pub parameters: Vec<Parameter>,
    /// The last parameter may be given any number of times.
    pub variadic: bool,
    /// The type of the result.
    pub returns: Pattern,
}

impl Signature {
    /// The parameter for the argument at `position`; a variadic one repeats.
    pub fn parameter(&self, position: usize) -> Option<&Parameter> {
        let last = self.parameters.len().checked_sub(1)?;
        if position <= last || self.variadic { Some(&self.parameters[position.min(last)]) } else { None }
    }

    /// Whether a call may have that many arguments.
    pub fn accepts_count(&self, arguments: usize) -> bool {
        if self.variadic {
            arguments + 1 >= self.parameters.len()
        } else {
            arguments == self.parameters.len()
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, parameter) in self.parameters.iter().enumerate() {
            write!(f, "{}{}", if i > 0 { ", " } else { "" }, parameter.pattern)?;
        }
        f.write_str(if self.variadic { "...)" } else { ")" })
    }
}

impl FromStr for Signature {
    type Err = SqlError;

    fn from_str(text: &str) -> Result<Self, SqlError> {
        let mut reader = Reader { text, rest: text };
        reader.expect("(")?;
        let (mut parameters, mut variadic) = (Vec::new(), false);
        if !reader.take(")") {
            loop {
                let literal = reader.take("LITERAL ");
                let pattern = reader.pattern()?;
                let required = reader.take("!");
                parameters.push(Parameter { pattern, required, literal });
                variadic = reader.take("...");
                if variadic || !reader.take(",") {
                    break;
                }
            }
            reader.expect(")")?;
        }
        reader.expect("->")?;
        let returns = reader.pattern()?;
        if reader.rest.trim().is_empty() {
            Ok(Self { parameters, variadic, returns })
        } else {
            Err(reader.error("the end"))
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), SqlError> {
        if self.take(token) { Ok(()) } else { Err(self.error(token)) }
    }

    fn error(&self, expected: &str) -> SqlError {
        SqlError::invalid(format!(
            "function signature '{}': expected {expected} before '{}'",
            self.text,
            self.rest.trim()
        ))
    }

    fn pattern(&mut self) -> Result<Pattern, SqlError> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let before = std::mem::replace(&mut self.rest, after);
        let mut letters = word.chars();
        if let (Some(letter @ 'A'..='Z'), None) = (letters.next(), letters.next()) {
            return Ok(Pattern::Generic(letter));
        }
        match word {
            "DECIMAL" => Ok(Pattern::Decimal),
            "UNIT" => Ok(Pattern::Unit),
            "ARRAY" => {
                self.expect("<")?;
                let item = Box::new(self.pattern()?);
                self.expect(">")?;
                Ok(Pattern::Array(item))
            }
            "MAP" => {
                self.expect("<")?;
                let key = Box::new(self.pattern()?);
                self.expect(",")?;
                let value = Box::new(self.pattern()?);
                self.expect(">")?;
                Ok(Pattern::Map(key, value))
            }
            _ => match SqlType::parse(word) {
                Ok(ty) => Ok(Pattern::Type(ty)),
                Err(_) => {
                    self.rest = before;
                    Err(self.error("a type"))
                }
            },
        }
    }
}

/// The type of an argument, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgType {
    /// A value of this type.
    Sql(SqlType),
    /// An untyped NULL, which fits every parameter.
    Null,
    /// A bare unit of time.
    Unit,
}

impl fmt::Display for ArgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(ty) => ty.fmt(f),
            Self::Null => f.write_str("NULL"),
            Self::Unit => f.write_str("UNIT"),
        }
    }
}

impl From<SqlType> for ArgType {
    fn from(ty: SqlType) -> Self {
        Self::Sql(ty)
    }
}

/// What a function is about, in SHOW FUNCTIONS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Category {
    /// Arrays.
    Array,
    /// Maps.
    Map,
    /// Text and bytes.
    String,
    /// Regular expressions.
    RegularExpression,
    /// Numbers.
    Mathematical,
    /// Dates and times.
    DateTime,
    /// JSON in text.
    Json,
    /// Choices.
    Conditional,
    /// From one type to another.
    Conversions,
    /// Aggregates.
    Aggregate,
    /// Anything else, and by default the functions of users.
    #[default]
    Other,
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Array => "ARRAY",
            Self::Map => "MAP",
            Self::String => "STRING",
            Self::RegularExpression => "REGULAR EXPRESSION",
            Self::Mathematical => "MATHEMATICAL",
            Self::DateTime => "DATE / TIME",
            Self::Json => "JSON",
            Self::Conditional => "CONDITIONAL",
            Self::Conversions => "CONVERSIONS",
            Self::Aggregate => "AGGREGATE",
            Self::Other => "OTHER",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read() {
        let signature: Signature =
            "(STRING, INT!, MAP<STRING, T>, LITERAL INT, T...) -> ARRAY<T>".parse().unwrap();
        assert_eq!(signature.to_string(), "(STRING, INTEGER, MAP<STRING, T>, INTEGER, T...)");
        assert_eq!(signature.returns, Pattern::Array(Box::new(Pattern::Generic('T'))));
        let marks: Vec<_> = signature.parameters.iter().map(|p| (p.required, p.literal)).collect();
        assert_eq!(marks, [(false, false), (true, false), (false, false), (false, true), (false, false)]);
        assert!(signature.accepts_count(4) && signature.accepts_count(9) && !signature.accepts_count(3));
        assert_eq!("() -> DOUBLE".parse::<Signature>().unwrap().parameters, []);
    }

    #[test]
    fn bad_signatures_say_where() {
        for (text, expected) in [
            ("INT -> INT", "expected ( before 'INT -> INT'"),
            ("(INTT) -> INT", "expected a type before 'INTT) -> INT'"),
            ("(INT) INT", "expected -> before 'INT'"),
            ("(INT...,INT) -> INT", "expected ) before ',INT) -> INT'"),
            ("(INT) -> INT x", "expected the end before 'x'"),
        ] {
            let error = text.parse::<Signature>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
