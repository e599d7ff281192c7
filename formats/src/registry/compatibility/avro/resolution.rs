//! Can data of one Avro schema be read with another? The specification's schema resolution, with the kinds,
//! paths and messages of Java's `SchemaCompatibility`.

use std::collections::HashMap;

use super::model::{Field, Model, Name, Type};
use crate::registry::compatibility::difference::Difference;

/// Schemas may be nested this deep, with names resolved.
const DEPTH_MAX: usize = 300;

/// Pairs of types that are compared at most. Types that differ and are used in many places are compared in
/// each, so hostile schemas could ask for exponentially many.
const PAIRS_MAX: usize = 200_000;

pub(super) fn compare(reader: &Model, writer: &Model) -> Result<Vec<Difference>, String> {
    let mut comparison =
        Comparison { reader, writer, known: HashMap::new(), path: Vec::new(), pairs: 0, quiet: false };
    let mut found = Vec::new();
    comparison.compare(reader.root, writer.root, 0, &mut found)?;
    Ok(found)
}

struct Comparison<'a> {
    reader: &'a Model,
    writer: &'a Model,
    /// Pairs of named types: whether they are compatible, as far as is known. A pair under comparison counts as
    /// compatible, which ends recursion.
    known: HashMap<(usize, usize), bool>,
    path: Vec<String>,
    /// How many pairs were compared.
    pairs: usize,
    /// Whether it is only asked if there are differences, and not which.
    quiet: bool,
}

impl Comparison<'_> {
    fn report(&self, kind: &'static str, description: String, info: String, found: &mut Vec<Difference>) {
        found.push(Difference { kind, description, info: Some(info) });
    }

    /// The place in the reader's schema, and with this step below it.
    fn path(&self, below: &str) -> String {
        let mut path = String::new();
        for step in self.path.iter().map(String::as_str).chain((!below.is_empty()).then_some(below)) {
            path.push('/');
            path.push_str(step);
        }
        if path.is_empty() { "/".into() } else { path }
    }

    fn at<R>(&mut self, step: impl Into<String>, walk: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(step.into());
        let result = walk(self);
        self.path.pop();
        result
    }

    fn compare(
        &mut self,
        reader: usize,
        writer: usize,
        depth: usize,
        found: &mut Vec<Difference>,
    ) -> Result<(), String> {
        if depth == DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX} types"));
        }
        self.pairs += 1;
        if self.pairs > PAIRS_MAX {
            return Err(format!("more than {PAIRS_MAX} types to compare with an earlier version"));
        }
        let named = self.reader.types[reader].name().is_some() && self.writer.types[writer].name().is_some();
        if named {
            match self.known.get(&(reader, writer)) {
                Some(true) => return Ok(()),
                Some(false) if self.quiet => {
                    found.push(Difference::new("TYPE_MISMATCH", ""));
                    return Ok(());
                }
                _ => {}
            }
            self.known.insert((reader, writer), true);
        }
        let before = found.len();
        self.compare_types(reader, writer, depth, found)?;
        if named && found.len() > before {
            self.known.insert((reader, writer), false);
        }
        Ok(())
    }

    fn compare_types(
        &mut self,
        reader: usize,
        writer: usize,
        depth: usize,
        found: &mut Vec<Difference>,
    ) -> Result<(), String> {
        let (read, written) = (self.reader, self.writer);
        match (&read.types[reader], &written.types[writer]) {
            (Type::Null, Type::Null)
            | (Type::Boolean, Type::Boolean)
            | (Type::Int, Type::Int)
            | (Type::Long, Type::Int | Type::Long)
            | (Type::Float, Type::Int | Type::Long | Type::Float)
            | (Type::Double, Type::Int | Type::Long | Type::Float | Type::Double)
            | (Type::Bytes | Type::String, Type::Bytes | Type::String) => Ok(()),
            (Type::Array(a), Type::Array(b)) => {
                self.at("items", |this| this.compare(*a, *b, depth + 1, found))
            }
            (Type::Map(a), Type::Map(b)) => self.at("values", |this| this.compare(*a, *b, depth + 1, found)),
            (_, Type::Union(branches)) => {
                let in_union = matches!(read.types[reader], Type::Union(_));
                for (index, branch) in branches.iter().enumerate() {
                    if !in_union {
                        self.compare(reader, *branch, depth + 1, found)?;
                    } else if !self.lacks(reader, *branch, depth)? {
                        continue;
                    } else {
                        let branch = written.types[*branch].kind();
                        self.at(index.to_string(), |this| this.missing_branch(branch, found));
                    }
                }
                Ok(())
            }
            (Type::Union(_), other) => {
                if self.lacks(reader, writer, depth)? {
                    self.missing_branch(other.kind(), found);
                }
                Ok(())
            }
            (Type::Fixed(a, size), Type::Fixed(b, other)) => {
                self.names(a, b, found);
                if size != other {
                    let path = self.path("size");
                    let description = format!(
                        "The size of FIXED type field at path '{path}' in the {{reader}} schema does not match with the {{writer}} schema"
                    );
                    self.report(
                        "FIXED_SIZE_MISMATCH",
                        description,
                        format!("expected: {other}, found: {size}"),
                        found,
                    );
                }
                Ok(())
            }
            (Type::Enum(a, symbols, default), Type::Enum(b, others, _)) => {
                self.names(a, b, found);
                let missing: Vec<&str> =
                    others.iter().filter(|symbol| !symbols.contains(symbol)).map(String::as_str).collect();
                if default.is_none() && !missing.is_empty() {
                    let (path, missing) = (self.path("symbols"), format!("[{}]", missing.join(", ")));
                    let description = format!(
                        "The {{reader}} schema is missing enum symbols '{missing}' at path '{path}' in the {{writer}} schema"
                    );
                    self.report("MISSING_ENUM_SYMBOLS", description, missing, found);
                }
                Ok(())
            }
            (Type::Record(a, fields), Type::Record(b, others)) => {
                self.names(a, b, found);
                self.at("fields", |this| this.fields(fields, others, depth, found))
            }
            (read, written) => {
                let path = self.path("");
                let description = format!(
                    "The type (path '{path}') of a field in the {{reader}} schema does not match with the {{writer}} schema"
                );
                let info = format!(
                    "reader type: {} not compatible with writer type: {}",
                    read.kind(),
                    written.kind()
                );
                self.report("TYPE_MISMATCH", description, info, found);
                Ok(())
            }
        }
    }

    fn fields(
        &mut self,
        fields: &[Field],
        others: &[Field],
        depth: usize,
        found: &mut Vec<Difference>,
    ) -> Result<(), String> {
        for (index, field) in fields.iter().enumerate() {
            let same = others.iter().find(|other| other.name == field.name);
            let writer = same.or_else(|| others.iter().find(|other| field.aliases.contains(&other.name)));
            match writer {
                Some(writer) => {
                    self.path.push(index.to_string());
                    let result = self.at("type", |this| this.compare(field.ty, writer.ty, depth + 1, found));
                    self.path.pop();
                    result?;
                }
                None if field.has_default => {}
                // A symbol that stands for unknown ones stands for an absent field, too.
                None if matches!(self.reader.types[field.ty], Type::Enum(_, _, Some(_))) => {}
                None => {
                    let (path, name) = (self.path(&index.to_string()), &field.name);
                    let description = format!(
                        "The field '{name}' at path '{path}' in the {{reader}} schema has no default value and is missing in the {{writer}} schema"
                    );
                    self.report("READER_FIELD_MISSING_DEFAULT_VALUE", description, name.clone(), found);
                }
            }
        }
        Ok(())
    }

    /// Whether no branch of the reader's union takes the writer's type.
    fn lacks(&mut self, union: usize, writer: usize, depth: usize) -> Result<bool, String> {
        let model = self.reader;
        let Type::Union(branches) = &model.types[union] else { return Ok(false) };
        let quiet = std::mem::replace(&mut self.quiet, true);
        let mut lacks = true;
        for branch in branches {
            let mut found = Vec::new();
            self.compare(*branch, writer, depth + 1, &mut found)?;
            if found.is_empty() {
                lacks = false;
                break;
            }
        }
        self.quiet = quiet;
        Ok(lacks)
    }

    fn missing_branch(&self, kind: &str, found: &mut Vec<Difference>) {
        let path = self.path("");
        let description = format!(
            "The {{reader}} schema is missing a type inside a union field at path '{path}' in the {{writer}} schema"
        );
        self.report(
            "MISSING_UNION_BRANCH",
            description,
            format!("reader union lacking writer type: {kind}"),
            found,
        );
    }

    /// Names must be the same without their namespaces, or the reader's aliases must hold the writer's.
    fn names(&self, reader: &Name, writer: &Name, found: &mut Vec<Difference>) {
        if reader.short() != writer.short() && !reader.aliases.contains(&writer.full) {
            let path = self.path("name");
            let description = format!("The name of the schema has changed (path '{path}')");
            self.report("NAME_MISMATCH", description, format!("expected: {}", writer.full), found);
        }
    }
}
