//! What a registry, a context or a subject is set to.

use std::{fmt, str::FromStr};

use super::{Compatibility, RegistryError};

/// Which changes a registry takes for a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All; ids and versions are given by the registry.
    #[default]
    ReadWrite,
    /// None.
    ReadOnly,
    /// None, whatever subjects say. Only as the global mode.
    ReadOnlyOverride,
    /// Schemas with the ids and versions that they had elsewhere; nothing is checked for compatibility.
    Import,
}

/// What is set for a subject, a context or globally; nothing means that the wider scope decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectConfig {
    /// Which changes of schemas are taken. Globally BACKWARD by default.
    pub compatibility: Option<Compatibility>,
    /// Whether schemas are normalised when they are registered and looked up. Default false.
    pub normalize: Option<bool>,
    /// The subject that is meant wherever this one is named, except in settings and modes. Only of subjects.
    pub alias: Option<String>,
    /// The name of a metadata property: only schemas with the same value of it are compared. Kept for others: schemas have
    /// no metadata here, so all are compared.
    pub compatibility_group: Option<String>,
}

impl Mode {
    /// The name in the registry's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadWrite => "READWRITE",
            Self::ReadOnly => "READONLY",
            Self::ReadOnlyOverride => "READONLY_OVERRIDE",
            Self::Import => "IMPORT",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = RegistryError;

    /// Fails with 42204.
    fn from_str(name: &str) -> Result<Self, RegistryError> {
        [Self::ReadWrite, Self::ReadOnly, Self::ReadOnlyOverride, Self::Import]
            .into_iter()
            .find(|mode| mode.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let message =
                    "Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, and IMPORT";
                RegistryError::new(42204, message)
            })
    }
}

impl SubjectConfig {
    /// These settings, and those of `wider` where nothing is set.
    pub(super) fn or(self, wider: Self) -> Self {
        Self {
            compatibility: self.compatibility.or(wider.compatibility),
            normalize: self.normalize.or(wider.normalize),
            alias: self.alias.or(wider.alias),
            compatibility_group: self.compatibility_group.or(wider.compatibility_group),
        }
    }
}
