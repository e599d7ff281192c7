//! What a registry refuses, with the codes of its REST API.

/// The code of what does not fit in a record batch of the topic.
pub(super) const SCHEMA_TOO_LARGE: u32 = 42209;

/// A refusal: the code that the original registry answers with, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RegistryError {
    /// An HTTP status (`409`) or a status followed by two digits (`40401`).
    pub code: u32,
    /// What was wrong, and with which subject, version or id.
    pub message: String,
}

impl RegistryError {
    /// Any other refusal.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// 40401.
    pub fn subject_not_found(subject: &str) -> Self {
        Self::new(40401, format!("Subject '{subject}' not found."))
    }

    /// 40402.
    pub fn version_not_found(version: i32) -> Self {
        Self::new(40402, format!("Version {version} not found."))
    }

    /// 40403.
    pub fn schema_not_found(id: i32) -> Self {
        Self::new(40403, format!("Schema {id} not found"))
    }

    /// 42201.
    pub fn invalid_schema(message: impl Into<String>) -> Self {
        Self::new(42201, message)
    }
}
