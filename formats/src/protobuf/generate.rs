//! Columns to the text of a schema, as Confluent's converter names and prints it.
//!
//! ```text
//! message ConnectDefault1 {
//!   int64 ID = 1;
//!   repeated ConnectDefault2Entry M = 2;
//!   ConnectDefault3 S = 3;
//!
//!   message ConnectDefault2Entry {
//!     string key = 1;
//!     int32 value = 2;
//!   }
//!   message ConnectDefault3 {
//!     int32 F1 = 1;
//!   }
//! }
//! ```
//!
//! Messages without a name are numbered as they are met, each before what is inside it.

use std::fmt::Write as _;

use arrow::datatypes::{DataType, Fields};

use crate::{FormatError, FormatSpec, ProtobufNulls, Schema, SchemaType, type_name};

/// The schema that columns are written with. `full_name` is the name of the message, with its package.
pub(crate) fn generate(
    spec: &FormatSpec,
    fields: &Fields,
    full_name: Option<&str>,
) -> Result<Schema, FormatError> {
    let (package, name) = match full_name {
        Some(full) => full.rsplit_once('.').map_or((None, full), |(package, name)| (Some(package), name)),
        None => (None, ""),
    };
    let mut text = Text { nulls: spec.nulls, numbered: 0, imports: Vec::new() };
    let name = if full_name.is_some() { name.to_owned() } else { text.next_name() };
    for part in package.into_iter().flat_map(|package| package.split('.')).chain([name.as_str()]) {
        check_name("name", part)?;
    }
    let message = text.message(&name, fields, 0)?;
    let mut file = String::from("syntax = \"proto3\";\n");
    if let Some(package) = package {
        let _ = writeln!(file, "package {package};");
    }
    if !text.imports.is_empty() {
        file.push('\n');
    }
    for import in &text.imports {
        let _ = writeln!(file, "import \"{import}\";");
    }
    file.push('\n');
    file.push_str(&message);
    Ok(Schema::new(SchemaType::Protobuf, file))
}

/// A schema being written.
struct Text {
    nulls: ProtobufNulls,
    /// How many messages were given a number for a name.
    numbered: usize,
    imports: Vec<&'static str>,
}

impl Text {
    fn next_name(&mut self) -> String {
        self.numbered += 1;
        format!("ConnectDefault{}", self.numbered)
    }

    fn message(&mut self, name: &str, fields: &Fields, depth: usize) -> Result<String, FormatError> {
        let indent = "  ".repeat(depth);
        let mut body = String::new();
        let mut nested = String::new();
        for (number, field) in (1..).zip(fields) {
            check_name("column", field.name())?;
            let line = self.field(field.name(), field.data_type(), number, true, depth + 1, &mut nested)?;
            body.push_str(&line);
        }
        Ok(block(&indent, name, &body, &nested))
    }

    /// One field; what it needs is appended to `nested`.
    fn field(
        &mut self,
        name: &str,
        data_type: &DataType,
        number: usize,
        annotated: bool,
        depth: usize,
        nested: &mut String,
    ) -> Result<String, FormatError> {
        let indent = "  ".repeat(depth);
        let (label, data_type) = match data_type {
            DataType::List(item) => match item.data_type() {
                DataType::List(_) => return Err(FormatError::Schema("Array cannot be nested".into())),
                DataType::Map(..) => {
                    return Err(FormatError::Schema("Map cannot be nested in an array".into()));
                }
                item => ("repeated ", item),
            },
            DataType::Map(..) => ("repeated ", data_type),
            _ if self.nulls == ProtobufNulls::Optional => ("optional ", data_type),
            _ => ("", data_type),
        };
        let mut options = String::new();
        let kind = match data_type {
            DataType::Struct(fields) => {
                let mut message = self.next_name();
                if message == name {
                    // A message and a field of one scope cannot have the same name.
                    message.push_str("Message");
                }
                nested.push_str(&self.message(&message, fields, depth)?);
                message
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else {
                    unreachable!("map entries are {entries}")
                };
                let message = format!("{}Entry", self.next_name());
                let mut inner = String::new();
                let mut body = String::new();
                for (number, (name, field)) in (1..).zip(["key", "value"].into_iter().zip(pair)) {
                    // Entries know nothing of precision and scale: the values do.
                    body += &self.field(name, field.data_type(), number, false, depth + 1, &mut inner)?;
                }
                nested.push_str(&block(&indent, &message, &body, &inner));
                message
            }
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                if annotated {
                    options = decimal_options(&indent, *precision, *scale);
                }
                self.imported("confluent/type/decimal.proto", "confluent.type.Decimal")
            }
            DataType::Date32 => self.imported("google/type/date.proto", "google.type.Date"),
            DataType::Time32(_) => self.imported("google/type/timeofday.proto", "google.type.TimeOfDay"),
            DataType::Timestamp(..) => {
                self.imported("google/protobuf/timestamp.proto", "google.protobuf.Timestamp")
            }
            DataType::Boolean => self.primitive("bool", "BoolValue"),
            DataType::Int32 => self.primitive("int32", "Int32Value"),
            DataType::Int64 => self.primitive("int64", "Int64Value"),
            DataType::Float64 => self.primitive("double", "DoubleValue"),
            DataType::Utf8 => self.primitive("string", "StringValue"),
            DataType::Binary => self.primitive("bytes", "BytesValue"),
            other => {
                return Err(FormatError::Schema(format!("Protobuf has no type for {}", type_name(other))));
            }
        };
        Ok(format!("{indent}{label}{kind} {name} = {number}{options};\n"))
    }

    fn imported(&mut self, file: &'static str, name: &str) -> String {
        if !self.imports.contains(&file) {
            self.imports.push(file);
        }
        name.to_owned()
    }

    fn primitive(&mut self, name: &str, wrapper: &str) -> String {
        if self.nulls == ProtobufNulls::Wrapper {
            return self.imported("google/protobuf/wrappers.proto", &format!("google.protobuf.{wrapper}"));
        }
        name.to_owned()
    }
}

/// A message: its fields, and behind an empty line what is nested in it.
fn block(indent: &str, name: &str, body: &str, nested: &str) -> String {
    let first = if body.is_empty() { "" } else { "\n" };
    let second = if nested.is_empty() { "" } else { "\n" };
    let close = if body.is_empty() && nested.is_empty() { "" } else { indent };
    format!("{indent}message {name} {{{first}{body}{second}{nested}{close}}}\n")
}

fn decimal_options(indent: &str, precision: u8, scale: i8) -> String {
    let parameter = |key: &str, value: &str| {
        format!(
            "{indent}    {{\n{indent}      value: \"{value}\",\n{indent}      key: \"{key}\"\n{indent}    }}"
        )
    };
    let precision = parameter("precision", &precision.to_string());
    let scale = parameter("scale", &scale.to_string());
    let parameters = format!("{indent}  params: [\n{precision},\n{scale}\n{indent}  ]\n");
    format!(" [(confluent.field_meta) = {{\n{parameters}{indent}}}]")
}

/// Names are those of the language: letters, digits and underscores, and no digit in front.
fn check_name(what: &str, name: &str) -> Result<(), FormatError> {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if starts && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    Err(FormatError::Schema(format!(
        "Schema is not compatible with Protobuf: the {what} '{name}' may only have ASCII letters, digits and \
         underscores, and must not begin with a digit"
    )))
}
