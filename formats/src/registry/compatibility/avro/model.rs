//! An Avro schema with its names resolved.

use std::collections::{HashMap, HashSet};

use crate::json::Json;

/// Types in an arena; they refer to each other by position, so recursion needs no pointers.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) types: Vec<Type>,
    /// Full names of records, enums and fixed.
    names: HashMap<String, usize>,
    /// The type that was added last.
    pub(super) root: usize,
    /// Defaults to be judged once all types are known: the field's path, its type and the value.
    defaults: Vec<(String, usize, Json)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Name, Vec<Field>),
    Enum(Name, Vec<String>, Option<String>),
    Fixed(Name, i64),
}

/// The name of a record, enum or fixed, and others it had.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    pub(super) full: String,
    /// Full names.
    pub(super) aliases: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) ty: usize,
    pub(super) has_default: bool,
}

impl Name {
    /// The name without its namespace.
    pub(super) fn short(&self) -> &str {
        self.full.rsplit_once('.').map_or(self.full.as_str(), |(_, short)| short)
    }
}

impl Type {
    /// Avro's name of the type, as Java writes it in messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Boolean => "BOOLEAN",
            Self::Int => "INT",
            Self::Long => "LONG",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
            Self::Bytes => "BYTES",
            Self::String => "STRING",
            Self::Array(_) => "ARRAY",
            Self::Map(_) => "MAP",
            Self::Union(_) => "UNION",
            Self::Record(..) => "RECORD",
            Self::Enum(..) => "ENUM",
            Self::Fixed(..) => "FIXED",
        }
    }

    pub(super) fn name(&self) -> Option<&Name> {
        match self {
            Self::Record(name, _) | Self::Enum(name, ..) | Self::Fixed(name, _) => Some(name),
            _ => None,
        }
    }
}

/// The type of a primitive's name.
pub(super) fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::String,
        _ => return None,
    })
}

/// Names of one part are `[A-Za-z_][A-Za-z0-9_]*`; full names have parts between dots.
pub(super) fn is_name(text: &str) -> bool {
    text.split('.').all(is_simple_name)
}

fn is_simple_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A name in a namespace; a name with dots is full already.
pub(super) fn full_name(name: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(space) if !space.is_empty() && !name.contains('.') => format!("{space}.{name}"),
        _ => name.to_owned(),
    }
}

/// The full name of a definition, from its `name` and `namespace` and the namespace around it.
pub(super) fn defined_name(json: &Json, around: Option<&str>) -> Result<String, String> {
    let name = json.text("name").ok_or_else(|| format!("No name in schema: {}", json.to_text()))?;
    let full = full_name(name, json.text("namespace").or(around));
    if is_name(&full) { Ok(full) } else { Err(format!("Illegal character in: {full}")) }
}

/// The namespace of a full name.
pub(super) fn namespace_of(full: &str) -> Option<&str> {
    full.rsplit_once('.').map(|(space, _)| space)
}

impl Model {
    /// Adds a schema and makes it the root.
    pub(super) fn add(&mut self, json: &Json) -> Result<(), String> {
        self.root = self.ty(json, None)?;
        Ok(())
    }

    fn push(&mut self, ty: Type) -> usize {
        self.types.push(ty);
        self.types.len() - 1
    }

    fn ty(&mut self, json: &Json, namespace: Option<&str>) -> Result<usize, String> {
        match json {
            Json::String(name) => {
                if let Some(ty) = primitive(name) {
                    return Ok(self.push(ty));
                }
                let full = full_name(name, namespace);
                let found = self.names.get(&full).or_else(|| self.names.get(name));
                found.copied().ok_or_else(|| format!("\"{full}\" is not a defined name"))
            }
            Json::Array(branches) => self.union(branches, namespace),
            Json::Object(_) => self.complex(json, namespace),
            _ => Err(format!("Schema not yet supported: {}", json.to_text())),
        }
    }

    fn union(&mut self, branches: &[Json], namespace: Option<&str>) -> Result<usize, String> {
        let mut places = Vec::with_capacity(branches.len());
        let mut known = HashSet::new();
        for branch in branches {
            let place = self.ty(branch, namespace)?;
            let ty = &self.types[place];
            if matches!(ty, Type::Union(_)) {
                return Err(format!("Nested union: {}", Json::Array(branches.to_vec()).to_text()));
            }
            let name = ty.name().map_or_else(|| ty.kind().to_lowercase(), |name| name.full.clone());
            if !known.insert(name.clone()) {
                return Err(format!("Duplicate in union: {name}"));
            }
            places.push(place);
        }
        Ok(self.push(Type::Union(places)))
    }

    fn complex(&mut self, json: &Json, namespace: Option<&str>) -> Result<usize, String> {
        let ty = json.get("type").ok_or_else(|| format!("No type: {}", json.to_text()))?;
        let Some(kind) = ty.as_str() else { return self.ty(ty, namespace) };
        match kind {
            "record" | "error" => self.record(json, namespace),
            "enum" => self.enumeration(json, namespace),
            "fixed" => {
                let name = name(json, namespace)?;
                let size = json.get("size").and_then(Json::as_i64).filter(|size| *size >= 0);
                let size = size.ok_or_else(|| format!("Invalid or no size: {}", json.to_text()))?;
                let full = name.full.clone();
                self.define(full, Type::Fixed(name, size))
            }
            "array" => {
                let items = json.get("items").ok_or_else(|| format!("No items type: {}", json.to_text()))?;
                let items = self.ty(items, namespace)?;
                Ok(self.push(Type::Array(items)))
            }
            "map" => {
                let values =
                    json.get("values").ok_or_else(|| format!("No values type: {}", json.to_text()))?;
                let values = self.ty(values, namespace)?;
                Ok(self.push(Type::Map(values)))
            }
            _ => self.ty(ty, namespace),
        }
    }

    fn define(&mut self, full: String, ty: Type) -> Result<usize, String> {
        if self.names.contains_key(&full) {
            return Err(format!("Can't redefine: {full}"));
        }
        let place = self.push(ty);
        self.names.insert(full, place);
        Ok(place)
    }

    fn enumeration(&mut self, json: &Json, namespace: Option<&str>) -> Result<usize, String> {
        let name = name(json, namespace)?;
        let Some(Json::Array(list)) = json.get("symbols") else {
            return Err(format!("Enum has no symbols: {}", json.to_text()));
        };
        let mut symbols = Vec::with_capacity(list.len());
        let mut known = HashSet::new();
        for symbol in list {
            let symbol = symbol.as_str().filter(|symbol| is_simple_name(symbol));
            let symbol = symbol.ok_or_else(|| format!("Illegal symbol in enum {}", name.full))?;
            if !known.insert(symbol) {
                return Err(format!("Duplicate enum symbol: {symbol}"));
            }
            symbols.push(symbol.to_owned());
        }
        let default = json.text("default").map(str::to_owned);
        if let Some(default) = default.as_ref().filter(|default| !known.contains(default.as_str())) {
            return Err(format!("The Enum Default: {default} is not in the enum symbol set"));
        }
        let full = name.full.clone();
        self.define(full, Type::Enum(name, symbols, default))
    }

    fn record(&mut self, json: &Json, namespace: Option<&str>) -> Result<usize, String> {
        let name = name(json, namespace)?;
        let full = name.full.clone();
        // Fields may refer to the record itself.
        let place = self.define(full.clone(), Type::Record(name.clone(), Vec::new()))?;
        let Some(Json::Array(list)) = json.get("fields") else {
            return Err(format!("Record has no fields: {}", json.to_text()));
        };
        let inside = namespace_of(&full);
        let mut fields = Vec::with_capacity(list.len());
        let mut known = HashSet::new();
        for field in list {
            let name = field.text("name").ok_or_else(|| format!("No field name: {}", field.to_text()))?;
            if !is_simple_name(name) {
                return Err(format!("Illegal character in: {name}"));
            }
            if !known.insert(name) {
                return Err(format!("Duplicate field {name} in record {full}"));
            }
            let ty = field.get("type").ok_or_else(|| format!("No field type: {}", field.to_text()))?;
            let ty = self.ty(ty, inside)?;
            let default = field.get("default");
            if let Some(value) = default {
                self.defaults.push((format!("{full}.{name}"), ty, value.clone()));
            }
            let aliases = texts(field.get("aliases"));
            fields.push(Field { name: name.to_owned(), aliases, ty, has_default: default.is_some() });
        }
        self.types[place] = Type::Record(name, fields);
        Ok(place)
    }

    /// Refuses defaults that are no values of their fields.
    pub(super) fn check_defaults(&self) -> Result<(), String> {
        match self.defaults.iter().find(|(_, ty, value)| !self.holds(*ty, value)) {
            None => Ok(()),
            Some((path, ty, value)) => Err(format!(
                "Invalid default for field {path}: {} not a {}",
                value.to_text(),
                self.types[*ty].kind().to_lowercase()
            )),
        }
    }

    /// Whether a JSON value is a default of the type. Depth is that of the value, which is bounded.
    fn holds(&self, ty: usize, value: &Json) -> bool {
        match &self.types[ty] {
            Type::Null => *value == Json::Null,
            Type::Boolean => matches!(value, Json::Bool(_)),
            Type::Int => value.as_i64().is_some_and(|value| i32::try_from(value).is_ok()),
            Type::Long => value.as_i64().is_some(),
            Type::Float | Type::Double => {
                matches!(value, Json::Number(_))
                    || matches!(value.as_str(), Some("NaN" | "Infinity" | "-Infinity"))
            }
            Type::Bytes | Type::String | Type::Enum(..) | Type::Fixed(..) => value.as_str().is_some(),
            Type::Array(items) => {
                matches!(value, Json::Array(_)) && value.items().iter().all(|item| self.holds(*items, item))
            }
            Type::Map(values) => {
                matches!(value, Json::Object(_))
                    && value.members().iter().all(|(_, value)| self.holds(*values, value))
            }
            Type::Union(branches) => branches.iter().any(|branch| self.holds(*branch, value)),
            Type::Record(_, fields) => {
                matches!(value, Json::Object(_))
                    && fields.iter().all(|field| match value.get(&field.name) {
                        Some(value) => self.holds(field.ty, value),
                        None => field.has_default,
                    })
            }
        }
    }
}

fn name(json: &Json, namespace: Option<&str>) -> Result<Name, String> {
    let full = defined_name(json, namespace)?;
    let aliases = texts(json.get("aliases"));
    let aliases = aliases.iter().map(|alias| full_name(alias, namespace_of(&full))).collect();
    Ok(Name { full, aliases })
}

fn texts(list: Option<&Json>) -> Vec<String> {
    list.map_or(&[][..], Json::items).iter().filter_map(Json::as_str).map(str::to_owned).collect()
}
