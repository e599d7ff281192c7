//! Why a payload does not become a row, or a row no payload, and where.

use crate::FormatError;

/// A sentence and the path to the value. Boxed, because it travels through every call of the hot loops.
#[derive(Debug)]
pub(crate) struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    what: String,
    /// Such as `->F1->ARRAY`; `None` if the sentence says where.
    path: Option<String>,
}

impl Fault {
    /// A fault of the value at hand.
    #[cold]
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(Box::new(Inner { what: what.into(), path: Some(String::new()) }))
    }

    /// A fault whose sentence says where it is.
    #[cold]
    pub(crate) fn complete(what: impl Into<String>) -> Self {
        Self(Box::new(Inner { what: what.into(), path: None }))
    }

    /// The payload ends in the middle of a value.
    #[cold]
    pub(crate) fn end() -> Self {
        Self::new("the payload ends in the middle of a value")
    }

    /// The same fault, seen from around the field, item or entry that it is in.
    #[cold]
    pub(crate) fn inside(mut self, part: &str) -> Self {
        if let Some(path) = &mut self.0.path {
            path.insert_str(0, part);
            path.insert_str(0, "->");
        }
        self
    }

    pub(crate) fn message(self) -> String {
        match self.0.path {
            Some(path) if !path.is_empty() => format!("{}, path: {path}", self.0.what),
            _ => self.0.what,
        }
    }
}

impl From<Fault> for FormatError {
    fn from(fault: Fault) -> Self {
        Self::Schema(fault.message())
    }
}
