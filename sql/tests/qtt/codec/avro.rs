//! Avro, by apache-avro.

use std::collections::HashMap;

use apache_avro::{
    Decimal as AvroDecimal, Schema, reader::datum::GenericDatumReader, schema::Name, types::Value as Avro,
    writer::datum::GenericDatumWriter,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value as Given;

use super::{rescaled, unscaled, unscaled_bytes};
use crate::{
    json::Json,
    value::{Decimal, Value},
};

type Names<'a> = HashMap<&'a Name, &'a Schema>;

/// Writes a value by a schema.
pub(crate) fn encode(json: &Json, schema: &str) -> Result<Vec<u8>, String> {
    let schema = Schema::parse_str(schema).map_err(|error| error.to_string())?;
    let mut names = Names::new();
    collect(&schema, &mut names);
    let value = write(json, &schema, &names)?;
    let writer = GenericDatumWriter::builder(&schema).build().map_err(|error| error.to_string())?;
    writer.write_value_to_vec(value).map_err(|error| error.to_string())
}

/// Reads a value by the schema that it was written with.
pub(crate) fn decode(mut bytes: &[u8], schema: &str) -> Result<Value, String> {
    let schema = Schema::parse_str(schema).map_err(|error| error.to_string())?;
    let mut names = Names::new();
    collect(&schema, &mut names);
    let reader = GenericDatumReader::builder(&schema).build().map_err(|error| error.to_string())?;
    let value = reader.read_value(&mut bytes).map_err(|error| error.to_string())?;
    if !bytes.is_empty() {
        return Err(format!("{} bytes behind the value", bytes.len()));
    }
    read(&value, &schema, &names)
}

fn collect<'a>(schema: &'a Schema, names: &mut Names<'a>) {
    match schema {
        Schema::Record(record) => {
            names.insert(&record.name, schema);
            record.fields.iter().for_each(|field| collect(&field.schema, names));
        }
        Schema::Enum(named) => drop(names.insert(&named.name, schema)),
        Schema::Fixed(named) => drop(names.insert(&named.name, schema)),
        Schema::Array(array) => collect(&array.items, names),
        Schema::Map(map) => collect(&map.types, names),
        Schema::Union(union) => union.variants().iter().for_each(|variant| collect(variant, names)),
        _ => {}
    }
}

fn named<'a>(schema: &'a Schema, names: &Names<'a>) -> &'a Schema {
    match schema {
        Schema::Ref { name } => names.get(name).copied().unwrap_or(schema),
        other => other,
    }
}

/// The schemas of key and value, if this is the record of a map's entries.
fn entry<'a>(schema: &'a Schema, names: &Names<'a>) -> Option<(&'a Schema, &'a Schema)> {
    let Schema::Record(record) = named(schema, names) else { return None };
    match record.fields.as_slice() {
        [key, value] if key.name == "key" && value.name == "value" => Some((&key.schema, &value.schema)),
        _ => None,
    }
}

fn write(json: &Json, schema: &Schema, names: &Names<'_>) -> Result<Avro, String> {
    let text = json.text();
    let number = |what: &str| format!("{json} is no {what}");
    Ok(match named(schema, names) {
        Schema::Null if json.is_null() => Avro::Null,
        Schema::Boolean => Avro::Boolean(text.parse().map_err(|_| number("boolean"))?),
        Schema::Int => Avro::Int(text.parse().map_err(|_| number("int"))?),
        Schema::Long => Avro::Long(text.parse().map_err(|_| number("long"))?),
        Schema::Float => Avro::Float(text.parse().map_err(|_| number("float"))?),
        Schema::Double => Avro::Double(text.parse().map_err(|_| number("double"))?),
        Schema::Date => Avro::Date(text.parse().map_err(|_| number("date"))?),
        Schema::TimeMillis => Avro::TimeMillis(text.parse().map_err(|_| number("time"))?),
        Schema::TimestampMillis => Avro::TimestampMillis(text.parse().map_err(|_| number("timestamp"))?),
        Schema::TimeMicros => Avro::TimeMicros(text.parse().map_err(|_| number("time"))?),
        Schema::TimestampMicros => Avro::TimestampMicros(text.parse().map_err(|_| number("timestamp"))?),
        Schema::Fixed(fixed) if !json.is_null() => {
            let bytes = BASE64_STANDARD.decode(&text).map_err(|error| error.to_string())?;
            Avro::Fixed(fixed.size, bytes)
        }
        Schema::String if !json.is_null() => Avro::String(text),
        Schema::Bytes if !json.is_null() => {
            Avro::Bytes(BASE64_STANDARD.decode(&text).map_err(|error| error.to_string())?)
        }
        Schema::Decimal(decimal) if !json.is_null() => {
            let value = rescaled(&text, decimal.scale as i64)?;
            Avro::Decimal(AvroDecimal::from(unscaled_bytes(value)))
        }
        Schema::Enum(symbols) => {
            let place = symbols.symbols.iter().position(|symbol| *symbol == text);
            Avro::Enum(place.ok_or_else(|| number("symbol"))? as u32, text)
        }
        Schema::Array(array) => match (json, entry(&array.items, names)) {
            (Json::Object(fields), Some((key, value))) => {
                let entry = |(name, item): &(String, Json)| {
                    Ok(Avro::Record(vec![
                        ("key".to_owned(), write(&Json::String(name.clone()), key, names)?),
                        ("value".to_owned(), write(item, value, names)?),
                    ]))
                };
                Avro::Array(fields.iter().map(entry).collect::<Result<_, String>>()?)
            }
            (Json::Array(items), _) => Avro::Array(
                items.iter().map(|item| write(item, &array.items, names)).collect::<Result<_, _>>()?,
            ),
            _ => return Err(number("array")),
        },
        Schema::Map(map) => {
            let Json::Object(fields) = json else { return Err(number("map")) };
            let entry = |(name, item): &(String, Json)| Ok((name.clone(), write(item, &map.types, names)?));
            Avro::Map(fields.iter().map(entry).collect::<Result<_, String>>()?)
        }
        Schema::Union(union) => {
            let variants = union.variants().iter().enumerate();
            let fits = variants.filter(|(_, variant)| matches!(variant, Schema::Null) == json.is_null());
            let found = fits
                .into_iter()
                .find_map(|(place, variant)| Some((place, write(json, variant, names).ok()?)));
            let (place, value) = found.ok_or_else(|| number("value of the union"))?;
            Avro::Union(place as u32, Box::new(value))
        }
        Schema::Record(record) => {
            let Json::Object(given) = json else { return Err(number("record")) };
            let field = |field: &apache_avro::schema::RecordField| {
                let value = given.iter().find(|(name, _)| name.eq_ignore_ascii_case(&field.name));
                let value = value.map_or(&Json::Null, |(_, value)| value);
                let written = match (write(value, &field.schema, names), &field.default) {
                    (Err(_), Some(default)) if value.is_null() => {
                        write(&of_default(default)?, &field.schema, names)
                    }
                    (written, _) => written,
                };
                Ok((field.name.clone(), written.map_err(|error| format!("{}: {error}", field.name))?))
            };
            Avro::Record(record.fields.iter().map(field).collect::<Result<_, String>>()?)
        }
        _ => return Err(number("value of its schema")),
    })
}

fn of_default(default: &Given) -> Result<Json, String> {
    Json::parse(default.to_string().as_bytes())
}

fn read(value: &Avro, schema: &Schema, names: &Names<'_>) -> Result<Value, String> {
    Ok(match (value, named(schema, names)) {
        (Avro::Union(place, value), Schema::Union(union)) => {
            let variant = union.variants().get(*place as usize).ok_or("a union without that variant")?;
            read(value, variant, names)?
        }
        (Avro::Null, _) => Value::Null,
        (Avro::Boolean(value), _) => Value::Bool(*value),
        (Avro::Int(value) | Avro::Date(value) | Avro::TimeMillis(value), _) => {
            Value::Integer((*value).into())
        }
        (
            Avro::Long(value)
            | Avro::TimestampMillis(value)
            | Avro::TimeMicros(value)
            | Avro::TimestampMicros(value),
            _,
        ) => Value::Integer((*value).into()),
        (Avro::Float(value), _) => Value::Float((*value).into()),
        (Avro::Double(value), _) => Value::Float(*value),
        (Avro::Bytes(bytes) | Avro::Fixed(_, bytes), _) => Value::Bytes(bytes.clone()),
        (Avro::String(text) | Avro::Enum(_, text), _) => Value::Text(text.clone()),
        (Avro::Decimal(decimal), Schema::Decimal(schema)) => {
            let bytes = Vec::<u8>::try_from(decimal).map_err(|error| error.to_string())?;
            Value::Exact(Decimal::new(unscaled(&bytes)?, schema.scale as i64))
        }
        (Avro::Array(items), Schema::Array(array)) => match entry(&array.items, names) {
            Some((key, value)) => {
                let pair = |item: &Avro| {
                    let Avro::Record(fields) = item else { return Err("an entry is no record".to_owned()) };
                    let Value::Text(name) = read(&fields[0].1, key, names)? else {
                        return Err("a key is no string".to_owned());
                    };
                    Ok((name, read(&fields[1].1, value, names)?))
                };
                Value::Record(items.iter().map(pair).collect::<Result<_, String>>()?)
            }
            None => Value::List(
                items.iter().map(|item| read(item, &array.items, names)).collect::<Result<_, _>>()?,
            ),
        },
        (Avro::Map(entries), Schema::Map(map)) => {
            let pair = |(name, value): (&String, &Avro)| Ok((name.clone(), read(value, &map.types, names)?));
            Value::Record(entries.iter().map(pair).collect::<Result<_, String>>()?)
        }
        (Avro::Record(values), Schema::Record(record)) => {
            let pair = |((name, value), field): (&(String, Avro), &apache_avro::schema::RecordField)| {
                Ok((name.clone(), read(value, &field.schema, names)?))
            };
            Value::Record(values.iter().zip(&record.fields).map(pair).collect::<Result<_, String>>()?)
        }
        (value, schema) => return Err(format!("{value:?} is not of {schema:?}")),
    })
}
