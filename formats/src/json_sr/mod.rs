//! JSON behind the id of its JSON Schema.

mod document;
mod validate;

pub(crate) use document::Documents;
pub(crate) use validate::validator;

use arrow::datatypes::Fields;

use crate::{
    FormatError, FormatSpec, ResolvedSchema, Schema, Subject, cells::Cells, column::Column,
    connect_schema::ConnectSchema, decoder::Row,
};

pub(crate) struct JsonSrReader;
pub(crate) struct JsonSrWriter;

impl JsonSrReader {
    pub(crate) fn new(_spec: &FormatSpec, _fields: &Fields, _picked: &[usize], _subject: &Subject) -> Self {
        Self
    }
    pub(crate) fn read(
        &mut self,
        _bytes: &[u8],
        _row: usize,
        _columns: &mut [Column],
    ) -> Result<Row, String> {
        Err("not yet".into())
    }
}

impl JsonSrWriter {
    pub(crate) fn new(_spec: &FormatSpec, _fields: &Fields, _subject: &Subject) -> Result<Self, FormatError> {
        Ok(Self)
    }
    pub(crate) fn write(
        &self,
        _cells: &[Cells<'_>],
        _row: usize,
        _out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        Err(FormatError::Schema("not yet".into()))
    }
}

pub(crate) fn generate(_spec: &FormatSpec, _fields: &Fields) -> Result<Schema, FormatError> {
    Err(FormatError::Schema("not yet".into()))
}

pub(crate) fn infer(_schema: &ResolvedSchema) -> Result<ConnectSchema, FormatError> {
    Err(FormatError::Schema("not yet".into()))
}
