//! Why a JSON payload could not be read, and where in it.

use std::fmt::Write as _;

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

    #[cold]
    pub(crate) fn syntax(position: usize, expected: &'static str) -> Self {
        Self::new(What::Syntax { position, expected })
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
            What::Base64 => format!("Can't decode base64 text to type BYTES, path: {path}"),
        }
    }
}
