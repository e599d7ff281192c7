//! Which versions of a subject are meant.

use std::{fmt, str::FromStr};

use super::RegistryError;

/// Whether a reader sees what is deleted softly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deleted {
    /// Only what is not deleted.
    #[default]
    Exclude,
    /// Both.
    Include,
    /// Only what is deleted.
    Only,
}

impl Deleted {
    pub(super) fn admits(self, deleted: bool) -> bool {
        match self {
            Self::Exclude => !deleted,
            Self::Include => true,
            Self::Only => deleted,
        }
    }
}

/// Which version of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionSpec {
    /// The newest.
    Latest,
    /// The one with this number.
    Number(i32),
}

impl FromStr for VersionSpec {
    type Err = RegistryError;

    /// Fails with 42202.
    fn from_str(text: &str) -> Result<Self, RegistryError> {
        match (text, text.parse()) {
            ("latest" | "-1", _) => Ok(Self::Latest),
            (_, Ok(number)) if number > 0 => Ok(Self::Number(number)),
            _ => Err(RegistryError::new(
                42202,
                format!(
                    "The specified version '{text}' is not a valid version id. Allowed values are between \
                     [1, 2^31-1] and the string \"latest\""
                ),
            )),
        }
    }
}

impl fmt::Display for VersionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Number(number) => number.fmt(f),
        }
    }
}
