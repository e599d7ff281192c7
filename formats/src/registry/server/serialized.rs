//! The text of a schema in the form that a client asks for.

use super::super::{RegistryError, ResolvedSchema};

/// The text as it is kept. Fails with 422 for other formats.
pub(super) fn text(schema: &ResolvedSchema, format: Option<&str>) -> Result<String, RegistryError> {
    match format.unwrap_or_default() {
        "" => Ok(schema.schema.text.clone()),
        format => {
            let schema_type = schema.schema.schema_type;
            let message = format!("Unsupported format {format} for schemas of type {schema_type}");
            Err(RegistryError::new(422, message))
        }
    }
}
