//! The JSON Schema of columns, as Kafka Connect's JSON Schema converter writes it.

use arrow::datatypes::{DataType, Fields};

use crate::{FormatError, FormatSpec, Schema, SchemaType, json::Json};

/// The schema that columns are written with.
pub(crate) fn generate(spec: &FormatSpec, fields: &Fields) -> Result<Schema, FormatError> {
    let root = match fields.first() {
        Some(only) if !spec.wrapped => nullable(value(only.data_type()), None),
        _ => object(fields),
    };
    Ok(Schema::new(SchemaType::Json, root.to_text()))
}

type Members = Vec<(String, Json)>;

fn text(value: &str) -> Json {
    Json::String(value.into())
}

fn typed(name: &str) -> Members {
    vec![("type".into(), text(name))]
}

/// Every SQL type is nullable.
fn nullable(value: Members, index: Option<usize>) -> Json {
    let mut members = Members::new();
    if let Some(index) = index {
        members.push(("connect.index".into(), Json::Number(index.to_string())));
    }
    members.push(("oneOf".into(), Json::Array(vec![Json::Object(typed("null")), Json::Object(value)])));
    Json::Object(members)
}

fn object(fields: &Fields) -> Json {
    Json::Object(object_members(fields))
}

fn object_members(fields: &Fields) -> Members {
    let property = |(index, field): (usize, &arrow::datatypes::FieldRef)| {
        (field.name().clone(), nullable(value(field.data_type()), Some(index)))
    };
    let mut members = typed("object");
    members.push(("properties".into(), Json::Object(fields.iter().enumerate().map(property).collect())));
    members
}

fn value(data_type: &DataType) -> Members {
    let connect = |name: &str, connect: &str| {
        let mut members = typed(name);
        members.push(("connect.type".into(), text(connect)));
        members
    };
    let logical = |name: &str, of: &str, logical: &str| {
        let mut members = typed(name);
        members.push(("title".into(), text(&format!("org.apache.kafka.connect.data.{logical}"))));
        members.push(("connect.version".into(), Json::Number("1".into())));
        members.push(("connect.type".into(), text(of)));
        members
    };
    match data_type {
        DataType::Boolean => typed("boolean"),
        DataType::Int32 => connect("integer", "int32"),
        DataType::Int64 => connect("integer", "int64"),
        DataType::Float64 => connect("number", "float64"),
        DataType::Binary => connect("string", "bytes"),
        DataType::Date32 => logical("integer", "int32", "Date"),
        DataType::Time32(_) => logical("integer", "int32", "Time"),
        DataType::Timestamp(..) => logical("integer", "int64", "Timestamp"),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let mut members = logical("number", "bytes", "Decimal");
            let parameters = vec![
                ("scale".into(), text(&scale.to_string())),
                ("connect.decimal.precision".into(), text(&precision.to_string())),
            ];
            members.push(("connect.parameters".into(), Json::Object(parameters)));
            members
        }
        DataType::List(item) => {
            let mut members = typed("array");
            members.push(("items".into(), nullable(value(item.data_type()), None)));
            members
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else {
                unreachable!("map entries are {entries}")
            };
            let mut members = typed("array");
            let entry = vec![
                ("key".into(), nullable(value(pair[0].data_type()), Some(0))),
                ("value".into(), nullable(value(pair[1].data_type()), Some(1))),
            ];
            let mut items = typed("object");
            items.push(("properties".into(), Json::Object(entry)));
            members.push(("items".into(), Json::Object(items)));
            members.push(("connect.type".into(), text("map")));
            members
        }
        DataType::Struct(fields) => object_members(fields),
        _ => typed("string"),
    }
}
