//! The WITH clause of sources: names, types and rules of its properties.

use std::sync::Arc;

use millstream_formats::{
    Format, FormatError, FormatSpec, ProtobufNulls, SchemaRegistry, Subject, parse_delimiter,
};

use crate::{
    ast::{Interval, Properties, Property, SourceKind, Span, TimeUnit, quoted},
    catalogue::{Column, Columns, Source, TimestampColumn, Windowing},
    error::SqlError,
    types::SqlType,
};

/// Properties of every source.
const SOURCE: [&str; 20] = [
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
    "KEY_SCHEMA_ID",
    "VALUE_SCHEMA_ID",
    "KEY_SCHEMA_FULL_NAME",
    "VALUE_SCHEMA_FULL_NAME",
    "VALUE_AVRO_SCHEMA_FULL_NAME",
    "KEY_PROTOBUF_NULLABLE_REPRESENTATION",
    "VALUE_PROTOBUF_NULLABLE_REPRESENTATION",
];
/// Those of `CREATE {STREAM|TABLE}` besides; a query says the rest itself.
const DECLARED: [&str; 4] = ["WINDOW_TYPE", "WINDOW_SIZE", "SOURCED_BY_CONNECTOR", "SOURCE_CONNECTOR"];

/// The namespace of the records that ksqlDB makes up.
const AVRO_NAMESPACE: &str = "io.confluent.ksql.avro_schemas";

/// One side of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl Side {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::Key, Self::Value];

    /// As the names of properties begin.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Key => "KEY",
            Self::Value => "VALUE",
        }
    }

    /// In a sentence.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    /// Its subject in a registry.
    pub(crate) fn subject(self, topic: &str) -> String {
        format!("{topic}-{}", self.word())
    }
}

/// What the clause says of the schema of one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct SchemaSettings {
    /// `*_SCHEMA_ID`, and where it stands
    pub(crate) id: Option<(i32, Span)>,
    /// `*_SCHEMA_FULL_NAME`, and where it stands
    full_name: Option<(String, Span)>,
    /// `*_PROTOBUF_NULLABLE_REPRESENTATION`, and where it stands
    nulls: Option<(ProtobufNulls, Span)>,
}

/// Stands in front of the errors of values that are read before anything else of the statement.
const PREPARE: &str = "Failed to prepare statement: ";

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
    key_schema: SchemaSettings,
    value_schema: SchemaSettings,
    /// `ksql.persistence.default.format.key`: what a key gets where the source has none to inherit.
    pub(crate) key_default: Option<Format>,
    /// `ksql.persistence.wrap.single.values`: holds where the format leaves the choice.
    pub(crate) wrapped_default: Option<bool>,
    /// Whether JSON_SR is read by the schema of each record.
    pub(crate) json_sr_converter: bool,
    /// `WINDOW_TYPE` and `WINDOW_SIZE`
    pub(crate) window: Option<Windowing>,
    timestamp: Option<(TimestampColumn, Span)>,
    wrapped_span: Span,
}

impl SchemaSettings {
    /// Whether a record or message is named.
    pub(crate) fn is_named(&self) -> bool {
        self.full_name.is_some()
    }
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
                "Invalid config variable in the WITH clause: CLEANUP_POLICY.\nThe CLEANUP_POLICY config is \
                 automatically inferred based on the type of source (STREAM or TABLE).\nUsers can't set the \
                 CLEANUP_POLICY config manually.",
            )
            .at(policy.name_span)
            .hint("streams delete, tables compact"));
        }
        if let Some(format) = properties.get("FORMAT")
            && let Some(other) = properties.get("KEY_FORMAT").or_else(|| properties.get("VALUE_FORMAT"))
        {
            return Err(SqlError::invalid(format!(
                "Cannot supply both '{}' and 'FORMAT' properties, as 'FORMAT' sets both key and value formats. \
                 Either use just 'FORMAT', or use 'KEY_FORMAT' and 'VALUE_FORMAT'.",
                other.name
            ))
            .at(format.name_span));
        }
        let format = |name: &str| -> Result<Option<Format>, SqlError> {
            let Some(property) = properties.get(name).or_else(|| properties.get("FORMAT")) else {
                return Ok(None);
            };
            let format = property.string()?.parse::<Format>();
            format.map(Some).map_err(|error| SqlError::invalid(error.to_string()).at(property.value_span))
        };
        let topic = match properties.get("KAFKA_TOPIC") {
            Some(property) if property.string()?.is_empty() => {
                return Err(property.wrong("the name of a topic"));
            }
            Some(property) => Some(property.string()?.to_owned()),
            None => None,
        };
        let (key_format, value_format) = (format("KEY_FORMAT")?, format("VALUE_FORMAT")?);
        Ok(Self {
            topic,
            key_format,
            key_format_span: properties.get("KEY_FORMAT").map(|property| property.name_span),
            value_format,
            key_delimiter: delimiter(properties.get("KEY_DELIMITER"))?,
            value_delimiter: delimiter(properties.get("VALUE_DELIMITER"))?,
            partitions: number(properties.get("PARTITIONS"), 1)?,
            replicas: number(properties.get("REPLICAS"), 1)?,
            retention_ms: number(properties.get("RETENTION_MS"), -1)?,
            wrapped: properties.get("WRAP_SINGLE_VALUE").map(Property::boolean).transpose()?,
            key_schema: schema_settings(properties, Side::Key)?,
            value_schema: schema_settings(properties, Side::Value)?,
            key_default: None,
            wrapped_default: None,
            json_sr_converter: true,
            wrapped_span: properties.get("WRAP_SINGLE_VALUE").map_or_else(Span::default, |p| p.name_span),
            window: None,
            timestamp: timestamp(properties)?,
        })
    }

    /// Whether something said how a single value column is written, besides the format.
    pub(crate) fn wraps_explicitly(&self, columns: &Columns, value: FormatSpec) -> bool {
        let chosen = self.wrapped_default.is_some() && columns.value.len() == 1 && value.format.can_wrap();
        self.wrapped.is_some() || chosen
    }

    /// Delimiters are for formats that have them.
    pub(crate) fn check_delimiters(&self, key: Format, value: Format, place: Span) -> Result<(), SqlError> {
        for (delimiter, format) in [(self.key_delimiter, key), (self.value_delimiter, value)] {
            if delimiter.is_some() && format != Format::Delimited {
                let error = FormatError::UnsupportedConfig { format, config: "delimiter" };
                return Err(SqlError::invalid(error.to_string()).at(place));
            }
        }
        Ok(())
    }

    /// The key format for these key columns, `inherited` unless the clause says otherwise.
    pub(crate) fn key_spec(&self, columns: &Columns, inherited: FormatSpec) -> Result<FormatSpec, SqlError> {
        let format = match self.key_format {
            Some(format) => format,
            None if columns.key.is_empty() => Format::None,
            None if inherited.format == Format::None => self.key_default.unwrap_or(Format::Kafka),
            None => inherited.format,
        };
        let format = if columns.key.is_empty() { Format::None } else { format };
        let mut spec = FormatSpec::key(format, columns.key.len());
        spec.delimiter = self.key_delimiter.or(inherited.delimiter.filter(|_| format == inherited.format));
        self.apply(Side::Key, &mut spec, inherited)?;
        if let Some(map) = columns.key.iter().find(|column| contains_map(&column.ty)) {
            return Err(SqlError::invalid(format!(
                "Map keys, including types that contain maps, are not supported as they may lead to unexpected \
                 behavior due to inconsistent serialization. Key column name: {}. Column type: {}. See \
                 https://github.com/confluentinc/ksql/issues/6621 for more.",
                quoted(&map.name),
                map.ty
            )));
        }
        spec.check(&columns.key_fields()).map_err(|error| {
            unfit("Key", &spec, &columns.key, &error).hint("choose another with KEY_FORMAT")
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
        self.apply(Side::Value, &mut spec, inherited)?;
        let single = columns.value.len() == 1;
        if let Some(wrapped) = self.wrapped {
            if !single {
                let columns: Vec<String> = columns.value.iter().map(Column::to_string).collect();
                let message = format!(
                    "'WRAP_SINGLE_VALUE' is only valid for single-field value schemas. Got: [{}]",
                    columns.join(", ")
                );
                return Err(SqlError::invalid(message).at(self.wrapped_span));
            }
            if !format.takes_single(wrapped) {
                let error = FormatError::Wrapping { format, wrapped };
                return Err(SqlError::invalid(error.to_string()).at(self.wrapped_span));
            }
            spec.wrapped = wrapped;
        } else if let Some(wrapped) =
            self.wrapped_default.filter(|wrapped| single && format.takes_single(*wrapped))
        {
            spec.wrapped = wrapped;
        }
        spec.check(&columns.value_fields()).map_err(|error| {
            unfit("Value", &spec, &columns.value, &error).hint("choose another with VALUE_FORMAT")
        })?;
        Ok(spec)
    }

    /// What it says of the schema of a side.
    pub(crate) fn schema(&self, side: Side) -> &SchemaSettings {
        match side {
            Side::Key => &self.key_schema,
            Side::Value => &self.value_schema,
        }
    }

    /// A format of a side with what the clause says of it.
    pub(crate) fn with_settings(&self, side: Side, mut spec: FormatSpec) -> Result<FormatSpec, SqlError> {
        let declared = spec;
        self.apply(side, &mut spec, declared)?;
        Ok(spec)
    }

    /// Sets what the clause says of the format of a side, or what is inherited.
    fn apply(&self, side: Side, spec: &mut FormatSpec, inherited: FormatSpec) -> Result<(), SqlError> {
        let SchemaSettings { id, full_name, nulls } = self.schema(side);
        let format = spec.format;
        if let Some((_, span)) = id {
            check_inferring(side, format).map_err(|error| error.at(*span))?;
        }
        if let Some((_, span)) = full_name.as_ref().filter(|_| format.schema_type().is_none()) {
            let error = FormatError::UnsupportedConfig { format, config: "fullSchemaName" };
            return Err(SqlError::invalid(error.to_string()).at(*span));
        }
        let protobuf = matches!(format, Format::Protobuf | Format::ProtobufNosr);
        match nulls {
            Some((_, span)) if !protobuf => {
                let name = format!("{}_PROTOBUF_NULLABLE_REPRESENTATION", side.prefix());
                let message = format!("Property {name} can only be enabled with protobuf format");
                return Err(SqlError::invalid(message).at(*span));
            }
            Some((nulls, _)) => spec.nulls = *nulls,
            None if format == Format::ProtobufNosr && inherited.format == format => {
                spec.nulls = inherited.nulls;
            }
            None => {}
        }
        spec.unwrap_primitives = match format {
            Format::Protobuf => true,
            Format::ProtobufNosr => inherited.format == format && inherited.unwrap_primitives,
            _ => false,
        };
        spec.json_sr_converter = self.json_sr_converter;
        Ok(())
    }

    /// Where the schemas of one side of the topic of `name` are kept: nowhere, unless the format needs that.
    ///
    /// `inherited` is what a query reads: its format, and its subject if it has one.
    pub(crate) fn subject(
        &self,
        side: Side,
        registry: Option<&Arc<dyn SchemaRegistry>>,
        format: Format,
        (name, topic): (&str, &str),
        inherited: Option<(Format, Option<&Subject>)>,
    ) -> Result<Option<Subject>, SqlError> {
        if format.schema_type().is_none() {
            return Ok(None);
        }
        let registry = registry.ok_or_else(|| {
            SqlError::invalid(format!(
                "Cannot create topic '{topic}' with format {format} without configuring \
                 'ksql.schema.registry.url'"
            ))
        })?;
        let settings = self.schema(side);
        let inherited = inherited.filter(|(known, _)| *known == format && format == Format::Protobuf);
        let inherited = inherited.and_then(|(_, subject)| subject?.full_name.clone());
        let made_up = (format == Format::Avro && side == Side::Key)
            .then(|| format!("{AVRO_NAMESPACE}.{}Key", upper_camel(name)));
        Ok(Some(Subject {
            registry: registry.clone(),
            name: side.subject(topic),
            full_name: settings.full_name.as_ref().map(|(name, _)| name.clone()).or(inherited).or(made_up),
            schema_id: settings.id.map(|(id, _)| id),
        }))
    }

    /// Only records of streams and of windows end by age.
    pub(crate) fn check_retention(&self, source: &Source) -> Result<(), SqlError> {
        match self.retention_ms {
            Some(_) if source.kind == SourceKind::Table && source.window.is_none() => {
                Err(SqlError::invalid("Non-windowed tables do not support retention."))
            }
            _ => Ok(()),
        }
    }

    /// The timestamp column, checked against the columns.
    pub(crate) fn timestamp(&self, columns: &Columns) -> Result<Option<TimestampColumn>, SqlError> {
        let Some((timestamp, span)) = &self.timestamp else { return Ok(None) };
        let mut stored = columns.key.iter().chain(&columns.value);
        let Some(column) = stored.find(|column| column.name == timestamp.column) else {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(SqlError::invalid(format!(
                "The TIMESTAMP column set in the WITH clause does not exist in the schema: '{}'",
                timestamp.column
            ))
            .at(*span)
            .hint_nearest(&timestamp.column, &names, "columns"));
        };
        let error = || {
            SqlError::invalid(format!(
                "Timestamp column, {}, should be LONG(INT64), TIMESTAMP, or a String with a timestamp_format specified",
                quoted(&column.name)
            ))
            .at(*span)
        };
        match (&column.ty, &timestamp.format) {
            (SqlType::Bigint | SqlType::Timestamp, None) | (SqlType::String, Some(_)) => {
                Ok(Some(timestamp.clone()))
            }
            (SqlType::String, None) => {
                Err(error().hint("add TIMESTAMP_FORMAT, for example TIMESTAMP_FORMAT='yyyy-MM-dd HH:mm:ss'"))
            }
            (ty, Some(_)) => Err(error().hint(format!("{ty} goes without TIMESTAMP_FORMAT, or not at all"))),
            (ty, None) => Err(error().hint(format!("it is {ty}"))),
        }
    }
}

/// The error that `columns` cannot be written in a format.
fn unfit(side: &str, spec: &FormatSpec, columns: &[Column], error: &FormatError) -> SqlError {
    let mark = if side == "Key" { " KEY" } else { "" };
    let listed: Vec<String> = columns.iter().map(|column| format!("{column}{mark}")).collect();
    let listed = listed.join(", ");
    let format = spec.format;
    let reason = match error {
        FormatError::SingleFieldOnly { .. } => {
            format!("The '{format}' format only supports a single field. Got: [{listed}]")
        }
        FormatError::NoFieldsAllowed { .. } => {
            format!("The '{format}' format can only be used when no columns are defined. Got: [{listed}]")
        }
        FormatError::UnsupportedType { data_type, .. } => {
            let base = data_type.split(['<', '(']).next().unwrap_or(data_type);
            let text = format!("The '{format}' format does not support type '{base}'");
            let culprit = columns.iter().find(|column| {
                let printed = column.ty.to_string();
                printed.split(['<', '(']).next() == Some(base)
            });
            match culprit {
                Some(column) if format == Format::Delimited => {
                    format!("{text}, column: {}", quoted(&column.name))
                }
                _ => text,
            }
        }
        FormatError::UnsupportedConfig { .. } => return SqlError::invalid(error.to_string()),
        other => other.to_string(),
    };
    let feature = match (columns.len(), format.can_wrap(), spec.wrapped) {
        (1, true, false) => "UNWRAP_SINGLES",
        _ => "",
    };
    SqlError::invalid(format!(
        "{side} format does not support schema.\nformat: {format}\nschema: Persistence{{columns=[{listed}], \
         features=[{feature}]}}\nreason: {reason}"
    ))
}

/// That schemas of this format can be asked for by id.
pub(crate) fn check_inferring(side: Side, format: Format) -> Result<(), SqlError> {
    if format.schema_type().is_some() {
        return Ok(());
    }
    let prefix = side.prefix();
    Err(SqlError::invalid(format!(
        "{prefix}_FORMAT should support schema inference when {prefix}_SCHEMA_ID is provided. Current format is \
         {format}."
    )))
}

/// `MY_SOURCE` as `MySource`.
fn upper_camel(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let mut chars = word.chars();
            let first = chars.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(chars.map(|c| c.to_ascii_lowercase()))
        })
        .collect()
}

/// What a clause says of the schema of a side.
fn schema_settings(properties: &Properties, side: Side) -> Result<SchemaSettings, SqlError> {
    let get = |name: &str| properties.get(&format!("{}_{name}", side.prefix()));
    let id = match get("SCHEMA_ID") {
        None => None,
        Some(property) => Some((
            i32::try_from(property.integer()?).map_err(|_| property.wrong("the id of a schema"))?,
            property.name_span,
        )),
    };
    let legacy = properties.get("VALUE_AVRO_SCHEMA_FULL_NAME").filter(|_| side == Side::Value);
    let named = get("SCHEMA_FULL_NAME");
    if let (Some(_), Some(legacy)) = (named, legacy) {
        return Err(SqlError::invalid(
            "Cannot supply both 'VALUE_AVRO_SCHEMA_FULL_NAME' and 'VALUE_SCHEMA_FULL_NAME' properties. Please \
             only set 'VALUE_SCHEMA_FULL_NAME'.",
        )
        .at(legacy.name_span));
    }
    let full_name = match named.or(legacy) {
        None => None,
        Some(property) if property.string()?.trim().is_empty() => {
            return Err(SqlError::invalid("fullSchemaName cannot be empty").at(property.value_span));
        }
        Some(property) => Some((property.string()?.trim().to_owned(), property.name_span)),
    };
    let nulls = match get("PROTOBUF_NULLABLE_REPRESENTATION") {
        None => None,
        Some(property) => {
            let nulls = match property.string()?.to_uppercase().as_str() {
                "OPTIONAL" => ProtobufNulls::Optional,
                "WRAPPER" => ProtobufNulls::Wrapper,
                _ => return Err(property.wrong("OPTIONAL or WRAPPER")),
            };
            Some((nulls, property.name_span))
        }
    };
    Ok(SchemaSettings { id, full_name, nulls })
}

fn delimiter(property: Option<&Property>) -> Result<Option<char>, SqlError> {
    let Some(property) = property else { return Ok(None) };
    let text = property.string()?;
    parse_delimiter(text).map(Some).map_err(|error| {
        let reason = match text.trim().is_empty() {
            true => "Delimiter cannot be empty, if you meant to have a tab or space for delimiter, please use the \
                     special values 'TAB' or 'SPACE'"
                .to_owned(),
            false => error.to_string(),
        };
        let name = property.name.to_uppercase();
        SqlError::invalid(format!("Configuration {name} is invalid: {reason}\nExample valid value: ';'"))
            .prefixed(PREPARE)
            .at(property.value_span)
    })
}

fn timestamp(properties: &Properties) -> Result<Option<(TimestampColumn, Span)>, SqlError> {
    match (properties.get("TIMESTAMP"), properties.get("TIMESTAMP_FORMAT")) {
        (None, Some(format)) => {
            Err(SqlError::invalid("TIMESTAMP_FORMAT needs TIMESTAMP, the name of a STRING column")
                .at(format.name_span))
        }
        (None, None) => Ok(None),
        (Some(column), format) => {
            let format = format.map(|format| format.string().map(str::to_owned)).transpose()?;
            // A column name follows the rules of identifiers: upper case unless it is in backticks.
            let text = column.string()?;
            let name = match text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
                Some(name) => name.replace("``", "`"),
                None => text.to_uppercase(),
            };
            Ok(Some((TimestampColumn { column: name, format }, column.value_span)))
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
            Some(size) => {
                duration(size)?;
                Err(SqlError::invalid("'WINDOW_SIZE' needs 'WINDOW_TYPE'").at(size.name_span))
            }
            None => Ok(None),
        };
    };
    let name = kind.string()?.to_uppercase();
    let size_ms = size.map(duration).transpose()?;
    match (name.as_str(), size_ms) {
        ("TUMBLING", Some(size_ms)) => Ok(Some(Windowing::Tumbling { size_ms })),
        ("HOPPING", Some(size_ms)) => Ok(Some(Windowing::Hopping { size_ms })),
        ("TUMBLING" | "HOPPING", None) => Err(SqlError::invalid(format!(
            "{name} windows require 'WINDOW_SIZE' to be provided in the WITH clause. For example: \
             'WINDOW_SIZE'='10 SECONDS'"
        ))
        .at(kind.value_span)),
        ("SESSION", None) => Ok(Some(Windowing::Session)),
        ("SESSION", Some(_)) => {
            let place = size.map_or(kind.value_span, |size| size.name_span);
            Err(SqlError::invalid("'WINDOW_SIZE' should not be set for SESSION windows.").at(place))
        }
        _ => Err(kind.wrong("TUMBLING, HOPPING or SESSION")),
    }
}

/// `'10 SECONDS'` in ms.
fn duration(property: &Property) -> Result<i64, SqlError> {
    let text = property.string()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let reason = match words.as_slice() {
        [count, unit] => match (count.parse::<u64>(), TimeUnit::from_word(&unit.to_uppercase())) {
            (Ok(count), Some(unit)) => {
                let interval = Interval { count, unit };
                match interval.millis() {
                    0 => "Expected more than zero".to_owned(),
                    i64::MAX => "Too long".to_owned(),
                    millis => return Ok(millis),
                }
            }
            (Err(_), _) => format!("Not numeric: '{count}'"),
            (_, None) => format!("Unknown time unit: '{}'", unit.to_uppercase()),
        },
        words => format!("Expected 2 tokens, got: {}", words.len()),
    };
    Err(SqlError::invalid(format!(
        "Configuration {} is invalid: Invalid duration: '{text}'. {reason}\nExample valid value: '10 SECONDS'",
        property.name.to_uppercase()
    ))
    .prefixed(PREPARE)
    .at(property.value_span))
}
