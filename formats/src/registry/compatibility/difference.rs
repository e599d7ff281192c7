//! One thing that keeps a schema from following another.

/// Which schema of a comparison reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The new one: data of the old one must be readable (backward).
    New,
    /// The old one: it must read data of the new one (forward).
    Old,
}

/// An incompatibility: the kind as the original names it, and a sentence in which `{reader}` and `{writer}`
/// stand for `new` and `old`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) kind: &'static str,
    pub(super) description: String,
    /// More about it; in Avro only.
    pub(super) info: Option<String>,
}

impl Difference {
    pub(super) fn new(kind: &'static str, description: impl Into<String>) -> Self {
        Self { kind, description: description.into(), info: None }
    }

    /// The line that the API answers with.
    pub(super) fn line(&self, side: Side) -> String {
        let (reader, writer) = match side {
            Side::New => ("new", "old"),
            Side::Old => ("old", "new"),
        };
        let description = self.description.replace("{reader}", reader).replace("{writer}", writer);
        let info = self.info.as_ref().map_or(String::new(), |info| format!(", additionalInfo:'{info}'"));
        format!("{{errorType:'{}', description:'{description}'{info}}}", self.kind)
    }
}
