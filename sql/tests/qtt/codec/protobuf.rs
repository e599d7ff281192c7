//! Protobuf, by protox and prost-reflect.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use millstream_formats::ResolvedSchema;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, OneofDescriptor,
    ReflectMessage, Value as Proto, prost::Message,
};
use protox::{
    Compiler, Error,
    file::{File, FileResolver, GoogleFileResolver},
};

use super::{rescaled, unscaled, unscaled_bytes};
use crate::{
    json::Json,
    value::{Decimal, Value},
};

const MAIN: &str = "main.proto";
/// Files that schemas import without saying where they are.
const KNOWN: [(&str, &str); 4] = [
    (
        "confluent/meta.proto",
        "syntax = \"proto3\"; package confluent; import \"google/protobuf/descriptor.proto\";
         message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
         extend google.protobuf.FileOptions { Meta file_meta = 1088; }
         extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
         extend google.protobuf.FieldOptions { Meta field_meta = 1088; }",
    ),
    (
        "confluent/type/decimal.proto",
        "syntax = \"proto3\"; package confluent.type; import public \"confluent/meta.proto\";
         message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }",
    ),
    (
        "google/type/date.proto",
        "syntax = \"proto3\"; package google.type; message Date { int32 year = 1; int32 month = 2; int32 day = 3; }",
    ),
    (
        "google/type/timeofday.proto",
        "syntax = \"proto3\"; package google.type;
         message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }",
    ),
];

struct Files {
    files: HashMap<String, String>,
    google: GoogleFileResolver,
}

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        let known = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        match self.files.get(name).cloned().or(known) {
            Some(text) => File::from_source(name, &text),
            None => self.google.open_file(name),
        }
    }
}

/// A schema, compiled.
pub(crate) struct Compiled {
    pool: DescriptorPool,
    messages: Vec<MessageDescriptor>,
}

impl Compiled {
    /// Compiles a schema and what it refers to.
    pub(crate) fn new(schema: &ResolvedSchema) -> Result<Self, String> {
        let references = schema.references.iter().map(|(name, schema)| (name.clone(), schema.text.clone()));
        let mut files: HashMap<String, String> = references.collect();
        files.insert(MAIN.to_owned(), schema.schema.text.clone());
        let mut compiler = Compiler::with_file_resolver(Files { files, google: GoogleFileResolver::new() });
        compiler.include_imports(true).open_file(MAIN).map_err(|error| format!("{error:?}"))?;
        let pool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(MAIN).ok_or("the schema is not there")?;
        let messages = file.messages().collect();
        Ok(Self { pool, messages })
    }

    /// Writes a value as a message, the first or that of this name; `indexes` say which one it is.
    pub(crate) fn encode(&self, json: &Json, name: Option<&str>, indexes: bool) -> Result<Vec<u8>, String> {
        let place = match name {
            None => 0,
            Some(name) => {
                let place = self.messages.iter().position(|message| message.full_name() == name);
                place.ok_or_else(|| format!("there is no message {name}"))?
            }
        };
        let message = self.messages.get(place).ok_or("the schema has no message")?;
        let mut out = match (indexes, place) {
            (false, _) => Vec::new(),
            (true, 0) => vec![0],
            (true, place) => vec![2, 2 * place as u8],
        };
        out.extend(self.message(json, message)?.encode_to_vec());
        Ok(out)
    }

    /// Reads a message. Behind the id of a schema the bytes begin with which one it is.
    pub(crate) fn decode(&self, bytes: &[u8], indexes: bool) -> Result<Value, String> {
        let (place, bytes) = match (indexes, bytes) {
            (false, bytes) => (0, bytes),
            (true, [0, rest @ ..]) => (0, rest),
            (true, [2, place, rest @ ..]) => (usize::from(place / 2), rest),
            _ => return Err("the message is not said".to_owned()),
        };
        let message = self.messages.get(place).ok_or("there is no such message")?;
        let message = DynamicMessage::decode(message.clone(), bytes).map_err(|error| error.to_string())?;
        read_message(&message)
    }

    fn message(&self, json: &Json, descriptor: &MessageDescriptor) -> Result<DynamicMessage, String> {
        let mut message = DynamicMessage::new(descriptor.clone());
        let Json::Object(given) = json else { return Err(format!("{json} is no message")) };
        for field in descriptor.fields() {
            let choice = field.containing_oneof().filter(|choice| !choice.is_synthetic());
            // The fields of a choice are together in a struct of its own.
            let given = match choice.map(|choice| choice_name(&choice)) {
                None => Some(given),
                Some(name) => match find(given, &name) {
                    Some(Json::Object(given)) => Some(given),
                    _ => None,
                },
            };
            let value = given.and_then(|given| find(given, field.name()));
            let Some(value) = value.filter(|value| !value.is_null()) else { continue };
            let written = self.field(value, &field).map_err(|error| format!("{}: {error}", field.name()))?;
            message.set_field(&field, written);
        }
        Ok(message)
    }

    fn field(&self, json: &Json, field: &FieldDescriptor) -> Result<Proto, String> {
        match json {
            Json::Object(given) if field.is_map() => {
                let Kind::Message(entry) = field.kind() else {
                    return Err("a map without entries".to_owned());
                };
                let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
                let pair = |(name, item): &(String, Json)| {
                    let item = match item {
                        Json::Null => Proto::default_value(&value.kind()),
                        item => self.single(item, &value)?,
                    };
                    let key = self.single(&Json::String(name.clone()), &key)?.into_map_key();
                    Ok((key.ok_or_else(|| format!("{name} is no key"))?, item))
                };
                Ok(Proto::Map(given.iter().map(pair).collect::<Result<_, String>>()?))
            }
            Json::Object(given) if field.is_list() => {
                let pair = |(name, item): &(String, Json)| {
                    let fields = vec![
                        ("key".to_owned(), Json::String(name.clone())),
                        ("value".to_owned(), item.clone()),
                    ];
                    self.single(&Json::Object(fields), field)
                };
                Ok(Proto::List(given.iter().map(pair).collect::<Result<_, String>>()?))
            }
            Json::Array(items) if field.is_list() => {
                let item = |item: &Json| match item {
                    Json::Null => Ok(Proto::default_value(&field.kind())),
                    item => self.single(item, field),
                };
                Ok(Proto::List(items.iter().map(item).collect::<Result<_, String>>()?))
            }
            json => self.single(json, field),
        }
    }

    fn single(&self, json: &Json, field: &FieldDescriptor) -> Result<Proto, String> {
        let text = json.text();
        let wrong = || format!("{json} is no {:?}", field.kind());
        Ok(match field.kind() {
            Kind::Double => Proto::F64(text.parse().map_err(|_| wrong())?),
            Kind::Float => Proto::F32(text.parse().map_err(|_| wrong())?),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Proto::I32(text.parse().map_err(|_| wrong())?),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Proto::I64(text.parse().map_err(|_| wrong())?),
            Kind::Uint32 | Kind::Fixed32 => Proto::U32(text.parse().map_err(|_| wrong())?),
            Kind::Uint64 | Kind::Fixed64 => Proto::U64(text.parse().map_err(|_| wrong())?),
            Kind::Bool => Proto::Bool(text.parse().map_err(|_| wrong())?),
            Kind::String => Proto::String(text),
            Kind::Bytes => Proto::Bytes(BASE64_STANDARD.decode(&text).map_err(|_| wrong())?.into()),
            Kind::Enum(symbols) => {
                Proto::EnumNumber(symbols.get_value_by_name(&text).ok_or_else(wrong)?.number())
            }
            Kind::Message(message) => {
                let name = message.full_name().to_owned();
                let mut out = DynamicMessage::new(message.clone());
                let number = || text.parse::<i64>().map_err(|_| wrong());
                match name.as_str() {
                    "google.protobuf.Timestamp" => {
                        let millis = number()?;
                        out.set_field_by_name("seconds", Proto::I64(millis.div_euclid(1000)));
                        out.set_field_by_name(
                            "nanos",
                            Proto::I32(millis.rem_euclid(1000) as i32 * 1_000_000),
                        );
                    }
                    "google.type.Date" => {
                        let (year, month, day) = civil(number()?);
                        for (name, value) in [("year", year), ("month", month), ("day", day)] {
                            out.set_field_by_name(name, Proto::I32(value as i32));
                        }
                    }
                    "google.type.TimeOfDay" => {
                        let millis = number()?;
                        let parts = [
                            ("hours", millis / 3_600_000),
                            ("minutes", millis / 60_000 % 60),
                            ("seconds", millis / 1000 % 60),
                            ("nanos", millis % 1000 * 1_000_000),
                        ];
                        for (name, value) in parts {
                            out.set_field_by_name(name, Proto::I32(value as i32));
                        }
                    }
                    "confluent.type.Decimal" => {
                        let (precision, scale) = self.digits(field);
                        let value = rescaled(&text, scale)?;
                        out.set_field_by_name("value", Proto::Bytes(unscaled_bytes(value).into()));
                        out.set_field_by_name("precision", Proto::U32(precision as u32));
                        out.set_field_by_name("scale", Proto::I32(scale as i32));
                    }
                    name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
                        let value = message.get_field_by_name("value").ok_or_else(wrong)?;
                        out.set_field(&value, self.single(json, &value)?);
                    }
                    _ => out = self.message(json, &message)?,
                }
                Proto::Message(out)
            }
        })
    }

    /// Precision and scale of a decimal, as an option of its field says them.
    fn digits(&self, field: &FieldDescriptor) -> (i64, i64) {
        let digit = |name: &str| {
            let meta = self.pool.get_extension_by_name("confluent.field_meta")?;
            let options = field.options();
            let meta = options.get_extension(&meta);
            let params = meta.as_message()?.get_field_by_name("params")?;
            params.as_map()?.get(&MapKey::String(name.to_owned()))?.as_str()?.parse().ok()
        };
        (digit("precision").unwrap_or(64), digit("scale").unwrap_or(0))
    }
}

fn read_message(message: &DynamicMessage) -> Result<Value, String> {
    let number = |name: &str| -> i128 {
        message.get_field_by_name(name).map_or(0, |value| match *value {
            Proto::I32(value) => value.into(),
            Proto::I64(value) => value.into(),
            _ => 0,
        })
    };
    let descriptor = message.descriptor();
    let name = descriptor.full_name();
    Ok(match name {
        "google.protobuf.Timestamp" => Value::Integer(number("seconds") * 1000 + number("nanos") / 1_000_000),
        "google.type.Date" => {
            Value::Integer(days(number("year") as i64, number("month") as i64, number("day") as i64).into())
        }
        "google.type.TimeOfDay" => {
            let seconds = number("hours") * 3600 + number("minutes") * 60 + number("seconds");
            Value::Integer(seconds * 1000 + number("nanos") / 1_000_000)
        }
        "confluent.type.Decimal" => {
            let bytes = message.get_field_by_name("value");
            let bytes = bytes.as_ref().and_then(|bytes| bytes.as_bytes()).map_or(&[][..], |bytes| bytes);
            Value::Exact(Decimal::new(unscaled(bytes)?, number("scale") as i64))
        }
        name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
            let field = descriptor.get_field_by_name("value").ok_or("a wrapper without value")?;
            read(&message.get_field(&field), &field)?
        }
        _ => {
            let field = |field: FieldDescriptor| {
                let value = match field.supports_presence() && !message.has_field(&field) {
                    true => Value::Null,
                    false => read(&message.get_field(&field), &field)?,
                };
                Ok((field.name().to_owned(), value))
            };
            Value::Record(descriptor.fields().map(field).collect::<Result<_, String>>()?)
        }
    })
}

/// The value behind a name, whatever its case.
fn find<'a>(given: &'a [(String, Json)], wanted: &str) -> Option<&'a Json> {
    given.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

/// What Kafka Connect calls a choice.
fn choice_name(choice: &OneofDescriptor) -> String {
    format!("{}_{}", choice.name(), choice.path().last().copied().unwrap_or_default())
}

/// Whether the items of a list are the entries of a map, as Kafka Connect writes them.
fn is_entry(field: &FieldDescriptor) -> bool {
    let Kind::Message(message) = field.kind() else { return false };
    let mut names = message.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>();
    names.sort_unstable();
    message.name().ends_with("Entry") && names == ["key", "value"]
}

fn read(value: &Proto, field: &FieldDescriptor) -> Result<Value, String> {
    Ok(match value {
        Proto::Bool(value) => Value::Bool(*value),
        Proto::I32(value) => Value::Integer((*value).into()),
        Proto::I64(value) => Value::Integer((*value).into()),
        Proto::U32(value) => Value::Integer((*value).into()),
        Proto::U64(value) => Value::Integer((*value).into()),
        Proto::F32(value) => Value::Float((*value).into()),
        Proto::F64(value) => Value::Float(*value),
        Proto::String(text) => Value::Text(text.clone()),
        Proto::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        Proto::EnumNumber(number) => match field.kind() {
            Kind::Enum(symbols) => symbols
                .get_value(*number)
                .map_or(Value::Integer((*number).into()), |symbol| Value::Text(symbol.name().to_owned())),
            _ => Value::Integer((*number).into()),
        },
        Proto::Message(message) => read_message(message)?,
        Proto::List(items) => {
            let items = items.iter().map(|item| read(item, field)).collect::<Result<Vec<_>, _>>()?;
            match is_entry(field) {
                true => Value::Record(items.into_iter().filter_map(pair).collect()),
                false => Value::List(items),
            }
        }
        Proto::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { return Err("a map without entries".to_owned()) };
            let of = entry.map_entry_value_field();
            let pair = |(key, value): (&MapKey, &Proto)| {
                let key = match key {
                    MapKey::String(text) => text.clone(),
                    other => format!("{other:?}"),
                };
                Ok((key, read(value, &of)?))
            };
            Value::Record(entries.iter().map(pair).collect::<Result<_, String>>()?)
        }
    })
}

fn pair(entry: Value) -> Option<(String, Value)> {
    let Value::Record(fields) = entry else { return None };
    let mut fields = fields.into_iter();
    match (fields.next()?.1, fields.next()?.1) {
        (Value::Text(key), value) => Some((key, value)),
        _ => None,
    }
}

/// Year, month and day of a number of days since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let date = chrono::DateTime::from_timestamp_secs(days * 86_400).unwrap_or_default();
    use chrono::Datelike;
    (date.year().into(), date.month().into(), date.day().into())
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32).unwrap_or_default();
    date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp().div_euclid(86_400)
}
