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
    /// A DECIMAL of any precision and scale: Decimal128 in Arrow up to 38 digits, and Decimal256 beyond. As a return type:
    /// the narrowest that holds all DECIMAL arguments.
    Decimal,
    /// Any type; the same letter stands for the same type throughout a signature.
    Generic(char),
    /// Any type, which may differ from argument to argument. Written `ANY`.
    Any,
    /// An ARRAY.
    Array(Box<Pattern>),
    /// A MAP.
    Map(Box<Pattern>, Box<Pattern>),
    /// A bare unit of time; the function gets its name as a STRING.
    Unit,
    /// A lambda with parameters of these types and a result of that one. Written `LAMBDA(T, U) => R`.
    Lambda(Vec<Pattern>, Box<Pattern>),
}

impl Pattern {
    pub(super) fn is_generic(&self) -> bool {
        match self {
            Self::Generic(_) | Self::Any => true,
            Self::Array(item) => item.is_generic(),
            Self::Map(key, value) => key.is_generic() || value.is_generic(),
            Self::Lambda(parameters, result) => {
                parameters.iter().any(Self::is_generic) || result.is_generic()
            }
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
            Self::Any => f.write_str("ANY"),
            Self::Array(item) => write!(f, "ARRAY<{item}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Unit => f.write_str("INTERVALUNIT"),
            Self::Lambda(parameters, result) => {
                f.write_str("LAMBDA (")?;
                for (i, parameter) in parameters.iter().enumerate() {
                    write!(f, "{}{parameter}", if i > 0 { ", " } else { "" })?;
                }
                write!(f, ") => {result}")
            }
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
    /// May be given any number of times, also none; at most one is. Written `INT...`.
    pub variadic: bool,
}

/// One form of a function: parameters, and the type of the result.
///
/// Written `(STRING, INT!, T...) -> ARRAY<T>`: types as in SQL, single capital letters for any type, `ANY` for types that
/// need not agree, `UNIT` for a bare unit of time, `LAMBDA(T) => R` for a function that is passed in, and `...` behind
/// the parameter, if there is one, that may be given any number of times, also none. For a table function the result is
/// the type of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The parameters, in order.
    pub parameters: Vec<Parameter>,
    /// The type of the result.
    pub returns: Pattern,
}

impl Signature {
    /// The parameter for the argument at `position` of a call with so many arguments; a variadic one repeats.
    pub fn parameter(&self, position: usize, arguments: usize) -> Option<&Parameter> {
        let Some(variadic) = self.variadic_at() else { return self.parameters.get(position) };
        let behind = self.parameters.len() - variadic - 1;
        let from_end = arguments.checked_sub(position)?;
        if position < variadic {
            self.parameters.get(position)
        } else if from_end <= behind {
            self.parameters.get(self.parameters.len() - from_end)
        } else {
            self.parameters.get(variadic)
        }
    }

    /// The place of the parameter that may be given any number of times.
    pub fn variadic_at(&self) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.variadic)
    }

    /// Whether a call may have that many arguments.
    pub fn accepts_count(&self, arguments: usize) -> bool {
        match self.variadic_at() {
            Some(_) => arguments + 1 >= self.parameters.len(),
            None => arguments == self.parameters.len(),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, parameter) in self.parameters.iter().enumerate() {
            let dots = if parameter.variadic { "..." } else { "" };
            write!(f, "{}{}{dots}", if i > 0 { ", " } else { "" }, parameter.pattern)?;
        }
        f.write_str(")")
    }
}

impl FromStr for Signature {
    type Err = SqlError;

    fn from_str(text: &str) -> Result<Self, SqlError> {
        let mut reader = Reader { text, rest: text };
        reader.expect("(")?;
        let mut parameters: Vec<Parameter> = Vec::new();
        if !reader.take(")") {
            loop {
                let literal = reader.take("LITERAL ");
                let pattern = reader.pattern()?;
                let required = reader.take("!");
                let variadic = reader.take("...");
                if variadic && parameters.iter().any(|parameter| parameter.variadic) {
                    return Err(reader.error("at most one '...'"));
                }
                parameters.push(Parameter { pattern, required, literal, variadic });
                if !reader.take(",") {
                    break;
                }
            }
            reader.expect(")")?;
        }
        reader.expect("->")?;
        let returns = reader.pattern()?;
        if reader.rest.trim().is_empty() {
            Ok(Self { parameters, returns })
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
            "DECIMAL" if self.rest.starts_with('(') => {
                let end = self.rest.find(')').map_or(self.rest.len(), |end| end + 1);
                let (digits, after) = self.rest.split_at(end);
                let ty = SqlType::parse(&format!("DECIMAL{digits}"))?;
                self.rest = after;
                Ok(Pattern::Type(ty))
            }
            "DECIMAL" => Ok(Pattern::Decimal),
            "UNIT" => Ok(Pattern::Unit),
            "ANY" => Ok(Pattern::Any),
            "LAMBDA" => {
                self.expect("(")?;
                let mut parameters = vec![self.pattern()?];
                while self.take(",") {
                    parameters.push(self.pattern()?);
                }
                self.expect(")")?;
                self.expect("=>")?;
                Ok(Pattern::Lambda(parameters, Box::new(self.pattern()?)))
            }
            "STRUCT" => {
                let mut depth = 0;
                let end = self.rest.find(|c| {
                    depth += i32::from(c == '<') - i32::from(c == '>');
                    depth == 0
                });
                let (fields, after) = self.rest.split_at(end.map_or(self.rest.len(), |end| end + 1));
                let ty = SqlType::parse(&format!("STRUCT{fields}"))?;
                self.rest = after;
                Ok(Pattern::Type(ty))
            }
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
    /// A lambda with that many parameters.
    Lambda(usize),
}

impl fmt::Display for ArgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(ty) => ty.fmt(f),
            Self::Null => f.write_str("null"),
            Self::Unit => f.write_str("INTERVALUNIT"),
            Self::Lambda(_) => f.write_str("LAMBDA"),
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
    /// Parts of addresses.
    Url,
    /// Functions that take functions.
    Lambda,
    /// Functions that give several rows.
    Table,
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
            Self::Url => "URL",
            Self::Lambda => "LAMBDA",
            Self::Table => "TABLE",
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
        for text in [
            "(ARRAY<T>, LAMBDA (T) => R)",
            "(MAP<K, V>, LAMBDA (K, V) => BOOLEAN)",
            "(STRUCT<`A` STRING, `B` ARRAY<STRUCT<`C` INTEGER>>>, ANY...)",
        ] {
            let read: Signature = format!("{text} -> STRUCT<`x` INT>").parse().unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(read.returns.to_string(), "STRUCT<`x` INTEGER>");
        }
    }

    #[test]
    fn the_variadic_parameter_may_stand_anywhere() {
        let signature: Signature = "(BIGINT, STRING..., LITERAL INT, DOUBLE) -> BIGINT".parse().unwrap();
        for (arguments, expected) in [
            (3, "BIGINT INTEGER DOUBLE"),
            (4, "BIGINT STRING INTEGER DOUBLE"),
            (6, "BIGINT STRING STRING STRING INTEGER DOUBLE"),
        ] {
            assert!(signature.accepts_count(arguments));
            let patterns: Vec<_> = (0..arguments)
                .map(|i| signature.parameter(i, arguments).unwrap().pattern.to_string())
                .collect();
            assert_eq!(patterns.join(" "), expected);
        }
        assert!(!signature.accepts_count(2));
    }

    #[test]
    fn bad_signatures_say_where() {
        for (text, expected) in [
            ("INT -> INT", "expected ( before 'INT -> INT'"),
            ("(INTT) -> INT", "expected a type before 'INTT) -> INT'"),
            ("(INT) INT", "expected -> before 'INT'"),
            ("(INT..., INT...) -> INT", "expected at most one '...' before ') -> INT'"),
            ("(INT) -> INT x", "expected the end before 'x'"),
            ("(STRUCT<a INT) -> INT", "expected"),
        ] {
            let error = text.parse::<Signature>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
