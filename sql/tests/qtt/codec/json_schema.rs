//! JSON with a JSON Schema, as Kafka Connect writes it.

use serde_json::Value as Schema;

use crate::{
    json::Json,
    value::{Decimal, Value},
};

/// Connect's name of decimals.
const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

/// Writes a value by a schema.
pub(crate) fn encode(json: &Json, schema: &str) -> Result<Vec<u8>, String> {
    let schema: Schema = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    Ok(write(json, &schema, &schema)?.to_string().into_bytes())
}

/// Reads a value by the schema that it was written with.
pub(crate) fn decode(bytes: &[u8], schema: &str) -> Result<Value, String> {
    let schema: Schema = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    read(&Json::parse(bytes)?, &schema, &schema)
}

/// The schema that is meant where one may be null, or is referred to.
fn meant<'a>(mut schema: &'a Schema, root: &'a Schema) -> &'a Schema {
    for _ in 0..32 {
        let reference = schema.get("$ref").and_then(Schema::as_str).and_then(|to| to.strip_prefix('#'));
        let choices = ["oneOf", "anyOf"].iter().find_map(|name| schema.get(name)?.as_array());
        let choice = choices.and_then(|choices| {
            choices.iter().find(|choice| choice.get("type").and_then(Schema::as_str) != Some("null"))
        });
        schema = match (reference.and_then(|to| root.pointer(to)), choice) {
            (Some(next), _) | (None, Some(next)) => next,
            (None, None) => return schema,
        };
    }
    schema
}

fn text_of<'a>(schema: &'a Schema, name: &str) -> &'a str {
    schema.get(name).and_then(Schema::as_str).unwrap_or_default()
}

fn type_of(schema: &Schema) -> &str {
    match schema.get("type") {
        Some(Schema::Array(types)) => {
            types.iter().filter_map(Schema::as_str).find(|name| *name != "null").unwrap_or_default()
        }
        _ => text_of(schema, "type"),
    }
}

/// The schemas of key and value, if this is that of a map's entries.
fn entry(schema: &Schema) -> Option<(&Schema, &Schema)> {
    let fields = schema.get("items")?.get("properties")?;
    (text_of(schema, "connect.type") == "map").then_some((fields.get("key")?, fields.get("value")?))
}

fn write(json: &Json, schema: &Schema, root: &Schema) -> Result<Json, String> {
    let schema = meant(schema, root);
    let text = json.text();
    if json.is_null() {
        return Ok(Json::Null);
    }
    Ok(match type_of(schema) {
        "string" => Json::String(text),
        "boolean" => Json::Bool(text.parse().map_err(|_| format!("{json} is no boolean"))?),
        "integer" => {
            Json::Number(text.parse::<i64>().map_err(|_| format!("{json} is no integer"))?.to_string())
        }
        "number" => {
            Decimal::parse(&text).ok_or_else(|| format!("{json} is no number"))?;
            Json::Number(text)
        }
        "array" => match (json, entry(schema)) {
            (Json::Object(fields), Some((key, value))) => {
                let pair = |(name, item): &(String, Json)| {
                    Ok(Json::Object(vec![
                        ("key".to_owned(), write(&Json::String(name.clone()), key, root)?),
                        ("value".to_owned(), write(item, value, root)?),
                    ]))
                };
                Json::Array(fields.iter().map(pair).collect::<Result<_, String>>()?)
            }
            (Json::Array(items), _) => {
                let of = schema.get("items").unwrap_or(&Schema::Null);
                Json::Array(items.iter().map(|item| write(item, of, root)).collect::<Result<_, _>>()?)
            }
            _ => return Err(format!("{json} is no array")),
        },
        "object" => {
            let Json::Object(given) = json else { return Err(format!("{json} is no object")) };
            match (schema.get("properties").and_then(Schema::as_object), schema.get("additionalProperties")) {
                (None, Some(values)) if values.is_object() => {
                    let pair = |(name, item): &(String, Json)| Ok((name.clone(), write(item, values, root)?));
                    Json::Object(given.iter().map(pair).collect::<Result<_, String>>()?)
                }
                (fields, _) => {
                    let field = |(name, of): (&String, &Schema)| {
                        let value = given.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                        let value = value.map_or(&Json::Null, |(_, value)| value);
                        Ok((name.clone(), write(value, of, root)?))
                    };
                    let fields: Result<Vec<_>, String> = fields.into_iter().flatten().map(field).collect();
                    Json::Object(fields?.into_iter().filter(|(_, value)| !value.is_null()).collect())
                }
            }
        }
        _ => json.clone(),
    })
}

fn read(json: &Json, schema: &Schema, root: &Schema) -> Result<Value, String> {
    let schema = meant(schema, root);
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(text) => match (type_of(schema), text_of(schema, "title")) {
            (_, DECIMAL) => Value::Exact(Decimal::parse(text).ok_or("no decimal")?),
            ("integer", _) => Value::Integer(text.parse().map_err(|_| format!("{text} is no integer"))?),
            _ => Value::Float(text.parse().map_err(|_| format!("{text} is no number"))?),
        },
        Json::Array(items) => match entry(schema) {
            Some((_, value)) => {
                let pair = |item: &Json| Ok((item.get("key").text(), read(item.get("value"), value, root)?));
                Value::Record(items.iter().map(pair).collect::<Result<_, String>>()?)
            }
            None => {
                let of = schema.get("items").unwrap_or(&Schema::Null);
                Value::List(items.iter().map(|item| read(item, of, root)).collect::<Result<_, _>>()?)
            }
        },
        Json::Object(given) => match schema.get("properties").and_then(Schema::as_object) {
            Some(fields) => {
                let field =
                    |(name, of): (&String, &Schema)| Ok((name.clone(), read(json.get(name), of, root)?));
                Value::Record(fields.iter().map(field).collect::<Result<_, String>>()?)
            }
            None => {
                let of = schema.get("additionalProperties").unwrap_or(&Schema::Null);
                let field = |(name, value): &(String, Json)| Ok((name.clone(), read(value, of, root)?));
                Value::Record(given.iter().map(field).collect::<Result<_, String>>()?)
            }
        },
    })
}
