//! The WITH clause of sources: names, types and rules of its properties.

use millstream_formats::{Format, FormatSpec, parse_delimiter};

use crate::{
    ast::{Interval, Properties, Property, Span, TimeUnit},
    catalogue::{Columns, TimestampColumn, Windowing},
    error::SqlError,
    types::SqlType,
};

/// Properties of every source.
const SOURCE: [&str; 13] = [
    "KAFKA_TOPIC",
    "FORMAT",
    "KEY_FORMAT",
    "VALUE_FORMAT",
    "KEY_DELIMITER",
    "VALUE_DELIMITER",
    "PARTITIONS",
    "REPLICAS",
    "RETENTION_MS",
    "CLEANUP_POLICY",
    "TIMESTAMP",
    "TIMESTAMP_FORMAT",
    "WRAP_SINGLE_VALUE",
];
/// Those of `CREATE {STREAM|TABLE}` besides; a query says the rest itself.
const DECLARED: [&str; 4] = ["WINDOW_TYPE", "WINDOW_SIZE", "SOURCED_BY_CONNECTOR", "SOURCE_CONNECTOR"];

/// A checked WITH clause.
#[derive(Clone, Debug, Default)]
pub(crate) struct With {
    /// `KAFKA_TOPIC`
    pub(crate) topic: Option<String>,
    /// `KEY_FORMAT` or `FORMAT`
    pub(crate) key_format: Option<Format>,
    /// `VALUE_FORMAT` or `FORMAT`
    pub(crate) value_format: Option<Format>,
    /// Where `KEY_FORMAT` stands, if it is there; FORMAT does not count.
    pub(crate) key_format_span: Option<Span>,
    /// `KEY_DELIMITER`
    pub(crate) key_delimiter: Option<char>,
    /// `VALUE_DELIMITER`
    pub(crate) value_delimiter: Option<char>,
    /// `PARTITIONS`
    pub(crate) partitions: Option<u32>,
    /// `REPLICAS`
    pub(crate) replicas: Option<u16>,
    /// `RETENTION_MS`
    pub(crate) retention_ms: Option<i64>,
    /// `WRAP_SINGLE_VALUE`
    pub(crate) wrapped: Option<bool>,
    /// `WINDOW_TYPE` and `WINDOW_SIZE`
    pub(crate) window: Option<Windowing>,
    timestamp: Option<(TimestampColumn, Span)>,
    wrapped_span: Span,
}

impl With {
    /// Checks the clause of a source declaration.
    pub(crate) fn of_create(properties: &Properties) -> Result<Self, SqlError> {
        properties.check_names(&[SOURCE.as_slice(), &DECLARED].concat())?;
        let mut with = Self::read(properties)?;
        with.window = window(properties)?;
        Ok(with)
    }

    /// Checks the clause of a CREATE .. AS SELECT.
    pub(crate) fn of_create_as(properties: &Properties) -> Result<Self, SqlError> {
        properties.check_names(&SOURCE)?;
        Self::read(properties)
    }

    fn read(properties: &Properties) -> Result<Self, SqlError> {
        if let Some(policy) = properties.get("CLEANUP_POLICY") {
            return Err(SqlError::invalid(
                "CLEANUP_POLICY cannot be set: it follows from the kind of source",
            )
            .at(policy.name_span)
            .hint("streams delete, tables compact"));
        }
        if let Some(format) = properties.get("FORMAT")
            && let Some(other) = properties.get("KEY_FORMAT").or_else(|| properties.get("VALUE_FORMAT"))
        {
            return Err(SqlError::invalid(format!("cannot supply both FORMAT and {}", other.name))
                .at(format.name_span)
                .hint("FORMAT sets the format of keys and values"));
        }
        let format = |name: &str| -> Result<Option<Format>, SqlError> {
            let Some(property) = properties.get(name).or_else(|| properties.get("FORMAT")) else {
                return Ok(None);
            };
            let format = property.string()?.parse::<Format>();
            format.map(Some).map_err(|error| SqlError::invalid(error.to_string()).at(property.value_span))
        };
        let delimiter = |name: &str| -> Result<Option<char>, SqlError> {
            let Some(property) = properties.get(name) else { return Ok(None) };
            let delimiter = parse_delimiter(property.string()?);
            delimiter.map(Some).map_err(|error| SqlError::invalid(error.to_string()).at(property.value_span))
        };
        let topic = match properties.get("KAFKA_TOPIC") {
            Some(property) if property.string()?.is_empty() => {
                return Err(property.wrong("the name of a topic"));
            }
            Some(property) => Some(property.string()?.to_owned()),
            None => None,
        };
        let timestamp = match (properties.get("TIMESTAMP"), properties.get("TIMESTAMP_FORMAT")) {
            (None, Some(format)) => {
                return Err(SqlError::invalid(
                    "TIMESTAMP_FORMAT needs TIMESTAMP, the name of a STRING column",
                )
                .at(format.name_span));
            }
            (None, None) => None,
            (Some(column), format) => {
                let format = format.map(|format| format.string().map(str::to_owned)).transpose()?;
                // A column name follows the rules of identifiers: upper case unless it is in backticks.
                let text = column.string()?;
                let name = match text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
                    Some(quoted) => quoted.replace("``", "`"),
                    None => text.to_uppercase(),
                };
                Some((TimestampColumn { column: name, format }, column.value_span))
            }
        };
        Ok(Self {
            topic,
            key_format: format("KEY_FORMAT")?,
            key_format_span: properties.get("KEY_FORMAT").map(|property| property.name_span),
            value_format: format("VALUE_FORMAT")?,
            key_delimiter: delimiter("KEY_DELIMITER")?,
            value_delimiter: delimiter("VALUE_DELIMITER")?,
            partitions: number(properties.get("PARTITIONS"), 1)?,
            replicas: number(properties.get("REPLICAS"), 1)?,
            retention_ms: number(properties.get("RETENTION_MS"), -1)?,
            wrapped: properties.get("WRAP_SINGLE_VALUE").map(Property::boolean).transpose()?,
            wrapped_span: properties.get("WRAP_SINGLE_VALUE").map_or_else(Span::default, |p| p.name_span),
            window: None,
            timestamp,
        })
    }

    /// The key format for these key columns, `inherited` unless the clause says otherwise.
    pub(crate) fn key_spec(&self, columns: &Columns, inherited: FormatSpec) -> Result<FormatSpec, SqlError> {
        let format = match self.key_format {
            Some(format) => format,
            None if columns.key.is_empty() => Format::None,
            None if inherited.format == Format::None => Format::Kafka,
            None => inherited.format,
        };
        let format = if columns.key.is_empty() { Format::None } else { format };
        let mut spec = FormatSpec::key(format, columns.key.len());
        spec.delimiter = self.key_delimiter.or(inherited.delimiter.filter(|_| format == inherited.format));
        let fields = columns.key_fields();
        if let Some(map) = columns.key.iter().find(|column| contains_map(&column.ty)) {
            let message =
                format!("map keys, including types that contain maps, are not supported: {}", map.name);
            return Err(SqlError::invalid(message));
        }
        spec.check(&fields).map_err(|error| {
            SqlError::invalid(format!("key format does not support schema: {error}"))
                .hint("choose another with KEY_FORMAT, for example KEY_FORMAT='JSON'")
        })?;
        Ok(spec)
    }

    /// What is made of a source with this clause inherits this key format: `own`, or without key columns what the
    /// clause named all the same, or else `inherited`.
    pub(crate) fn inherited_key_format(&self, own: FormatSpec, inherited: FormatSpec) -> FormatSpec {
        match self.key_format {
            _ if own.format != Format::None => own,
            Some(format) => FormatSpec { delimiter: self.key_delimiter, ..FormatSpec::key(format, 1) },
            None => inherited,
        }
    }

    /// The value format for these value columns, `inherited` unless the clause says otherwise.
    pub(crate) fn value_spec(
        &self,
        columns: &Columns,
        inherited: FormatSpec,
    ) -> Result<FormatSpec, SqlError> {
        let format = self.value_format.unwrap_or(inherited.format);
        let mut spec = FormatSpec::value(format);
        spec.delimiter = self.value_delimiter.or(inherited.delimiter.filter(|_| format == inherited.format));
        if let Some(wrapped) = self.wrapped {
            if columns.value.len() != 1 {
                return Err(SqlError::invalid(
                    "WRAP_SINGLE_VALUE is only valid for sources with a single value column",
                )
                .at(self.wrapped_span));
            }
            spec.wrapped = wrapped;
        }
        spec.check(&columns.value_fields()).map_err(|error| {
            SqlError::invalid(format!("value format does not support schema: {error}"))
                .hint("choose another with VALUE_FORMAT, for example VALUE_FORMAT='JSON'")
        })?;
        Ok(spec)
    }

    /// The timestamp column, checked against the columns.
    pub(crate) fn timestamp(&self, columns: &Columns) -> Result<Option<TimestampColumn>, SqlError> {
        let Some((timestamp, span)) = &self.timestamp else { return Ok(None) };
        let Some(column) = columns.find(&timestamp.column) else {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(SqlError::invalid(format!(
                "the TIMESTAMP column {} does not exist",
                timestamp.column
            ))
            .at(*span)
            .hint_nearest(&timestamp.column, &names, "columns"));
        };
        match (&column.ty, &timestamp.format) {
            (SqlType::Bigint | SqlType::Timestamp, None) | (SqlType::String, Some(_)) => {
                Ok(Some(timestamp.clone()))
            }
            (SqlType::String, None) => {
                Err(SqlError::invalid(format!("the TIMESTAMP column {} is STRING", column.name))
                    .at(*span)
                    .hint("add TIMESTAMP_FORMAT, for example TIMESTAMP_FORMAT='yyyy-MM-dd HH:mm:ss'"))
            }
            (ty, Some(_)) => Err(SqlError::invalid(format!(
                "TIMESTAMP_FORMAT is for STRING columns, but {} is {ty}",
                column.name
            ))
            .at(*span)),
            (ty, None) => Err(SqlError::invalid(format!(
                "the TIMESTAMP column {} must be BIGINT, TIMESTAMP or STRING, not {ty}",
                column.name
            ))
            .at(*span)),
        }
    }
}

fn contains_map(ty: &SqlType) -> bool {
    match ty {
        SqlType::Map(..) => true,
        SqlType::Array(item) => contains_map(item),
        SqlType::Struct(fields) => fields.iter().any(|field| contains_map(&field.ty)),
        _ => false,
    }
}

fn number<T: TryFrom<i64>>(property: Option<&Property>, min: i64) -> Result<Option<T>, SqlError> {
    let Some(property) = property else { return Ok(None) };
    let value = property.integer()?;
    T::try_from(value)
        .ok()
        .filter(|_| value >= min)
        .map(Some)
        .ok_or_else(|| property.wrong(&format!("a whole number from {min} on")))
}

fn window(properties: &Properties) -> Result<Option<Windowing>, SqlError> {
    let (kind, size) = (properties.get("WINDOW_TYPE"), properties.get("WINDOW_SIZE"));
    let Some(kind) = kind else {
        return match size {
            Some(size) => Err(SqlError::invalid("WINDOW_SIZE needs WINDOW_TYPE").at(size.name_span)),
            None => Ok(None),
        };
    };
    let size = || {
        let size = size.ok_or_else(|| {
            SqlError::invalid("windowed sources need WINDOW_SIZE")
                .at(kind.name_span)
                .hint("WINDOW_SIZE='10 SECONDS'")
        })?;
        let mut words = size.string()?.split_whitespace();
        let count = words.next().and_then(|word| word.parse().ok());
        let unit = words.next().and_then(|word| TimeUnit::from_word(&word.to_uppercase()));
        match (count, unit, words.next()) {
            (Some(count), Some(unit), None) => Ok(Interval { count, unit }.millis()),
            _ => Err(size.wrong("a number and a unit, for example '10 SECONDS'")),
        }
    };
    match kind.string()?.to_uppercase().as_str() {
        "TUMBLING" => Ok(Some(Windowing::Tumbling { size_ms: size()? })),
        "HOPPING" => Ok(Some(Windowing::Hopping { size_ms: size()? })),
        "SESSION" => {
            Err(SqlError::unsupported("WINDOW_TYPE SESSION is not supported by this version")
                .at(kind.value_span))
        }
        _ => Err(kind.wrong("TUMBLING or HOPPING")),
    }
}
