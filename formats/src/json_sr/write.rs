//! Rows of columns as JSON, by the plan of one schema.

use arrow::datatypes::Fields;

use crate::{
    FormatError, FormatSpec, ResolvedSchema, Subject, base64_text,
    cells::Cells,
    decimal::{self, Unscaled},
    json::{Json, push_plain, push_quoted},
    json_sr::{
        generate::generate,
        types::Type,
        validate::validator,
        write_plan::{Member, Root, Slot, Source, Write},
    },
    registry::write_header,
};

/// What a schema may ask of values beyond the types that the plan knows.
const DEMANDS: &[&str] = &[
    "allOf",
    "const",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "if",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "pattern",
    "patternProperties",
    "propertyNames",
    "uniqueItems",
];

/// Writes rows with one registered schema.
pub(crate) struct JsonSrWriter {
    id: i32,
    root: Root,
    /// For schemas that ask more than a plan knows: every document is checked.
    validator: Option<jsonschema::Validator>,
}

impl JsonSrWriter {
    /// Takes the schema with the subject's id, or generates one and registers it.
    pub(crate) fn new(spec: &FormatSpec, fields: &Fields, subject: &Subject) -> Result<Self, FormatError> {
        let registry = &subject.registry;
        let (id, schema) = match subject.schema_id {
            Some(id) => (id, registry.schema(id)?),
            None => {
                let schema = generate(spec, fields)?;
                (registry.register(&subject.name, &schema)?, schema)
            }
        };
        let resolved = registry.resolve(&schema)?;
        let root = Root::new(&Type::parse(&resolved)?, spec.wrapped, fields)?;
        Ok(Self { id, root, validator: demanding(&resolved)? })
    }

    /// Appends a row; `false` if it is a NULL payload, which only a bare NULL is. A row that the schema does not
    /// take leaves nothing behind.
    pub(crate) fn write(
        &self,
        columns: &[Cells<'_>],
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        if matches!(self.root, Root::Bare(_)) && columns[0].is_null(row) {
            return Ok(false);
        }
        let start = out.len();
        write_header(self.id, out);
        let body = out.len();
        let written = match &self.root {
            Root::Wrapped(members) => write_members(members, columns, row, out),
            Root::Bare(slot) => write_slot(slot, &columns[0], row, out, ""),
        };
        let written = written.and_then(|()| self.check(&out[body..]));
        if let Err(reason) = written {
            out.truncate(start);
            return Err(FormatError::Schema(format!("the row does not fit schema {}: {reason}", self.id)));
        }
        Ok(true)
    }

    fn check(&self, document: &[u8]) -> Result<(), String> {
        let Some(validator) = &self.validator else { return Ok(()) };
        let document: serde_json::Value =
            serde_json::from_slice(document).map_err(|error| error.to_string())?;
        validator.validate(&document).map_err(|error| {
            let path = error.instance_path().to_string();
            if path.is_empty() { error.to_string() } else { format!("{error}, path: {path}") }
        })
    }
}

/// A validator, if the schema asks for more than types.
fn demanding(schema: &ResolvedSchema) -> Result<Option<jsonschema::Validator>, FormatError> {
    let texts = std::iter::once(&schema.schema).chain(schema.references.iter().map(|(_, schema)| schema));
    let mut demanding = false;
    for schema in texts {
        demanding |= demands(&Json::parse(&schema.text).map_err(FormatError::Schema)?);
    }
    demanding.then(|| validator(schema).map_err(FormatError::Schema)).transpose()
}

fn demands(json: &Json) -> bool {
    json.members().iter().any(|(name, value)| DEMANDS.contains(&name.as_str()) || demands(value))
        || json.items().iter().any(demands)
}

fn write_members(
    members: &[Member],
    columns: &[Cells<'_>],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    out.push(b'{');
    let first = out.len();
    for member in members {
        let absent = match &member.value {
            Source::Column(column, slot) => columns[*column].is_null(row) && !slot.nullable,
            Source::Constant(_) => false,
            Source::Missing => true,
        };
        if absent {
            if member.required {
                return Err(format!("the required field `{}` is NULL", member.name));
            }
            continue;
        }
        if out.len() > first {
            out.push(b',');
        }
        out.extend_from_slice(&member.before);
        match &member.value {
            Source::Column(column, slot) => write_slot(slot, &columns[*column], row, out, &member.name)?,
            Source::Constant(text) => out.extend_from_slice(text.as_bytes()),
            Source::Missing => {}
        }
    }
    out.push(b'}');
    Ok(())
}

fn write_slot(
    slot: &Slot,
    cells: &Cells<'_>,
    row: usize,
    out: &mut Vec<u8>,
    name: &str,
) -> Result<(), String> {
    if cells.is_null(row) {
        if !slot.nullable {
            return Err(format!("`{name}` holds a NULL, and its schema does not take null"));
        }
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match (&slot.write, cells) {
        (Write::Array(item), Cells::Array(lists, items)) => {
            let offsets = lists.value_offsets();
            out.push(b'[');
            for index in offsets[row]..offsets[row + 1] {
                if index > offsets[row] {
                    out.push(b',');
                }
                write_slot(item, items, index as usize, out, name)?;
            }
            out.push(b']');
        }
        (Write::Object(value), Cells::Map(maps, keys, values)) => {
            let offsets = maps.value_offsets();
            out.push(b'{');
            for index in offsets[row]..offsets[row + 1] {
                if index > offsets[row] {
                    out.push(b',');
                }
                push_quoted(out, keys.value(index as usize));
                out.push(b':');
                write_slot(value, values, index as usize, out, name)?;
            }
            out.push(b'}');
        }
        (Write::Entries(value), Cells::Map(maps, keys, values)) => {
            let offsets = maps.value_offsets();
            out.push(b'[');
            for index in offsets[row]..offsets[row + 1] {
                out.extend_from_slice(if index > offsets[row] { b",{\"key\":" } else { b"{\"key\":" });
                push_quoted(out, keys.value(index as usize));
                out.extend_from_slice(b",\"value\":");
                write_slot(value, values, index as usize, out, name)?;
                out.push(b'}');
            }
            out.push(b']');
        }
        (Write::Struct(members), Cells::Struct(_, columns)) => write_members(members, columns, row, out)?,
        (Write::Union(branches), Cells::Struct(_, columns)) => {
            let set = branches.iter().zip(columns).find(|(_, cells)| !cells.is_null(row));
            match set {
                Some((branch, cells)) => write_slot(branch, cells, row, out, name)?,
                None if slot.nullable => out.extend_from_slice(b"null"),
                None => return Err(format!("`{name}` holds no value of its types")),
            }
        }
        (Write::DecimalText, Cells::Decimal(values, _)) => push_decimal(values.value(row), out),
        (Write::DecimalText, Cells::WideDecimal(values, _)) => push_decimal(values.value(row), out),
        (Write::Plain, _) => push_plain(cells, row, out),
        _ => unreachable!("plans follow the columns"),
    }
    Ok(())
}

/// The bytes of a decimal as base64.
fn push_decimal<N: Unscaled>(unscaled: N, out: &mut Vec<u8>) {
    out.push(b'"');
    decimal::with_signed(unscaled, |bytes| base64_text::push(out, bytes));
    out.push(b'"');
}
