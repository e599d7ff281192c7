//! Registered schemas to descriptors.

use std::collections::{BTreeMap, HashSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use prost::Message;
use prost_reflect::{
    FileDescriptor, MessageDescriptor,
    prost_types::{DescriptorProto, FileDescriptorProto, UninterpretedOption},
};
use protox::{
    Compiler,
    file::{File, FileResolver, GoogleFileResolver},
};

use super::{builtin, print};
use crate::{FormatError, ResolvedSchema, SchemaType};

/// The schema itself among its references; no reference can have this name.
const MAIN: &str = ":schema";
/// Brackets of a text may be nested this deep: what parses options calls itself for each.
const NESTING_MAX: usize = 100;
/// Behind the name of a field that differs from another one only in case or underscores: see [`tell_apart`].
const TOLD_APART: &str = "_told_apart_";

/// A compiled schema.
pub(crate) struct Proto {
    file: FileDescriptor,
}

impl Proto {
    /// Compiles a schema with everything it refers to. The text is a `.proto` file, or a `FileDescriptorProto`
    /// in base64, as Python's serializer registers it.
    pub(crate) fn compile(schema: &ResolvedSchema) -> Result<Self, FormatError> {
        if schema.schema.schema_type != SchemaType::Protobuf {
            let found = schema.schema.schema_type;
            return Err(FormatError::Schema(format!(
                "expected a PROTOBUF schema, found one of type {found}"
            )));
        }
        let mut files = BTreeMap::from([(MAIN.to_owned(), schema.schema.text.clone())]);
        files.extend(schema.references.iter().map(|(name, schema)| (name.clone(), schema.text.clone())));
        let mut compiler = Compiler::with_file_resolver(Files { files });
        compiler.open_file(MAIN).map_err(|error| invalid(&error))?;
        let file = compiler.descriptor_pool().get_file_by_name(MAIN);
        file.map(|file| Self { file }).ok_or_else(|| FormatError::Schema("Invalid schema".into()))
    }

    /// The file of the schema.
    pub(crate) fn file(&self) -> &FileDescriptor {
        &self.file
    }

    /// The descriptor, with what its options say in extensions.
    pub(crate) fn descriptor(&self) -> Vec<u8> {
        self.file.encode_to_vec()
    }

    /// The message to work with: by its full name or its own, or the first.
    pub(crate) fn message(&self, full_name: Option<&str>) -> Result<MessageDescriptor, FormatError> {
        let Some(wanted) = full_name else {
            let mut messages = self.file.messages();
            return messages
                .next()
                .ok_or_else(|| FormatError::Schema("the schema defines no message".into()));
        };
        let mut all: Vec<MessageDescriptor> = self.file.messages().collect();
        let mut next = 0;
        while let Some(message) = all.get(next) {
            let nested: Vec<_> = message.child_messages().collect();
            all.extend(nested);
            next += 1;
        }
        let full = all.iter().find(|message| message.full_name() == wanted);
        full.or_else(|| all.iter().find(|message| message.name() == wanted)).cloned().ok_or_else(|| {
            let names = self.definitions().join(", ");
            FormatError::Schema(format!(
                "the schema does not define a message '{wanted}': it defines {names}"
            ))
        })
    }

    /// Full names of the messages at the top of the file.
    pub(crate) fn definitions(&self) -> Vec<String> {
        self.file.messages().map(|message| message.full_name().to_owned()).collect()
    }

    /// The message at a path of positions.
    pub(crate) fn message_at(&self, indexes: &[i32]) -> Option<MessageDescriptor> {
        let (first, nested) = indexes.split_first()?;
        let top = self.file.messages().nth(usize::try_from(*first).ok()?)?;
        nested
            .iter()
            .try_fold(top, |message, index| message.child_messages().nth(usize::try_from(*index).ok()?))
    }
}

/// The full name of the message at a path of positions, such as [`split_message_indexes`](crate::split_message_indexes)
/// finds in a payload.
///
/// Fails if the schema is no Protobuf schema or has no such message.
pub fn message_name_at(schema: &ResolvedSchema, indexes: &[i32]) -> Result<String, FormatError> {
    let message = Proto::compile(schema)?.message_at(indexes);
    let missing = || FormatError::Schema(format!("the schema has no message at the indexes {indexes:?}"));
    Ok(message.ok_or_else(missing)?.full_name().to_owned())
}

/// The path of positions that leads to a message. Descriptor paths alternate field numbers and positions.
pub(crate) fn message_indexes(message: &MessageDescriptor) -> Vec<i32> {
    message.path().iter().skip(1).step_by(2).copied().collect()
}

/// The name of a field in the text of its schema.
pub(super) fn field_name(field: &prost_reflect::FieldDescriptor) -> &str {
    let (_, name) = field.full_name().rsplit_once('.').unwrap_or(("", field.full_name()));
    name.split_once(TOLD_APART).map_or(name, |(name, _)| name)
}

struct Files {
    files: BTreeMap<String, String>,
}

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if let Some(text) = self.files.get(name).map(String::as_str).or_else(|| builtin::text(name)) {
            return load(name, text);
        }
        GoogleFileResolver::new().open_file(name)
    }
}

fn load(name: &str, text: &str) -> Result<File, protox::Error> {
    if let Some((mut bytes, file)) = descriptor_bytes(text) {
        check_descriptor(&file).map_err(protox::Error::new)?;
        // The last of two names counts, so that importers find the file by the name of its reference.
        let named = FileDescriptorProto { name: Some(name.to_owned()), ..FileDescriptorProto::default() };
        bytes.extend(named.encode_to_vec());
        return File::decode_file_descriptor_proto(bytes.as_slice()).map_err(protox::Error::new);
    }
    check_nesting(text).map_err(protox::Error::new)?;
    let mut file = FileDescriptorProto::from(File::from_source(name, text)?);
    if uses_annotations(&file) && !file.dependency.iter().any(|import| import == builtin::META_FILE) {
        file.dependency.push(builtin::META_FILE.to_owned());
    }
    file.message_type.iter_mut().for_each(tell_apart);
    Ok(File::from_file_descriptor_proto(file))
}

/// The `.proto` text of a schema that is registered as a descriptor; `None` if it is text already. Fails if the
/// descriptor says what no text can, such as names with spaces.
pub(crate) fn text_of_descriptor(schema: &ResolvedSchema) -> Option<Result<String, FormatError>> {
    descriptor_bytes(&schema.schema.text)?;
    Some(print_descriptor(schema))
}

fn print_descriptor(schema: &ResolvedSchema) -> Result<String, FormatError> {
    let text = print::file(Proto::compile(schema)?.file()).map_err(FormatError::Schema)?;
    let mut printed = schema.clone();
    printed.schema.text = text;
    Proto::compile(&printed)?;
    Ok(printed.schema.text)
}

/// A descriptor and its bytes, if that is what the text holds.
fn descriptor_bytes(text: &str) -> Option<(Vec<u8>, FileDescriptorProto)> {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
    let file = FileDescriptorProto::decode(bytes.as_slice()).ok()?;
    (file.name.is_some() || !file.message_type.is_empty()).then_some((bytes, file))
}

#[derive(Debug, thiserror::Error)]
enum BadDescriptor {
    #[error("unknown syntax '{0}': use proto2 or proto3")]
    Syntax(String),
    #[error("the map entry '{0}' has no fields 1 and 2 for key and value")]
    MapEntry(String),
}

/// What no text can say, and what the compiler panics at.
fn check_descriptor(file: &FileDescriptorProto) -> Result<(), BadDescriptor> {
    fn check_entries(message: &DescriptorProto) -> Result<(), BadDescriptor> {
        let is_entry = message.options.as_ref().is_some_and(|options| options.map_entry());
        let has = |number| message.field.iter().any(|field| field.number() == number);
        if is_entry && !(has(1) && has(2)) {
            return Err(BadDescriptor::MapEntry(message.name().to_owned()));
        }
        message.nested_type.iter().try_for_each(check_entries)
    }
    match file.syntax.as_deref() {
        None | Some("proto2" | "proto3") => file.message_type.iter().try_for_each(check_entries),
        Some(other) => Err(BadDescriptor::Syntax(other.to_owned())),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("brackets are nested deeper than {NESTING_MAX}")]
struct TooDeep;

/// Comments and strings are passed over as the compiler does it, or a bracket could hide in one that it sees.
fn check_nesting(text: &str) -> Result<(), TooDeep> {
    let mut depth = 0usize;
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'#' => rest = behind(after, b"\n"),
            b'/' if after.starts_with(b"/") => rest = behind(after, b"\n"),
            b'/' if after.starts_with(b"*") => rest = behind(&after[1..], b"*/"),
            b'"' | b'\'' => rest = behind_string(after, byte),
            b'{' | b'[' | b'<' | b'(' => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(TooDeep);
                }
            }
            b'}' | b']' | b'>' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// What follows the end of a comment.
fn behind<'a>(text: &'a [u8], end: &[u8]) -> &'a [u8] {
    memchr::memmem::find(text, end).map_or(&[], |at| &text[at + end.len()..])
}

/// What follows the end of a string; no string goes beyond its line.
fn behind_string(text: &[u8], quote: u8) -> &[u8] {
    let mut bytes = text.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        if byte == quote || byte == b'\n' {
            return &text[at + 1..];
        }
        if byte == b'\\' {
            bytes.next();
        }
    }
    &[]
}

/// Whether options of the file use the registry's annotations, which its own clients know without an import.
fn uses_annotations(file: &FileDescriptorProto) -> bool {
    fn annotates(options: &[UninterpretedOption]) -> bool {
        let mut parts = options.iter().filter_map(|option| option.name.first());
        parts
            .any(|part| part.is_extension && part.name_part.trim_start_matches('.').starts_with("confluent."))
    }
    fn message_uses(message: &DescriptorProto) -> bool {
        message.options.as_ref().is_some_and(|options| annotates(&options.uninterpreted_option))
            || message.field.iter().any(|field| {
                field.options.as_ref().is_some_and(|options| annotates(&options.uninterpreted_option))
            })
            || message.enum_type.iter().any(enum_uses)
            || message.nested_type.iter().any(message_uses)
    }
    fn enum_uses(found: &prost_reflect::prost_types::EnumDescriptorProto) -> bool {
        found.options.as_ref().is_some_and(|options| annotates(&options.uninterpreted_option))
            || found.value.iter().any(|value| {
                value.options.as_ref().is_some_and(|options| annotates(&options.uninterpreted_option))
            })
    }
    file.options.as_ref().is_some_and(|options| annotates(&options.uninterpreted_option))
        || file.message_type.iter().any(message_uses)
        || file.enum_type.iter().any(enum_uses)
}

/// Renames fields that differ from an earlier one only in case or underscores, such as columns `A1` and `A_1`:
/// the descriptors refuse them for the sake of their names in JSON, which nobody asks for here.
fn tell_apart(message: &mut DescriptorProto) {
    let mut seen = HashSet::new();
    for field in &mut message.field {
        let folded: String =
            field.name().chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect();
        if !seen.insert(folded) {
            field.name = Some(format!("{}{TOLD_APART}{}", field.name(), field.number()));
        }
    }
    message.nested_type.iter_mut().for_each(tell_apart);
}

fn invalid(error: &protox::Error) -> FormatError {
    let file = error.file().filter(|file| *file != MAIN).map(|file| format!(" {file}")).unwrap_or_default();
    FormatError::Schema(format!("Invalid schema{file}: {error}"))
}
