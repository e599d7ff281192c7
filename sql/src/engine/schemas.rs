//! Schemas of sources in the registry: columns taken from them, and schemas made of columns.

use std::sync::Arc;

use millstream_formats::{
    FormatError, FormatSpec, RegistryError, ResolvedSchema, Schema, SchemaRegistry, Subject,
};

use super::Engine;
use crate::{
    ast::{ColumnConstraint, ColumnDef, CreateSource, Ident, Literal, Property, SourceKind, Span, TypeRef},
    catalogue::{Column, Columns, Source},
    error::SqlError,
    types::{SqlType, StructField},
    with::{Side, With, check_inferring},
};

/// The column that a key stands bare in.
const BARE_KEY: &str = "ROWKEY";
/// The column that a value stands bare in.
const BARE_VALUE: &str = "ROWVAL";

/// One side of a source whose columns the registry is asked for.
struct Asked<'a> {
    side: Side,
    spec: FormatSpec,
    subject: Subject,
    topic: &'a str,
    place: Span,
}

impl Engine {
    /// The declaration with the columns that it leaves to the registry; `None` if it leaves none.
    ///
    /// `specs` are the formats of key and value, as far as the columns are not known.
    pub(super) fn with_inferred_columns(
        &self,
        create: &CreateSource,
        with: &With,
        topic: &str,
        specs: (FormatSpec, FormatSpec),
    ) -> Result<Option<CreateSource>, SqlError> {
        let place = create.with.span.unwrap_or(create.name.span);
        let mut found = create.clone();
        for side in Side::BOTH {
            let declared = create.columns.iter().any(|column| side_of(column) == Some(side));
            if declared {
                continue;
            }
            let spec = match side {
                // Keys of several fields are one STRUCT, where a key can stand bare.
                Side::Key => FormatSpec::key(specs.0.format, 1),
                Side::Value => {
                    let spec = FormatSpec::value(specs.1.format);
                    spec.with_wrapped(with.wrapped.unwrap_or(spec.wrapped))
                }
            };
            let spec = with.with_settings(side, spec)?;
            if let Some((_, span)) = with.schema(side).id {
                check_inferring(side, spec.format).map_err(|error| error.at(span))?;
            }
            let registry = self.config.schemas();
            let named = (create.name.name.as_str(), topic);
            let subject = with.subject(side, registry, spec.format, named, None);
            let Some(subject) = subject.map_err(|error| error.at(place))? else { continue };
            let asked = Asked { side, spec, subject, topic, place };
            let columns = asked.columns()?;
            if let Some(name) = asked.record_name(with)? {
                found.with.entries.push(Property {
                    name: format!("{}_SCHEMA_FULL_NAME", side.prefix()),
                    name_span: place,
                    value: Literal::String(name),
                    value_span: place,
                });
            }
            let constraint = match (side, create.kind) {
                (Side::Value, _) => None,
                (Side::Key, SourceKind::Stream) => Some(ColumnConstraint::Key),
                (Side::Key, SourceKind::Table) => Some(ColumnConstraint::PrimaryKey),
            };
            let columns = columns.into_iter().map(|column| ColumnDef {
                name: Ident { name: column.name, span: place },
                ty: TypeRef::Simple(column.ty),
                constraint: constraint.clone(),
                span: place,
            });
            match side {
                Side::Key => drop(found.columns.splice(0..0, columns)),
                Side::Value => {
                    let headers = found.columns.iter().position(|column| side_of(column).is_none());
                    let at = headers.unwrap_or(found.columns.len());
                    drop(found.columns.splice(at..at, columns));
                }
            }
        }
        Ok((found.columns.len() > create.columns.len()).then_some(found))
    }

    /// Checks that a query's columns are those of the schemas that `*_SCHEMA_ID` asks for, or the first of them.
    pub(super) fn check_schema_ids(&self, source: &Source, place: Span) -> Result<(), SqlError> {
        for (side, subject) in subjects(source) {
            let Some(id) = subject.schema_id else { continue };
            let spec = spec_of(source, side);
            let asked = Asked { side, spec, subject: subject.clone(), topic: &source.topic, place };
            let known = asked.columns()?;
            let columns = columns_of(&source.columns, side);
            let changed =
                columns.iter().enumerate().filter(|(place, column)| known.get(*place) != Some(column));
            let changed: Vec<&Column> = changed.map(|(_, column)| column).collect();
            if !changed.is_empty() {
                return Err(SqlError::invalid(format!(
                    "The following {} columns are changed, missing or reordered: [{}]. Schema from schema registry \
                     is [{}]",
                    side.word(),
                    list(changed),
                    list(&known)
                ))
                .at(place)
                .hint(format!("select the columns of schema {id} in its order")));
            }
        }
        Ok(())
    }

    /// Registers the schemas of a source. Those of a declared one, unless their subjects are there already: what is in
    /// its topic has them.
    pub(super) fn register_schemas(
        &self,
        source: &Source,
        declared: bool,
        place: Span,
    ) -> Result<(), SqlError> {
        for (side, subject) in subjects(source) {
            let refused = |error: FormatError| {
                SqlError::invalid(format!("Could not register schema for topic: {error}")).at(place)
            };
            let registry = &subject.registry;
            if let Some(id) = subject.schema_id {
                let schema = registry.schema(id).map_err(|error| refused(error.into()))?;
                let registered =
                    registry.register(&subject.name, &schema).map_err(|error| refused(error.into()))?;
                if registered != id {
                    return Err(SqlError::invalid(format!(
                        "Schema id registered is {registered} which is different from provided {}_SCHEMA_ID {id}.\n\
                         Topic: {}\nSubject: {}\nSchema: {}",
                        side.prefix(),
                        source.topic,
                        subject.name,
                        schema.text
                    ))
                    .at(place));
                }
                continue;
            }
            let fields = columns_of(&source.columns, side).iter().map(Column::field).collect();
            let schema = spec_of(source, side).generate_schema(&fields, subject.full_name.as_deref());
            let Some(schema) = schema.map_err(|error| SqlError::invalid(error.to_string()).at(place))? else {
                continue;
            };
            let known = match registry.latest(&subject.name) {
                Ok(_) => true,
                Err(error) if is_missing(&error) => false,
                Err(error) => return Err(refused(error.into())),
            };
            if !(declared && known) {
                registry.register(&subject.name, &schema).map_err(|error| refused(error.into()))?;
            }
        }
        Ok(())
    }

    /// Deletes the subjects of a topic that goes. After a failure it can be done again.
    pub(super) fn delete_schemas(&self, source: &Source) -> Result<(), SqlError> {
        for (_, subject) in subjects(source) {
            match subject.registry.delete_subject(&subject.name, false) {
                Err(error) if !is_missing(&error) => {
                    let action = format!("clean up the schema registry for topic: {}", source.topic);
                    return Err(SqlError::failed(action, error));
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Asked<'_> {
    /// The columns of the schema asked for by id, in its spelling, or of the subject's newest, in upper case.
    fn columns(&self) -> Result<Vec<Column>, SqlError> {
        let (side, registry) = (self.side, &self.subject.registry);
        let schema = match self.subject.schema_id {
            Some(id) => registry.schema(id),
            None => registry.latest(&self.subject.name).map(|latest| latest.schema),
        };
        let schema = schema.map_err(|error| match is_missing(&error) {
            true => self.missing(),
            false => SqlError::failed(format!("read the schema of subject {}", self.subject.name), error),
        })?;
        self.check_type(&schema)?;
        let fields =
            registry.resolve(&schema).map_err(FormatError::from).and_then(|resolved: ResolvedSchema| {
                let bare = if side == Side::Key { BARE_KEY } else { BARE_VALUE };
                self.spec.infer(&resolved, self.subject.full_name.as_deref(), bare)
            });
        let fields = fields.map_err(|error| match &error {
            FormatError::SeveralDefinitions { names } => self.ambiguous(names),
            _ => SqlError::invalid(format!(
                "Unable to verify if the {} schema for topic: {} is compatible with ksqlDB.\nReason: {error}\nSchema: \
                 {}",
                side.word(),
                self.topic,
                schema.text
            ))
            .at(self.place),
        })?;
        let upper = self.subject.schema_id.is_none();
        let column = |field: &Arc<arrow::datatypes::Field>| {
            let ty = SqlType::from_arrow(field.data_type())?;
            Ok(match upper {
                true => Column::new(field.name().to_uppercase(), upper_case(ty)),
                false => Column::new(field.name(), ty),
            })
        };
        fields.iter().map(column).collect()
    }

    fn check_type(&self, schema: &Schema) -> Result<(), SqlError> {
        let (format, found) = (self.spec.format, schema.schema_type);
        if format.schema_type() == Some(found) {
            return Ok(());
        }
        let prefix = self.side.prefix();
        let message = match self.subject.schema_id {
            Some(id) => format!(
                "Format and fetched schema type using {prefix}_SCHEMA_ID {id} are different. Format: [{format}], \
                 Fetched schema type: [{found}]."
            ),
            None => {
                let topic = self.topic;
                let other = millstream_formats::Format::ALL.into_iter();
                let other = other.filter(|other| other.schema_type() == Some(found));
                let other: Vec<&str> = other.map(millstream_formats::Format::name).collect();
                format!(
                    "{} schema is not in the expected format. You may want to set {prefix}_FORMAT to '{}'.\n\
                     topic: {topic}\nexpected format: {format}\nactual format from Schema Registry: {found}",
                    match self.side {
                        Side::Key => "Key",
                        Side::Value => "Value",
                    },
                    other.join(", ")
                )
            }
        };
        Err(SqlError::invalid(message).at(self.place))
    }

    /// The full name of the record or message that a schema asked for by id describes, unless that is asked for too.
    fn record_name(&self, with: &With) -> Result<Option<String>, SqlError> {
        let Some(id) = self.subject.schema_id.filter(|_| !with.schema(self.side).is_named()) else {
            return Ok(None);
        };
        let registry = &self.subject.registry;
        let resolved = registry.schema(id).and_then(|schema| registry.resolve(&schema));
        let name = resolved.map_err(FormatError::from);
        let name = name.and_then(|schema| self.spec.record_name(&schema, None));
        name.map_err(|error| SqlError::failed(format!("read schema {id}"), error))
    }

    /// The error that a schema describes several messages.
    fn ambiguous(&self, names: &[String]) -> SqlError {
        let side = match self.side {
            Side::Key => "Key",
            Side::Value => "Value",
        };
        let names: Vec<String> = names.iter().map(|name| format!("- {name}")).collect();
        SqlError::invalid(format!(
            "{side} schema has multiple schema definitions. \n\n{}\n\nPlease specify a schema full name in the WITH \
             clause using {}_SCHEMA_FULL_NAME",
            names.join("\n"),
            self.side.prefix()
        ))
        .at(self.place)
    }

    fn missing(&self) -> SqlError {
        let topic = self.topic;
        let which = match self.subject.schema_id {
            Some(id) => format!("Schema Id: {id}"),
            None => format!("Subject: {}", self.subject.name),
        };
        SqlError::invalid(format!(
            "Schema for message {}s on topic '{topic}' does not exist in the Schema Registry.\n{which}\nPossible \
             causes include:\n- The topic itself does not exist\n\t-> Use SHOW TOPICS; to check\n- Messages on the \
             topic are not serialized using a format Schema Registry supports\n\t-> Use PRINT '{topic}' FROM \
             BEGINNING; to verify\n- Messages on the topic have not been serialized using a Confluent Schema Registry \
             supported serializer\n- The schema is registered on a different instance of the Schema Registry\n\t-> Use \
             the REST API to list available subjects\n- You do not have permissions to access the Schema Registry.",
            self.side.word()
        ))
        .at(self.place)
    }
}

/// The sides of a source that keep schemas.
pub(crate) fn subjects(source: &Source) -> impl Iterator<Item = (Side, &Subject)> {
    let key = source.key_subject.as_ref().filter(|_| !source.columns.key.is_empty());
    let value = source.value_subject.as_ref().filter(|_| !source.columns.value.is_empty());
    key.map(|subject| (Side::Key, subject)).into_iter().chain(value.map(|subject| (Side::Value, subject)))
}

/// Whether there is no such subject, version or schema.
pub(crate) fn is_missing(error: &RegistryError) -> bool {
    error.code == 404 || error.code / 100 == 404
}

fn spec_of(source: &Source, side: Side) -> FormatSpec {
    match side {
        Side::Key => source.key_format,
        Side::Value => source.value_format,
    }
}

fn columns_of(columns: &Columns, side: Side) -> &[Column] {
    match side {
        Side::Key => &columns.key,
        Side::Value => &columns.value,
    }
}

/// The side that a declared column belongs to; none for those of headers.
fn side_of(column: &ColumnDef) -> Option<Side> {
    match &column.constraint {
        None => Some(Side::Value),
        Some(ColumnConstraint::Key | ColumnConstraint::PrimaryKey) => Some(Side::Key),
        Some(ColumnConstraint::Headers | ColumnConstraint::Header(_)) => None,
    }
}

/// The type with all its names in upper case.
fn upper_case(ty: SqlType) -> SqlType {
    match ty {
        SqlType::Array(item) => SqlType::Array(Box::new(upper_case(*item))),
        SqlType::Map(key, value) => SqlType::Map(key, Box::new(upper_case(*value))),
        SqlType::Struct(fields) => {
            let upper = |field: StructField| StructField {
                name: field.name.to_uppercase(),
                ty: upper_case(field.ty),
            };
            SqlType::Struct(fields.into_iter().map(upper).collect())
        }
        simple => simple,
    }
}

fn list<'a>(columns: impl IntoIterator<Item = &'a Column>) -> String {
    columns.into_iter().map(Column::to_string).collect::<Vec<_>>().join(", ")
}

/// The registry in `config`, or an error that says that there is none.
pub(super) fn needed(
    registry: Option<&Arc<dyn SchemaRegistry>>,
) -> Result<&Arc<dyn SchemaRegistry>, SqlError> {
    registry.ok_or_else(|| {
        SqlError::invalid("This statement needs a schema registry: set 'ksql.schema.registry.url'")
    })
}
