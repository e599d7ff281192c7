//! Two files side by side. Numbers tell fields apart, names tell messages apart.

use std::collections::HashSet;

use prost_reflect::{Cardinality, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use crate::registry::compatibility::difference::Difference;

/// Messages may be nested this deep, with the types of fields in other files followed.
const DEPTH_MAX: usize = 100;

/// What keeps the file `new` from reading messages of `old`.
pub(super) fn compare(new: &FileDescriptor, old: &FileDescriptor) -> Result<Vec<Difference>, String> {
    let mut comparison = Comparison {
        packages: (new.package_name(), old.package_name()),
        path: Vec::new(),
        compared: HashSet::new(),
        found: Vec::new(),
    };
    comparison.messages(old.messages(), &new.messages().collect::<Vec<_>>())?;
    Ok(comparison.found)
}

struct Comparison<'a> {
    /// Of the new and the old file. A package may change: names are compared without it.
    packages: (&'a str, &'a str),
    path: Vec<String>,
    /// Full names of old messages in other files that were met.
    compared: HashSet<String>,
    found: Vec<Difference>,
}

/// Types of one group are written alike.
#[derive(PartialEq, Eq)]
enum Group {
    /// Varints.
    Number,
    /// Varints in zigzag.
    Signed,
    Text,
    Fixed32,
    Fixed64,
    Float,
    Double,
}

impl Comparison<'_> {
    fn report(&mut self, kind: &'static str) {
        let path = format!("#/{}", self.path.join("/"));
        let description = match kind {
            "MESSAGE_REMOVED" => format!(
                "The {{reader}} schema is missing a message at path '{path}' of the {{writer}} schema"
            ),
            "REQUIRED_FIELD_ADDED" => {
                format!(
                    "The {{reader}} schema has a required field at path '{path}' that is not required in the {{writer}} schema"
                )
            }
            "REQUIRED_FIELD_REMOVED" => {
                format!(
                    "The {{reader}} schema is missing the required field at path '{path}' of the {{writer}} schema"
                )
            }
            "ONEOF_FIELD_REMOVED" => {
                format!(
                    "The {{reader}} schema is missing a oneof field at path '{path}' of the {{writer}} schema"
                )
            }
            "MULTIPLE_FIELDS_MOVED_TO_ONEOF" => format!(
                "Several fields of the oneof at path '{path}' in the {{reader}} schema may be set together in the {{writer}} schema"
            ),
            "FIELD_NUMERIC_LABEL_CHANGED" => format!(
                "A numeric field at path '{path}' is repeated in one of the {{reader}} and the {{writer}} schema only"
            ),
            _ => format!(
                "The type of a field at path '{path}' in the {{reader}} schema does not match its type in the {{writer}} schema"
            ),
        };
        self.found.push(Difference::new(kind, description));
    }

    fn at<R>(&mut self, step: &str, walk: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(step.to_owned());
        let result = walk(self);
        self.path.pop();
        result
    }

    fn messages(
        &mut self,
        old: impl Iterator<Item = MessageDescriptor>,
        new: &[MessageDescriptor],
    ) -> Result<(), String> {
        // Maps have messages of their own, which belong to their fields.
        for was in old.filter(|message| !message.is_map_entry()) {
            let is = new.iter().find(|message| message.name() == was.name() && !message.is_map_entry());
            self.at(was.name(), |this| match is {
                Some(is) => this.message(&was, is),
                None => {
                    this.report("MESSAGE_REMOVED");
                    Ok(())
                }
            })?;
        }
        Ok(())
    }

    fn message(&mut self, old: &MessageDescriptor, new: &MessageDescriptor) -> Result<(), String> {
        if self.path.len() > DEPTH_MAX {
            return Err(format!("messages are nested deeper than {DEPTH_MAX}"));
        }
        self.oneofs(old, new);
        for was in old.fields() {
            let step = was.number().to_string();
            match new.get_field(was.number()) {
                Some(is) => self.at(&step, |this| this.field(&was, &is))?,
                None if was.cardinality() == Cardinality::Required => {
                    self.at(&step, |this| this.report("REQUIRED_FIELD_REMOVED"));
                }
                // Removing a choice: what was set there looks like nothing at all.
                None => {
                    if let Some(choice) = choice(&was)
                        && new.oneofs().any(|other| other.name() == choice.name())
                    {
                        self.at(choice.name(), |this| {
                            this.at(&step, |this| this.report("ONEOF_FIELD_REMOVED"))
                        });
                    }
                }
            }
        }
        for is in new.fields() {
            let required = is.cardinality() == Cardinality::Required;
            if required && old.get_field(is.number()).is_none_or(|was| was.cardinality() != is.cardinality())
            {
                self.at(&is.number().to_string(), |this| this.report("REQUIRED_FIELD_ADDED"));
            }
        }
        self.messages(old.child_messages(), &new.child_messages().collect::<Vec<_>>())
    }

    /// One field may move into a new oneof. Fields that could be set together may not become a choice.
    fn oneofs(&mut self, old: &MessageDescriptor, new: &MessageDescriptor) {
        for is in new.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let existed = old.oneofs().any(|was| was.name() == is.name() && !was.is_synthetic());
            let moved = is
                .fields()
                .filter_map(|field| old.get_field(field.number()))
                .filter(|was| choice(was).is_none_or(|choice| choice.name() != is.name()))
                // Fields of one old choice were never set together.
                .map(|was| {
                    choice(&was).map_or(was.name().to_owned(), |choice| format!("oneof {}", choice.name()))
                })
                .collect::<HashSet<_>>();
            if moved.len() + usize::from(existed) > 1 && !moved.is_empty() {
                self.at(is.name(), |this| this.report("MULTIPLE_FIELDS_MOVED_TO_ONEOF"));
            }
        }
    }

    fn field(&mut self, old: &FieldDescriptor, new: &FieldDescriptor) -> Result<(), String> {
        if old.is_map() != new.is_map() {
            self.report("FIELD_KIND_CHANGED");
            return Ok(());
        }
        if let (Kind::Message(was), Kind::Message(is)) = (old.kind(), new.kind())
            && old.is_map()
        {
            self.types(&was.map_entry_key_field().kind(), &is.map_entry_key_field().kind())?;
            return self.types(&was.map_entry_value_field().kind(), &is.map_entry_value_field().kind());
        }
        let before = self.found.len();
        self.types(&old.kind(), &new.kind())?;
        // Of repeated text or messages the last one counts; numbers are packed, which a single one is not.
        let is_number = !matches!(group(&old.kind()), None | Some(Group::Text));
        if self.found.len() == before && old.is_list() != new.is_list() && is_number {
            self.report("FIELD_NUMERIC_LABEL_CHANGED");
        }
        Ok(())
    }

    fn types(&mut self, old: &Kind, new: &Kind) -> Result<(), String> {
        match (old, new) {
            (Kind::Message(was), Kind::Message(is)) => {
                if relative(was.full_name(), self.packages.1) != relative(is.full_name(), self.packages.0) {
                    self.report("FIELD_NAMED_TYPE_CHANGED");
                    return Ok(());
                }
                // Messages of the file itself are compared where they are defined.
                let elsewhere = was.package_name() != self.packages.1 || is.package_name() != self.packages.0;
                let imported = was.parent_file().name() != is.parent_file().name()
                    || !was.parent_file().name().starts_with(':');
                if (elsewhere || imported) && self.compared.insert(was.full_name().to_owned()) {
                    return self.message(was, is);
                }
            }
            (Kind::Message(_), _) | (_, Kind::Message(_)) => self.report("FIELD_KIND_CHANGED"),
            (was, is) => {
                if group(was) != group(is) {
                    self.report("FIELD_SCALAR_KIND_CHANGED");
                }
            }
        }
        Ok(())
    }
}

/// The oneof of a field, unless it only tells whether the field is set.
fn choice(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field.containing_oneof().filter(|oneof| !oneof.is_synthetic())
}

/// A full name without the package.
fn relative<'n>(full: &'n str, package: &str) -> &'n str {
    if package.is_empty() {
        return full;
    }
    full.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')).unwrap_or(full)
}

/// The group of a scalar type; `None` for messages.
fn group(kind: &Kind) -> Option<Group> {
    Some(match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => Group::Number,
        Kind::Sint32 | Kind::Sint64 => Group::Signed,
        Kind::String | Kind::Bytes => Group::Text,
        Kind::Fixed32 | Kind::Sfixed32 => Group::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Group::Fixed64,
        Kind::Float => Group::Float,
        Kind::Double => Group::Double,
        Kind::Message(_) => return None,
    })
}
