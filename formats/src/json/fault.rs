//! Why a JSON payload could not be read, and where in it.

use std::fmt::Write as _;

use jiter::{JiterError, JiterErrorType, JsonErrorType};

use crate::decimal::Misfit;

/// A fault on its way out of nested values; each level adds its step to the path. Boxed, so that a good value
/// pays for one pointer only.
#[derive(Debug)]
pub(crate) struct Fault(Box<Detail>);

#[derive(Debug)]
struct Detail {
    what: What,
    /// From the value outwards.
    path: Vec<Step>,
}

#[derive(Debug)]
pub(crate) enum What {
    /// Not JSON.
    Syntax { position: usize, expected: &'static str },
    /// An escape that is half a surrogate pair: JSON, but no character.
    HalfSurrogate { position: usize },
    /// JSON of a kind that the type does not take.
    Convert { source: &'static str, required: &'static str },
    /// Text that does not hold a value of the type.
    Coerce { target: &'static str },
    /// A number that would lose digits.
    Decimal { misfit: Misfit, text: String, precision: u8, scale: i8 },
    /// A TIME outside the day.
    TimeRange { value: i64 },
    /// Text that is not base64.
    Base64,
    /// Another sentence.
    Other(String),
    /// A sentence that says where.
    Refused(String),
}

#[derive(Debug)]
pub(crate) enum Step {
    Field(String),
    Item(usize),
}

impl Fault {
    #[cold]
    pub(crate) fn new(what: What) -> Self {
        Self(Box::new(Detail { what, path: Vec::new() }))
    }

    /// A value nested deeper than values are read.
    #[cold]
    pub(crate) fn too_deep(position: usize) -> Self {
        Self::new(What::Syntax { position, expected: "less nesting" })
    }

    pub(crate) fn is_half_surrogate(&self) -> bool {
        matches!(self.0.what, What::HalfSurrogate { .. })
    }

    /// The same fault seen from one level further out.
    #[cold]
    pub(crate) fn inside(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }

    /// The message, in ksqlDB's words where it has any.
    pub(crate) fn message(&self) -> String {
        let mut path = String::from("$");
        for step in self.0.path.iter().rev() {
            let _ = match step {
                Step::Field(name) => write!(path, ".{name}"),
                Step::Item(index) => write!(path, "[{index}]"),
            };
        }
        match &self.0.what {
            What::Syntax { position, expected } => {
                format!("malformed JSON at byte {position}: expected {expected}, path: {path}")
            }
            What::HalfSurrogate { position } => {
                format!(
                    "malformed JSON at byte {position}: expected both halves of a surrogate pair, path: {path}"
                )
            }
            What::Convert { source, required } => {
                format!("Can't convert type. sourceType: {source}, requiredType: {required}, path: {path}")
            }
            What::Coerce { target } => {
                format!("Can't coerce string to type. targetType: {target}, path: {path}")
            }
            What::Decimal { misfit, text, precision, scale } => {
                format!("{}, path: {path}", misfit.message(text, *precision, *scale))
            }
            What::TimeRange { value } => {
                format!(
                    "Time values must use number of milliseconds greater than 0 and less than 86400000, got {value}, path: {path}"
                )
            }
            What::Refused(text) => text.clone(),
            What::Other(text) => format!("{text}, path: {path}"),
            What::Base64 => format!("Can't decode base64 text to type BYTES, path: {path}"),
        }
    }
}

impl From<JiterError> for Fault {
    #[cold]
    fn from(error: JiterError) -> Self {
        use JsonErrorType as Json;

        let position = error.index;
        let expected = match error.error_type {
            JiterErrorType::JsonError(
                Json::LoneLeadingSurrogateInHexEscape | Json::UnexpectedEndOfHexEscape,
            ) => return Self::new(What::HalfSurrogate { position }),
            JiterErrorType::JsonError(error) => match error {
                Json::EofWhileParsingList | Json::ExpectedListCommaOrEnd => "',' or ']'",
                Json::EofWhileParsingObject => "the end of an object",
                Json::ExpectedObjectCommaOrEnd => "',' or '}'",
                Json::EofWhileParsingString => "the end of a string",
                Json::ExpectedColon => "':' after a name",
                Json::KeyMustBeAString => "a name in quotes",
                Json::TrailingComma => "a value after ','",
                Json::TrailingCharacters => "the end of the text",
                Json::InvalidEscape => "a valid escape",
                Json::ControlCharacterWhileParsingString => "no control character in a string",
                Json::InvalidNumber | Json::FloatExpectingInt => "a number",
                Json::NumberOutOfRange => "a number with fewer digits",
                Json::RecursionLimitExceeded => "less nesting",
                _ => "a value",
            },
            JiterErrorType::WrongType { .. } => "a value",
        };
        Self::new(What::Syntax { position, expected })
    }
}
