//! Protobuf messages, with the id of their schema or without.

use arrow::datatypes::Fields;

use crate::{
    FormatError, FormatSpec, ResolvedSchema, Schema, Subject, cells::Cells, column::Column,
    connect_schema::ConnectSchema, decoder::Row,
};

pub(crate) struct ProtobufReader;
pub(crate) struct ProtobufWriter;

impl ProtobufReader {
    pub(crate) fn registered(
        _spec: &FormatSpec,
        _fields: &Fields,
        _picked: &[usize],
        _subject: &Subject,
    ) -> Result<Self, FormatError> {
        Ok(Self)
    }
    pub(crate) fn generated(
        _spec: &FormatSpec,
        _fields: &Fields,
        _picked: &[usize],
    ) -> Result<Self, FormatError> {
        Ok(Self)
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

impl ProtobufWriter {
    pub(crate) fn registered(
        _spec: &FormatSpec,
        _fields: &Fields,
        _subject: &Subject,
    ) -> Result<Self, FormatError> {
        Ok(Self)
    }
    pub(crate) fn generated(_spec: &FormatSpec, _fields: &Fields) -> Result<Self, FormatError> {
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

pub(crate) fn generate(
    _spec: &FormatSpec,
    _fields: &Fields,
    _full_name: Option<&str>,
) -> Result<Schema, FormatError> {
    Err(FormatError::Schema("not yet".into()))
}

pub(crate) fn infer(
    _spec: &FormatSpec,
    _schema: &ResolvedSchema,
    _full_name: Option<&str>,
) -> Result<ConnectSchema, FormatError> {
    Err(FormatError::Schema("not yet".into()))
}
