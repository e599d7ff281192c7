//! Serialized keys of rows: taken along from the topic, or written from columns.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef},
    buffer::NullBuffer,
    datatypes::Fields,
};
use millstream_formats::{Encoder, FormatError, FormatSpec, Payloads};
use millstream_streams::{ByteColumn, StreamsError};

use super::failed;
use crate::{
    columnar::ColumnarBatch,
    expression::{Bound, bind},
};
use arrow::datatypes::SchemaRef;
use datafusion::{error::DataFusionError, logical_expr::Expr};

/// Writes the key of each row.
pub(crate) struct KeyWriter {
    exprs: Vec<Bound>,
    encoder: Encoder,
    payloads: Payloads,
}

impl KeyWriter {
    /// Keys made of these expressions over batches of `schema`, in `format`.
    pub(crate) fn new(
        exprs: &[Expr],
        fields: &Fields,
        schema: &SchemaRef,
        format: FormatSpec,
    ) -> Result<Self, KeyWriterError> {
        let exprs = exprs.iter().map(|expr| bind(expr, schema)).collect::<Result<_, _>>()?;
        Ok(Self { exprs, encoder: format.encoder(fields)?, payloads: Payloads::new() })
    }

    /// The key columns of each row.
    pub(crate) fn columns(&self, batch: &ColumnarBatch) -> Result<Vec<ArrayRef>, StreamsError> {
        let rows = batch.record_batch().map_err(failed)?;
        let columns = self.exprs.iter().map(|expr| expr.evaluate(&rows)).collect::<Result<Vec<_>, _>>();
        columns.map_err(failed)
    }

    /// Serializes key columns; the payloads stay until the next call.
    pub(crate) fn write(&mut self, columns: &[ArrayRef], rows: usize) -> Result<&Payloads, StreamsError> {
        self.payloads.clear();
        self.encoder.encode(columns, rows, None, &mut self.payloads).map_err(failed)?;
        Ok(&self.payloads)
    }
}

/// Why keys cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyWriterError {
    /// The format does not hold them.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The expressions do not fit the rows.
    #[error(transparent)]
    Expression(#[from] DataFusionError),
}

/// Rows in which every one of these columns has a value; `None` if all rows do.
pub(crate) fn without_nulls(columns: &[ArrayRef]) -> Option<NullBuffer> {
    let nulls = columns.iter().fold(None, |nulls: Option<NullBuffer>, column| {
        NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
    });
    nulls.filter(|nulls| nulls.null_count() > 0)
}

/// Where an operator gets the serialized keys of its rows from.
pub(crate) enum Keys {
    /// They came with the rows.
    Carried,
    /// They are written from columns.
    Written(Box<KeyWriter>),
}

impl Keys {
    /// Appends the key of every row; absent where the row has no value or its key a NULL.
    pub(crate) fn append(
        &mut self,
        batch: &ColumnarBatch,
        values_only: bool,
        keys: &mut ByteColumn,
    ) -> Result<(), StreamsError> {
        let rows = millstream_streams::Batch::rows(batch);
        let has_value = |row: usize| !values_only || batch.present().is_none_or(|present| present.value(row));
        match self {
            Self::Carried => {
                let carried = batch.key_bytes().expect("the plan asked the source to keep the keys");
                for row in 0..rows {
                    keys.push((has_value(row) && carried.is_valid(row)).then(|| carried.value(row)));
                }
            }
            Self::Written(writer) => {
                let columns = writer.columns(batch)?;
                let valid = without_nulls(&columns);
                let payloads = writer.write(&columns, rows)?;
                for row in 0..rows {
                    let usable = has_value(row) && valid.as_ref().is_none_or(|valid| valid.is_valid(row));
                    keys.push(payloads.get(row).filter(|_| usable));
                }
            }
        }
        Ok(())
    }
}

/// Decodes serialized keys into key columns.
pub(crate) fn decode_keys(
    decoder: &mut millstream_formats::Decoder,
    keys: &[Option<&[u8]>],
) -> Result<Vec<ArrayRef>, StreamsError> {
    let decoded = decoder.decode(keys);
    match decoded.errors.first() {
        Some(error) => {
            Err(StreamsError::CorruptState { store: "keys".to_owned(), reason: error.message.clone() })
        }
        None => Ok(decoded.columns.iter().map(Arc::clone).collect()),
    }
}
