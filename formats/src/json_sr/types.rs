//! What a JSON Schema says about values, as Kafka Connect's JSON Schema converter understands it.

use crate::{
    FormatError, ResolvedSchema,
    connect_schema::{ConnectField, ConnectSchema},
    decimal::column_precision,
    json::Json,
    json_sr::document::{Documents, Part},
};

/// Levels of types within types that are translated.
const DEPTH_MAX: usize = 64;

/// Types that a schema may have once every reference is written out.
const TYPES_MAX: usize = 10_000;

/// A type and whether null is one of its values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Type {
    pub(crate) shape: Shape,
    pub(crate) nullable: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// One value: see [`ConnectSchema`].
    Plain(ConnectSchema),
    /// A decimal as a number, or as the base64 text of its bytes.
    Decimal {
        precision: u8,
        scale: i8,
        text: bool,
    },
    Array(Box<Type>),
    /// An object whose names are keys.
    Object(Box<Type>),
    /// An array of objects with a `key` and a `value`.
    Entries(Box<Type>, Box<Type>),
    Struct(Vec<Field>),
    /// One of several types, which Connect makes a struct with a field for each.
    Union(Vec<Type>),
    /// What has no type, by a name for it.
    Unsupported(&'static str),
}

/// A property of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) required: bool,
    /// As JSON.
    pub(crate) default: Option<String>,
}

/// The Connect schema of a registered one. A type inside itself is a part that SQL has no type for.
pub(crate) fn infer(schema: &ResolvedSchema) -> Result<ConnectSchema, FormatError> {
    Ok(Type::parse(schema)?.shape.connect())
}

/// The name of the field that holds the values of one type of a union.
pub(crate) fn branch_name(index: usize) -> String {
    format!("io.confluent.connect.json.OneOf.field.{index}")
}

impl Type {
    /// The type of a schema's values.
    pub(crate) fn parse(schema: &ResolvedSchema) -> Result<Self, FormatError> {
        let fault = |reason| FormatError::Schema(format!("the JSON schema cannot be used: {reason}"));
        let documents = Documents::parse(schema).map_err(fault)?;
        let mut translation = Translation { documents: &documents, around: Vec::new(), left: TYPES_MAX };
        translation.translate(documents.root_part()).map_err(fault)
    }

    fn new(shape: Shape) -> Self {
        Self { shape, nullable: false }
    }

    fn plain(schema: ConnectSchema) -> Self {
        Self::new(Shape::Plain(schema))
    }

    fn unsupported(name: &'static str) -> Self {
        Self::new(Shape::Unsupported(name))
    }
}

impl Shape {
    pub(crate) fn connect(&self) -> ConnectSchema {
        let field = |name: String, ty: &Type| ConnectField { name, schema: ty.shape.connect() };
        match self {
            Self::Plain(schema) => schema.clone(),
            Self::Decimal { precision, scale, .. } => {
                ConnectSchema::Decimal { precision: *precision, scale: *scale }
            }
            Self::Array(item) => ConnectSchema::Array(Box::new(item.shape.connect())),
            Self::Object(value) => {
                ConnectSchema::Map(Box::new(ConnectSchema::String), Box::new(value.shape.connect()))
            }
            Self::Entries(key, value) => {
                ConnectSchema::Map(Box::new(key.shape.connect()), Box::new(value.shape.connect()))
            }
            Self::Struct(fields) => ConnectSchema::Struct(
                fields.iter().map(|member| field(member.name.clone(), &member.ty)).collect(),
            ),
            Self::Union(types) => ConnectSchema::Struct(
                (0..).zip(types).map(|(index, ty)| field(branch_name(index), ty)).collect(),
            ),
            Self::Unsupported(name) => ConnectSchema::Unsupported(name),
        }
    }
}

struct Translation<'a> {
    documents: &'a Documents,
    /// The referenced parts around the one being translated.
    around: Vec<&'a Json>,
    /// How many types may still come.
    left: usize,
}

impl<'a> Translation<'a> {
    fn translate(&mut self, part: Part<'a>) -> Result<Type, String> {
        if self.around.iter().any(|around| std::ptr::eq(*around, part.json)) {
            return Ok(Type::unsupported("recursive object"));
        }
        if self.left == 0 || self.around.len() >= DEPTH_MAX {
            return Err(format!(
                "it is nested deeper than {DEPTH_MAX} levels or has more than {TYPES_MAX} types"
            ));
        }
        self.left -= 1;
        self.around.push(part.json);
        let translated = self.translate_inside(part);
        self.around.pop();
        translated
    }

    fn translate_inside(&mut self, part: Part<'a>) -> Result<Type, String> {
        let json = part.json;
        if !matches!(json, Json::Object(_)) {
            return Ok(Type::unsupported("anything"));
        }
        if let Some(reference) = json.text("$ref") {
            let documents = self.documents;
            let referred = documents
                .refer(part, reference)
                .ok_or_else(|| format!("it refers to {reference}, which is not there"))?;
            return self.translate(referred);
        }
        for combined in ["oneOf", "anyOf"] {
            if let Some(Json::Array(types)) = json.get(combined)
                && json.get("properties").is_none()
            {
                return self.one_of(part, types.iter());
            }
        }
        if let Some(Json::Array(types)) = json.get("allOf") {
            return self.all_of(part, types);
        }
        if let Some(Json::Array(names)) = json.get("type") {
            return self.types(part, names);
        }
        self.single(part, json.text("type").unwrap_or_else(|| implied(json)))
    }

    /// One of several schemas; null among them makes the others nullable.
    fn one_of(&mut self, part: Part<'a>, types: impl Iterator<Item = &'a Json>) -> Result<Type, String> {
        let mut nullable = false;
        let mut others = Vec::new();
        for json in types {
            if json.text("type") == Some("null") {
                nullable = true;
            } else {
                others.push(self.translate(part.below(json))?);
            }
        }
        Ok(union(others, nullable))
    }

    /// `"type": ["string", "null"]`.
    fn types(&mut self, part: Part<'a>, names: &'a [Json]) -> Result<Type, String> {
        let mut nullable = false;
        let mut others = Vec::new();
        for name in names.iter().filter_map(Json::as_str) {
            if name == "null" {
                nullable = true;
            } else {
                others.push(self.single(part, name)?);
            }
        }
        Ok(union(others, nullable))
    }

    /// All of several schemas: the fields of all objects together, or else the first type that there is.
    fn all_of(&mut self, part: Part<'a>, types: &'a [Json]) -> Result<Type, String> {
        let mut found = Vec::new();
        if part.json.get("type").is_some() || part.json.get("properties").is_some() {
            found.push(self.single(part, part.json.text("type").unwrap_or_else(|| implied(part.json)))?);
        }
        for json in types {
            found.push(self.translate(part.below(json))?);
        }
        let mut fields: Vec<Field> = Vec::new();
        let mut is_object = false;
        let nullable = !found.is_empty() && found.iter().all(|ty| ty.nullable);
        for ty in &found {
            let Shape::Struct(more) = &ty.shape else { continue };
            is_object = true;
            for field in more {
                match fields.iter_mut().find(|known| known.name == field.name) {
                    Some(known) => known.required |= field.required,
                    None => fields.push(field.clone()),
                }
            }
        }
        if is_object {
            return Ok(Type { shape: Shape::Struct(fields), nullable });
        }
        let known = found.into_iter().find(|ty| !matches!(ty.shape, Shape::Unsupported(_)));
        Ok(known.unwrap_or_else(|| Type::unsupported("combined types")))
    }

    fn single(&mut self, part: Part<'a>, name: &str) -> Result<Type, String> {
        let json = part.json;
        let connect = json.text("connect.type");
        Ok(match name {
            "boolean" => Type::plain(ConnectSchema::Boolean),
            "integer" => number(json, connect.unwrap_or("int64")),
            "number" => number(json, connect.unwrap_or("float64")),
            "string" if connect == Some("bytes") && is_decimal(json) => decimal(json, true),
            "string" if connect == Some("bytes") => Type::plain(ConnectSchema::Bytes),
            "string" => Type::plain(ConnectSchema::String),
            "array" => self.array(part, connect == Some("map"))?,
            "object" => self.object(part, connect == Some("map"))?,
            "null" => Type { nullable: true, ..Type::unsupported("null") },
            _ => Type::unsupported("anything"),
        })
    }

    fn array(&mut self, part: Part<'a>, is_map: bool) -> Result<Type, String> {
        let Some(items) = part.json.get("items").filter(|items| matches!(items, Json::Object(_))) else {
            return Ok(Type::unsupported("array of anything"));
        };
        let items = self.translate(part.below(items))?;
        if !is_map {
            return Ok(Type::new(Shape::Array(Box::new(items))));
        }
        let Shape::Struct(fields) = items.shape else { return Ok(Type::unsupported("map without entries")) };
        let field = |name: &str| {
            fields.iter().find(|field| field.name == name).map(|field| Box::new(field.ty.clone()))
        };
        Ok(match (field("key"), field("value")) {
            (Some(key), Some(value)) => Type::new(Shape::Entries(key, value)),
            _ => Type::unsupported("map without entries"),
        })
    }

    fn object(&mut self, part: Part<'a>, is_map: bool) -> Result<Type, String> {
        let json = part.json;
        let properties = json.get("properties").map_or(&[][..], Json::members);
        let others = json.get("additionalProperties").filter(|others| matches!(others, Json::Object(_)));
        if is_map || (properties.is_empty() && others.is_some()) {
            return Ok(match others {
                Some(value) => Type::new(Shape::Object(Box::new(self.translate(part.below(value))?))),
                None => Type::unsupported("map of anything"),
            });
        }
        let required = json.get("required").map_or(&[][..], Json::items);
        let mut fields = Vec::with_capacity(properties.len());
        for (place, (name, property)) in properties.iter().enumerate() {
            let index = property.get("connect.index").and_then(Json::as_i64).unwrap_or(place as i64);
            fields.push((
                index,
                Field {
                    name: name.clone(),
                    ty: self.translate(part.below(property))?,
                    required: required.iter().any(|required| required.as_str() == Some(name)),
                    default: property.get("default").map(Json::to_text),
                },
            ));
        }
        fields.sort_by_key(|(index, _)| *index);
        Ok(Type::new(Shape::Struct(fields.into_iter().map(|(_, field)| field).collect())))
    }
}

/// The type that a schema without `type` means.
fn implied(json: &Json) -> &'static str {
    let has = |names: &[&str]| names.iter().any(|name| json.get(name).is_some());
    let texts =
        |values: &[Json]| !values.is_empty() && values.iter().all(|value| matches!(value, Json::String(_)));
    if has(&["properties", "additionalProperties", "patternProperties", "required", "minProperties"]) {
        "object"
    } else if has(&["items", "minItems", "maxItems", "uniqueItems"]) {
        "array"
    } else if has(&["minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"]) {
        "number"
    } else if has(&["minLength", "maxLength", "pattern"])
        || json.get("enum").is_some_and(|values| texts(values.items()))
    {
        "string"
    } else {
        match json.get("const").or_else(|| json.get("enum").and_then(|values| values.items().first())) {
            Some(Json::String(_)) => "string",
            Some(Json::Bool(_)) => "boolean",
            Some(number @ Json::Number(_)) if number.as_i64().is_some() => "integer",
            Some(Json::Number(_)) => "number",
            _ => "anything",
        }
    }
}

fn union(mut types: Vec<Type>, nullable: bool) -> Type {
    match types.len() {
        0 => Type { nullable, ..Type::unsupported("null") },
        1 => {
            let only = types.remove(0);
            Type { nullable: nullable || only.nullable, ..only }
        }
        _ => {
            let nullable = nullable || types.iter().any(|ty| ty.nullable);
            Type { shape: Shape::Union(types), nullable }
        }
    }
}

fn number(json: &Json, connect: &str) -> Type {
    let title = json.text("title").and_then(|title| title.strip_prefix("org.apache.kafka.connect.data."));
    Type::plain(match (connect, title) {
        ("int32", Some("Date")) => ConnectSchema::Date,
        ("int32", Some("Time")) => ConnectSchema::Time,
        ("int64", Some("Timestamp")) => ConnectSchema::Timestamp,
        ("int8", _) => ConnectSchema::Int8,
        ("int16", _) => ConnectSchema::Int16,
        ("int32", _) => ConnectSchema::Int32,
        ("int64", _) => ConnectSchema::Int64,
        ("float32", _) => ConnectSchema::Float32,
        ("float64", _) => ConnectSchema::Float64,
        ("bytes", Some("Decimal")) => return decimal(json, false),
        _ => return Type::unsupported("number of an unknown connect.type"),
    })
}

fn is_decimal(json: &Json) -> bool {
    json.text("title") == Some("org.apache.kafka.connect.data.Decimal")
}

fn decimal(json: &Json, text: bool) -> Type {
    let parameter = |name: &str| json.get("connect.parameters")?.text(name)?.parse::<u64>().ok();
    let precision = column_precision(parameter("connect.decimal.precision"));
    match parameter("scale") {
        Some(scale) if scale <= precision.into() => {
            Type::new(Shape::Decimal { precision, scale: scale as i8, text })
        }
        _ => Type::unsupported("decimal of that scale"),
    }
}
