//! The closed set of serialization formats.

use std::{fmt, str::FromStr};

use crate::FormatError;

/// How one side of a record, key or value, is written. Names are ksqlDB's, in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Kafka's primitive serializers: one bare column.
    Kafka,
    /// One line of CSV.
    Delimited,
    /// One JSON text.
    Json,
    /// No columns and no bytes.
    None,
}

impl Format {
    /// Every format, in the order in which they are listed to users.
    pub const ALL: [Format; 4] = [Format::Delimited, Format::Json, Format::Kafka, Format::None];

    /// The name as written in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "KAFKA",
            Self::Delimited => "DELIMITED",
            Self::Json => "JSON",
            Self::None => "NONE",
        }
    }

    /// Whether several columns fit in one payload.
    pub fn holds_many_columns(self) -> bool {
        match self {
            Self::Delimited | Self::Json => true,
            Self::Kafka | Self::None => false,
        }
    }

    /// Whether a single value can stand in a record with named fields (`WRAP_SINGLE_VALUE`).
    pub fn can_wrap(self) -> bool {
        match self {
            Self::Json => true,
            Self::Kafka | Self::Delimited | Self::None => false,
        }
    }

    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(name: &str) -> Result<Self, FormatError> {
        Self::ALL
            .into_iter()
            .find(|format| format.name().eq_ignore_ascii_case(name.trim()))
            .ok_or_else(|| FormatError::UnknownFormat { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_written_in_upper_case() {
        for (text, expected) in
            [("json", "JSON"), ("Kafka", "KAFKA"), ("DELIMITED", "DELIMITED"), (" none ", "NONE")]
        {
            assert_eq!(
                text.parse::<Format>().map(|format| format.to_string()),
                Ok(expected.to_owned()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn an_unknown_name_lists_the_valid_ones() {
        let error = "jsn".parse::<Format>().expect_err("no such format");
        assert_eq!(error.to_string(), "Unknown format: jsn. Valid formats are: DELIMITED, JSON, KAFKA, NONE");
    }
}
