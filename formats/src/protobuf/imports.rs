//! Files of a `FileDescriptorSet` as schemas that refer to each other.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, FileDescriptor};
use protox::file::{FileResolver, GoogleFileResolver};

use super::{builtin, print};
use crate::{FormatError, Reference, Schema, SchemaRegistry, SchemaType};

/// Files may import files that import others this often.
const IMPORT_DEPTH_MAX: usize = 64;

/// The schema of one file of a set. What it imports is registered first, each file under its own name.
pub(super) fn register_imports(
    registry: &dyn SchemaRegistry,
    descriptors: &[u8],
    file: &str,
) -> Result<Schema, FormatError> {
    let pool = DescriptorPool::decode(descriptors)
        .map_err(|error| FormatError::Schema(format!("Invalid file descriptor set: {error}")))?;
    let file = pool.get_file_by_name(file).ok_or_else(|| {
        let files = pool.files().map(|file| file.name().to_owned()).collect::<Vec<_>>().join(", ");
        FormatError::Schema(format!("the descriptors hold no file '{file}': they hold {files}"))
    })?;
    Imports { registry, done: BTreeMap::new() }.schema(&file, 0)
}

struct Imports<'a> {
    registry: &'a dyn SchemaRegistry,
    /// Files that are registered, by their names.
    done: BTreeMap<String, Reference>,
}

impl Imports<'_> {
    fn schema(&mut self, file: &FileDescriptor, depth: usize) -> Result<Schema, FormatError> {
        if depth > IMPORT_DEPTH_MAX {
            return Err(FormatError::Schema(format!("imports are nested deeper than {IMPORT_DEPTH_MAX}")));
        }
        let mut schema = Schema::new(SchemaType::Protobuf, print::file(file).map_err(FormatError::Schema)?);
        for import in file.dependencies() {
            let name = import.name();
            if builtin::text(name).is_some() || GoogleFileResolver::new().open_file(name).is_ok() {
                continue;
            }
            let reference = match self.done.get(name) {
                Some(reference) => reference.clone(),
                None => self.register(&import, depth)?,
            };
            schema.references.push(reference);
        }
        Ok(schema)
    }

    fn register(&mut self, file: &FileDescriptor, depth: usize) -> Result<Reference, FormatError> {
        let name = file.name();
        let schema = self.schema(file, depth + 1)?;
        self.registry.register(name, &schema)?;
        let version = self.registry.lookup(name, &schema)?.version;
        let reference = Reference { name: name.to_owned(), subject: name.to_owned(), version };
        self.done.insert(name.to_owned(), reference.clone());
        Ok(reference)
    }
}
