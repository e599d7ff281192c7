//! The closed set of serialization formats.

use std::{fmt, str::FromStr};

use crate::{FormatError, SchemaType};

/// How one side of a record, key or value, is written. Names are ksqlDB's, in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Kafka's primitive serializers: one bare column.
    Kafka,
    /// One line of CSV.
    Delimited,
    /// One JSON text.
    Json,
    /// Avro binary behind the id of its schema.
    Avro,
    /// A Protobuf message behind the id of its schema.
    Protobuf,
    /// A Protobuf message whose schema follows from the columns, and nothing else.
    ProtobufNosr,
    /// One JSON text behind the id of its JSON Schema.
    JsonSr,
    /// No columns and no bytes.
    None,
}

impl Format {
    /// Every format, in the order in which they are listed to users.
    pub const ALL: [Format; 8] = [
        Format::Avro,
        Format::Delimited,
        Format::Json,
        Format::JsonSr,
        Format::Kafka,
        Format::None,
        Format::Protobuf,
        Format::ProtobufNosr,
    ];

    /// The name as written in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "KAFKA",
            Self::Delimited => "DELIMITED",
            Self::Json => "JSON",
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::ProtobufNosr => "PROTOBUF_NOSR",
            Self::JsonSr => "JSON_SR",
            Self::None => "NONE",
        }
    }

    /// Whether several columns fit in one payload.
    pub fn holds_many_columns(self) -> bool {
        !matches!(self, Self::Kafka | Self::None)
    }

    /// Whether a single value can stand in a record with named fields (`WRAP_SINGLE_VALUE=true`).
    pub fn can_wrap(self) -> bool {
        matches!(self, Self::Json | Self::JsonSr | Self::Avro | Self::Protobuf | Self::ProtobufNosr)
    }

    /// Whether a single value can stand bare (`WRAP_SINGLE_VALUE=false`).
    pub fn can_unwrap(self) -> bool {
        self != Self::Protobuf
    }

    /// Whether a single value can stand in a record (`wrapped`) or bare.
    pub fn takes_single(self, wrapped: bool) -> bool {
        if wrapped { self.can_wrap() } else { self.can_unwrap() }
    }

    /// The language in which the format keeps its schemas in a registry; `None` if it keeps none there.
    pub fn schema_type(self) -> Option<SchemaType> {
        match self {
            Self::Avro => Some(SchemaType::Avro),
            Self::Protobuf => Some(SchemaType::Protobuf),
            Self::JsonSr => Some(SchemaType::Json),
            Self::Kafka | Self::Delimited | Self::Json | Self::ProtobufNosr | Self::None => None,
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
        assert_eq!(
            error.to_string(),
            "Unknown format: jsn. Valid formats are: AVRO, DELIMITED, JSON, JSON_SR, KAFKA, NONE, PROTOBUF, \
             PROTOBUF_NOSR"
        );
    }
}
