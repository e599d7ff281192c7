//! How one side of a topic is written, and which columns fit it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::{
    DECIMAL_PRECISION_MAX, Decoder, Encoder, Format, FormatError, ResolvedSchema, Schema, SchemaRegistry,
    avro,
    connect_schema::{ConnectSchema, sql_fields},
    json_sr, protobuf, type_name,
    types::field_list,
};

/// A format with its settings: everything needed to read and write one side of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FormatSpec {
    /// The format.
    pub format: Format,
    /// Separator of DELIMITED, one ASCII character; `None` is the comma.
    pub delimiter: Option<char>,
    /// Whether the columns are the named fields of a record (`true`) or one column is written bare.
    pub wrapped: bool,
    /// How PROTOBUF and PROTOBUF_NOSR tell NULL from zero (`*_PROTOBUF_NULLABLE_REPRESENTATION`).
    pub nulls: ProtobufNulls,
    /// Whether the wrapper messages of PROTOBUF, such as `google.protobuf.Int32Value`, are read as primitives.
    pub unwrap_primitives: bool,
    /// Whether JSON_SR reads by the schemas that payloads name, or what follows the header as JSON
    /// (`ksql.json_sr.converter.deserializer.enabled`).
    pub json_sr_converter: bool,
}

/// How Protobuf fields of primitive types tell NULL from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProtobufNulls {
    /// They do not: NULL is written as zero.
    #[default]
    Absent,
    /// Fields are `optional`.
    Optional,
    /// Fields are messages of `google/protobuf/wrappers.proto`.
    Wrapper,
}

/// Where one side of a topic keeps its schemas. What AVRO, PROTOBUF and JSON_SR need beside a [`FormatSpec`].
#[derive(Clone, Debug)]
pub struct Subject {
    /// The registry.
    pub registry: Arc<dyn SchemaRegistry>,
    /// The subject: `<topic>-key` or `<topic>-value`.
    pub name: String,
    /// The name of the record or message (`*_SCHEMA_FULL_NAME`); `None` is the format's default.
    pub full_name: Option<String>,
    /// The id of the schema to write with (`*_SCHEMA_ID`); `None` generates one from the columns and registers it.
    pub schema_id: Option<i32>,
}

impl Subject {
    /// The subject of a format that cannot do without one.
    pub(crate) fn needed<'a>(subject: Option<&'a Self>, spec: &FormatSpec) -> Result<&'a Self, FormatError> {
        subject.ok_or(FormatError::NoRegistry { format: spec.format })
    }
}

impl FormatSpec {
    /// The default layout of a value: wrapped where the format can.
    pub fn value(format: Format) -> Self {
        Self::new(format, format.can_wrap())
    }

    /// The layout of a key: a single column is written bare, several are wrapped where the format can.
    pub fn key(format: Format, columns: usize) -> Self {
        Self::new(format, format.can_wrap() && (columns > 1 || !format.can_unwrap()))
    }

    /// A format in which the columns are the named fields of a record, or one column stands bare.
    pub const fn new(format: Format, wrapped: bool) -> Self {
        Self {
            format,
            delimiter: None,
            wrapped,
            nulls: ProtobufNulls::Absent,
            unwrap_primitives: false,
            json_sr_converter: true,
        }
    }

    /// The same with another delimiter.
    pub fn with_delimiter(self, delimiter: char) -> Self {
        Self { delimiter: Some(delimiter), ..self }
    }

    /// The same, wrapped or bare (`WRAP_SINGLE_VALUE`).
    pub fn with_wrapped(self, wrapped: bool) -> Self {
        Self { wrapped, ..self }
    }

    /// Whether these columns fit: number, types at every depth, settings.
    pub fn check(&self, fields: &Fields) -> Result<(), FormatError> {
        let format = self.format;
        if let Some(delimiter) = self.delimiter {
            if format != Format::Delimited {
                return Err(FormatError::UnsupportedConfig { format, config: "delimiter" });
            }
            check_delimiter(delimiter)?;
        }
        if !format.takes_single(self.wrapped) {
            return Err(FormatError::Wrapping { format, wrapped: self.wrapped });
        }
        match format {
            Format::None if !fields.is_empty() => {
                return Err(FormatError::NoFieldsAllowed { format, fields: field_list(fields) });
            }
            Format::Kafka if fields.len() != 1 => {
                return Err(FormatError::SingleFieldOnly { format, fields: field_list(fields) });
            }
            _ if format.can_wrap() && !self.wrapped && fields.len() != 1 => {
                return Err(FormatError::CannotUnwrap { fields: field_list(fields) });
            }
            _ => {}
        }
        fields.iter().try_for_each(|field| check_type(format, field.data_type()))
    }

    /// Prepares reading. `projection` picks columns by their position in `fields`; the decoder yields exactly
    /// these, in that order, and does not judge the values of the others. Formats with a
    /// [`Format::schema_type`] need a `subject`.
    pub fn decoder(
        &self,
        fields: &Fields,
        projection: Option<&[usize]>,
        subject: Option<&Subject>,
    ) -> Result<Decoder, FormatError> {
        self.check(fields)?;
        Decoder::new(self, fields, projection, subject)
    }

    /// Prepares writing of all `fields`, in their order. For formats with a [`Format::schema_type`] this finds
    /// the schema to write with, or registers one.
    pub fn encoder(&self, fields: &Fields, subject: Option<&Subject>) -> Result<Encoder, FormatError> {
        self.check(fields)?;
        Encoder::new(self, fields, subject)
    }

    /// The schema that these columns are written with, as it is registered; `None` for formats without one.
    pub fn generate_schema(
        &self,
        fields: &Fields,
        full_name: Option<&str>,
    ) -> Result<Option<Schema>, FormatError> {
        self.check(fields)?;
        match self.format {
            Format::Avro => avro::generate(self, fields, full_name).map(Some),
            Format::Protobuf | Format::ProtobufNosr => protobuf::generate(self, fields, full_name).map(Some),
            Format::JsonSr => json_sr::generate(self, fields).map(Some),
            Format::Kafka | Format::Delimited | Format::Json | Format::None => Ok(None),
        }
    }

    /// The columns of a registered schema, in its own spelling. A schema that is read bare is one column with
    /// the name `bare`.
    pub fn infer(
        &self,
        schema: &ResolvedSchema,
        full_name: Option<&str>,
        bare: &str,
    ) -> Result<Fields, FormatError> {
        let connect = match self.format {
            Format::Avro => avro::infer(schema)?,
            Format::Protobuf => protobuf::infer(self, schema, full_name)?,
            Format::JsonSr => json_sr::infer(schema)?,
            Format::Kafka | Format::Delimited | Format::Json | Format::ProtobufNosr | Format::None => {
                return Err(FormatError::NoInference { format: self.format });
            }
        };
        let fields = match (&connect, self.wrapped) {
            (ConnectSchema::Struct(fields), true) => sql_fields(fields),
            (_, true) => return Err(FormatError::AnonymousType),
            (single, false) => single.sql_type().into_iter().map(|ty| Field::new(bare, ty, true)).collect(),
        };
        if fields.is_empty() { Err(FormatError::NoSupportedColumns) } else { Ok(fields) }
    }

    /// The full name of the record or message that a registered schema describes; `None` if it has no name.
    pub fn record_name(
        &self,
        schema: &ResolvedSchema,
        full_name: Option<&str>,
    ) -> Result<Option<String>, FormatError> {
        match self.format {
            Format::Avro => avro::record_name(schema),
            Format::Protobuf => protobuf::message_name(schema, full_name).map(Some),
            _ => Ok(None),
        }
    }

    pub(crate) fn delimiter_byte(&self) -> u8 {
        self.delimiter.map_or(b',', |delimiter| delimiter as u8)
    }
}

/// Reads a delimiter as written in `KEY_DELIMITER` or `VALUE_DELIMITER`: one character, `TAB` or `SPACE`.
pub fn parse_delimiter(text: &str) -> Result<char, FormatError> {
    let delimiter = match text.to_ascii_uppercase().as_str() {
        "TAB" => '\t',
        "SPACE" => ' ',
        _ => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(only), None) if !only.is_whitespace() => only,
                _ => return Err(FormatError::InvalidDelimiter { value: text.to_owned() }),
            }
        }
    };
    check_delimiter(delimiter)?;
    Ok(delimiter)
}

fn check_delimiter(delimiter: char) -> Result<(), FormatError> {
    if delimiter.is_ascii() && !matches!(delimiter, '"' | '\r' | '\n') {
        Ok(())
    } else {
        Err(FormatError::InvalidDelimiter { value: delimiter.to_string() })
    }
}

fn check_type(format: Format, data_type: &DataType) -> Result<(), FormatError> {
    let supported = match data_type {
        DataType::Decimal256(precision, _) if *precision > DECIMAL_PRECISION_MAX => {
            return Err(FormatError::Precision { data_type: type_name(data_type) });
        }
        DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Utf8 | DataType::Binary => true,
        DataType::Boolean
        | DataType::Decimal128(..)
        | DataType::Decimal256(..)
        | DataType::Date32
        | DataType::Time32(TimeUnit::Millisecond)
        | DataType::Timestamp(TimeUnit::Millisecond, None) => format != Format::Kafka,
        DataType::List(item) if format.can_wrap() => return check_nested(format, data_type, item),
        DataType::Struct(fields) if format.can_wrap() => {
            return fields.iter().try_for_each(|field| check_nested(format, data_type, field));
        }
        DataType::Map(entries, _) if format.can_wrap() => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                if pair[0].data_type() != &DataType::Utf8 {
                    return Err(FormatError::MapKey { format });
                }
                return check_nested(format, data_type, &pair[1]);
            }
            _ => false,
        },
        _ => false,
    };
    if supported { Ok(()) } else { Err(FormatError::unsupported(format, data_type)) }
}

fn check_nested(format: Format, outer: &DataType, field: &Field) -> Result<(), FormatError> {
    if !field.is_nullable() {
        return Err(FormatError::NotNullable { field: field.name().clone(), data_type: type_name(outer) });
    }
    check_type(format, field.data_type())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn fields(types: &[DataType]) -> Fields {
        types.iter().enumerate().map(|(index, t)| Field::new(format!("C{index}"), t.clone(), true)).collect()
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("item", item, true)))
    }

    fn map(key: DataType, value: DataType) -> DataType {
        let entries = Fields::from(vec![Field::new("keys", key, false), Field::new("values", value, true)]);
        DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
    }

    #[test]
    fn the_capability_matrix_is_that_of_the_reference() {
        use DataType::{Binary, Boolean, Date32, Decimal128, Decimal256, Float64, Int32, Int64, Utf8};
        for (format, types, expected) in [
            (Format::Kafka, vec![Int32], ""),
            (Format::Kafka, vec![Binary], ""),
            (Format::Kafka, vec![Boolean], "The 'KAFKA' format does not support type 'BOOLEAN'"),
            (
                Format::Kafka,
                vec![Int32, Int64],
                "The 'KAFKA' format only supports a single field. Got: [`C0` INTEGER, `C1` BIGINT]",
            ),
            (Format::Kafka, vec![list(Utf8)], "The 'KAFKA' format does not support type 'ARRAY<STRING>'"),
            (Format::Delimited, vec![Boolean, Decimal128(4, 2), Date32, Float64, Binary], ""),
            (Format::Delimited, vec![Decimal256(76, 2)], ""),
            (
                Format::Kafka,
                vec![Decimal256(76, 2)],
                "The 'KAFKA' format does not support type 'DECIMAL(76, 2)'",
            ),
            (
                Format::Json,
                vec![list(Decimal256(77, 2))],
                "DECIMAL(77, 2) has too many digits: a DECIMAL holds 76 at most",
            ),
            (
                Format::Delimited,
                vec![map(Utf8, Int32)],
                "The 'DELIMITED' format does not support type 'MAP<STRING, INTEGER>'",
            ),
            (Format::Json, vec![list(map(Utf8, Int32))], ""),
            (Format::Json, vec![map(Int32, Int32)], "JSON only supports MAP types with STRING keys"),
            (Format::Json, vec![DataType::Int8], "The 'JSON' format does not support type 'Int8'"),
            (Format::None, vec![], ""),
            (
                Format::None,
                vec![Int32],
                "The 'NONE' format can only be used when no columns are defined. Got: [`C0` INTEGER]",
            ),
        ] {
            let found = FormatSpec::value(format).check(&fields(&types));
            assert_eq!(
                found.err().map_or(String::new(), |error| error.to_string()),
                expected,
                "{format} {types:?}"
            );
        }
    }

    #[test]
    fn settings_of_another_format_are_refused() {
        let one = fields(&[DataType::Utf8]);
        for (spec, expected) in [
            (
                FormatSpec::value(Format::Json).with_delimiter('|'),
                "JSON does not support the following configs: [delimiter]",
            ),
            (
                FormatSpec::value(Format::Delimited).with_wrapped(true),
                "Format 'DELIMITED' does not support 'WRAP_SINGLE_VALUE' set to 'true'.",
            ),
            (
                FormatSpec::value(Format::Kafka).with_wrapped(true),
                "Format 'KAFKA' does not support 'WRAP_SINGLE_VALUE' set to 'true'.",
            ),
            (
                FormatSpec::value(Format::Protobuf).with_wrapped(false),
                "Format 'PROTOBUF' does not support 'WRAP_SINGLE_VALUE' set to 'false'.",
            ),
        ] {
            assert_eq!(spec.check(&one).expect_err("must be refused").to_string(), expected);
        }
        let two = fields(&[DataType::Utf8, DataType::Utf8]);
        assert_eq!(
            FormatSpec::value(Format::Json)
                .with_wrapped(false)
                .check(&two)
                .expect_err("two columns")
                .to_string(),
            "'WRAP_SINGLE_VALUE' is only valid for single-field value schemas. Got: [`C0` STRING, `C1` STRING]"
        );
    }

    #[test]
    fn delimiters_are_one_character_or_a_name() {
        for (text, expected) in [("|", Ok('|')), ("tab", Ok('\t')), ("SPACE", Ok(' ')), ("$", Ok('$'))] {
            assert_eq!(parse_delimiter(text), expected);
        }
        for text in ["", " ", "||", "\"", "£"] {
            let value = text.to_owned();
            assert_eq!(parse_delimiter(text), Err(FormatError::InvalidDelimiter { value }), "{text:?}");
        }
    }
}
