//! The schema that columns are written with: what ksqlDB and Connect's Avro converter generate.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Fields};

use crate::{FormatError, FormatSpec, Schema, SchemaType, avro::read_plan::avro_name};

/// The full name of a record whose name nobody chose.
const DEFAULT_NAME: &str = "io.confluent.ksql.avro_schemas.KsqlDataSourceSchema";

/// The schema of rows of these columns.
pub(crate) fn generate(
    spec: &FormatSpec,
    fields: &Fields,
    full_name: Option<&str>,
) -> Result<Schema, FormatError> {
    let full_name = full_name.unwrap_or(DEFAULT_NAME);
    let mut generator = Generator { defined: BTreeMap::new() };
    let text = if spec.wrapped {
        generator.record(fields, full_name, None)?
    } else {
        generator.data_type(fields[0].data_type(), full_name, None)?
    };
    Ok(Schema::new(SchemaType::Avro, text))
}

/// Records by full name, as they were written. Names of nested records are made of those of the fields around
/// them, and may meet.
struct Generator {
    defined: BTreeMap<String, String>,
}

impl Generator {
    /// A record with the name; inside a namespace the name leaves it out.
    fn record(
        &mut self,
        fields: &Fields,
        full_name: &str,
        inside: Option<&str>,
    ) -> Result<String, FormatError> {
        let (namespace, _) = split(full_name);
        let members = fields.iter().map(|field| self.field(field, full_name, namespace));
        let members = members.collect::<Result<Vec<_>, _>>()?.join(",");
        let tail = format!("\"fields\":[{members}],\"connect.name\":\"{full_name}\"");
        self.define(full_name, inside, &tail)
    }

    fn define(&mut self, full_name: &str, inside: Option<&str>, tail: &str) -> Result<String, FormatError> {
        let (namespace, name) = split(full_name);
        namespace.unwrap_or_default().split('.').filter(|part| !part.is_empty()).try_for_each(check_name)?;
        check_name(name)?;
        match self.defined.insert(full_name.to_owned(), tail.to_owned()) {
            Some(defined) if defined == tail => Ok(format!("\"{full_name}\"")),
            Some(_) => Err(incompatible(format!("Can't redefine: {full_name}"))),
            None => {
                let namespace = match namespace {
                    Some(namespace) if inside != Some(namespace) => format!("\"namespace\":\"{namespace}\","),
                    _ => String::new(),
                };
                Ok(format!("{{\"type\":\"record\",\"name\":\"{name}\",{namespace}{tail}}}"))
            }
        }
    }

    fn field(
        &mut self,
        field: &Arc<Field>,
        around: &str,
        namespace: Option<&str>,
    ) -> Result<String, FormatError> {
        let name = avro_name(field.name());
        check_name(&name)?;
        self.member(&name, field.data_type(), &format!("{around}_{name}"), namespace)
    }

    fn member(
        &mut self,
        name: &str,
        data_type: &DataType,
        full_name: &str,
        namespace: Option<&str>,
    ) -> Result<String, FormatError> {
        let data_type = self.data_type(data_type, full_name, namespace)?;
        Ok(format!("{{\"name\":\"{name}\",\"type\":[\"null\",{data_type}],\"default\":null}}"))
    }

    /// A type that is not null. A record in it has the name.
    fn data_type(
        &mut self,
        data_type: &DataType,
        full_name: &str,
        namespace: Option<&str>,
    ) -> Result<String, FormatError> {
        Ok(match data_type {
            DataType::Boolean => "\"boolean\"".into(),
            DataType::Int32 => "\"int\"".into(),
            DataType::Int64 => "\"long\"".into(),
            DataType::Float64 => "\"double\"".into(),
            DataType::Utf8 => "\"string\"".into(),
            DataType::Binary => "\"bytes\"".into(),
            DataType::Date32 => logical("int", "Date", "date"),
            DataType::Time32(_) => logical("int", "Time", "time-millis"),
            DataType::Timestamp(..) => logical("long", "Timestamp", "timestamp-millis"),
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => format!(
                "{{\"type\":\"bytes\",\"scale\":{scale},\"precision\":{precision},\"connect.version\":1,\
                 \"connect.parameters\":{{\"scale\":\"{scale}\",\"connect.decimal.precision\":\"{precision}\"}},\
                 \"connect.name\":\"org.apache.kafka.connect.data.Decimal\",\"logicalType\":\"decimal\"}}"
            ),
            DataType::List(item) => {
                let item = self.data_type(item.data_type(), full_name, namespace)?;
                format!("{{\"type\":\"array\",\"items\":[\"null\",{item}]}}")
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else {
                    unreachable!("map entries are {entries}")
                };
                let (inside, _) = split(full_name);
                let key = self.member("key", pair[0].data_type(), &format!("{full_name}_MapKey"), inside)?;
                let value =
                    self.member("value", pair[1].data_type(), &format!("{full_name}_MapValue"), inside)?;
                let tail = format!("\"fields\":[{key},{value}],\"connect.internal.type\":\"MapEntry\"");
                let record = self.define(full_name, namespace, &tail)?;
                format!("{{\"type\":\"array\",\"items\":{record},\"connect.name\":\"{full_name}\"}}")
            }
            DataType::Struct(fields) => self.record(fields, full_name, namespace)?,
            other => unreachable!("type {other} passed the format check"),
        })
    }
}

fn split(full_name: &str) -> (Option<&str>, &str) {
    full_name.rsplit_once('.').map_or((None, full_name), |(namespace, name)| (Some(namespace), name))
}

fn logical(base: &str, connect: &str, logical: &str) -> String {
    format!(
        "{{\"type\":\"{base}\",\"connect.version\":1,\
         \"connect.name\":\"org.apache.kafka.connect.data.{connect}\",\"logicalType\":\"{logical}\"}}"
    )
}

fn incompatible(why: String) -> FormatError {
    FormatError::Schema(format!("Schema is not compatible with Avro: {why}"))
}

/// Names are letters, digits and underscores, and do not begin with a digit.
fn check_name(name: &str) -> Result<(), FormatError> {
    let Some(first) = name.chars().next() else { return Err(incompatible("Empty name".into())) };
    if !(first.is_alphabetic() || first == '_') {
        return Err(incompatible(format!("Illegal initial character: {name}")));
    }
    if !name.chars().all(|character| character.is_alphanumeric() || character == '_') {
        return Err(incompatible(format!("Illegal character in: {name}")));
    }
    Ok(())
}
