//! Defaults of fields, from the JSON of their schema to Avro's bytes.

use serde_json::Value;

use crate::avro::{
    input::{push_bytes, push_long},
    schema::{AvroSchema, Kind, NodeId},
};

/// Levels of values within values.
const DEPTH_MAX: usize = 64;

/// Bytes of one default: fields without a value take theirs in turn.
const SIZE_MAX: usize = 1 << 20;

/// The bytes of a default; the error says what does not fit its type.
pub(crate) fn encode(schema: &AvroSchema, node: NodeId, value: &Value) -> Result<Box<[u8]>, String> {
    let mut out = Vec::new();
    push(schema, node, value, &mut out, DEPTH_MAX)?;
    Ok(out.into())
}

fn push(
    schema: &AvroSchema,
    id: NodeId,
    value: &Value,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), String> {
    let Some(depth) = depth.checked_sub(1).filter(|_| out.len() <= SIZE_MAX) else {
        return Err(format!("it is nested deeper than {DEPTH_MAX} levels or larger than {SIZE_MAX} bytes"));
    };
    let wrong = || format!("{value} does not fit its type");
    let whole = || value.as_i64().ok_or_else(wrong);
    match &schema.node(id).kind {
        Kind::Null => value.as_null().ok_or_else(wrong)?,
        Kind::Boolean => out.push(u8::from(value.as_bool().ok_or_else(wrong)?)),
        Kind::Int => push_long(out, i64::from(i32::try_from(whole()?).map_err(|_| wrong())?)),
        Kind::Long => push_long(out, whole()?),
        Kind::Float => out.extend_from_slice(&(number(value).ok_or_else(wrong)? as f32).to_le_bytes()),
        Kind::Double => out.extend_from_slice(&number(value).ok_or_else(wrong)?.to_le_bytes()),
        Kind::String => push_bytes(out, value.as_str().ok_or_else(wrong)?.as_bytes()),
        Kind::Bytes => push_bytes(out, &bytes(value).ok_or_else(wrong)?),
        Kind::Fixed(size) => {
            out.extend_from_slice(&bytes(value).filter(|bytes| bytes.len() == *size).ok_or_else(wrong)?);
        }
        Kind::Enum(symbols) => {
            let symbol = value.as_str().ok_or_else(wrong)?;
            let index = symbols.iter().position(|other| **other == *symbol).ok_or_else(wrong)?;
            push_long(out, index as i64);
        }
        Kind::Union(branches) => {
            // The first branch, says the specification; later ones are taken as the registry takes them.
            let start = out.len();
            let fits = branches.iter().enumerate().any(|(index, branch)| {
                out.truncate(start);
                push_long(out, index as i64);
                push(schema, *branch, value, out, depth).is_ok()
            });
            if !fits {
                return Err(wrong());
            }
        }
        Kind::Array(item) => {
            let items = value.as_array().ok_or_else(wrong)?;
            push_count(out, items.len());
            for value in items {
                push(schema, *item, value, out, depth)?;
            }
            end(out, items.len());
        }
        Kind::Map(item) => {
            let items = value.as_object().ok_or_else(wrong)?;
            push_count(out, items.len());
            for (key, value) in items {
                push_bytes(out, key.as_bytes());
                push(schema, *item, value, out, depth)?;
            }
            end(out, items.len());
        }
        Kind::Record(fields) => {
            let values = value.as_object().ok_or_else(wrong)?;
            for field in fields {
                let value = values.get(&field.name).or(field.default.as_ref());
                let value = value.ok_or_else(|| format!("field {} has no value", field.name))?;
                push(schema, field.node, value, out, depth)?;
            }
        }
    }
    Ok(())
}

fn push_count(out: &mut Vec<u8>, count: usize) {
    push_long(out, count as i64);
}

/// Ends an array or map; without items its count has done so.
fn end(out: &mut Vec<u8>, count: usize) {
    if count > 0 {
        out.push(0);
    }
}

/// JSON has no NaN: Java writes the names of such numbers as texts.
fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity" | "INF") => Some(f64::INFINITY),
        Some("-Infinity" | "-INF") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

/// Characters 0 to 255 stand for bytes.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    value.as_str()?.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}
