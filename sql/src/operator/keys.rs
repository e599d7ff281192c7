//! Serialized keys of rows: taken along from the topic, or written from columns.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    buffer::NullBuffer,
    datatypes::{Fields, Int64Type, SchemaRef},
    error::ArrowError,
};
use datafusion::{error::DataFusionError, logical_expr::Expr};
use millstream_formats::{Encoder, FormatError, FormatSpec, Payloads};
use millstream_streams::{Batch, ByteColumn, StreamsError};

use super::failed;
use crate::{
    columnar::ColumnarBatch,
    expression::{Bound, bind},
    plan::RowKeys,
};

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
        Ok(Self { exprs, encoder: format.encoder(fields, None)?, payloads: Payloads::new() })
    }

    /// What the key columns are computed with.
    pub(super) fn exprs(&self) -> &[Bound] {
        &self.exprs
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

/// Why keys cannot be written, or rows not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyWriterError {
    /// The format does not hold them.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The expressions do not fit the rows.
    #[error(transparent)]
    Expression(#[from] DataFusionError),
    /// The columns cannot be kept as rows.
    #[error(transparent)]
    Rows(#[from] ArrowError),
}

/// Rows in which every one of these columns has a value; `None` if all rows do.
pub(crate) fn without_nulls(columns: &[ArrayRef]) -> Option<NullBuffer> {
    let nulls = columns.iter().fold(None, |nulls: Option<NullBuffer>, column| {
        NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
    });
    nulls.filter(|nulls| nulls.null_count() > 0)
}

/// Where an operator gets the serialized keys of its rows from. The bounds of windows that belong to the key follow it
/// in 8 bytes each.
pub(crate) struct Keys {
    bytes: KeyBytes,
    /// The places of the window bounds.
    bounds: Vec<usize>,
}

enum KeyBytes {
    /// They came with the rows.
    Carried,
    /// They are written from columns.
    Written(Box<KeyWriter>),
}

impl Keys {
    /// Prepares planned keys over batches of `input`.
    pub(crate) fn new(keys: &RowKeys, input: &SchemaRef) -> Result<Self, KeyWriterError> {
        let bytes = match keys.carried {
            true => KeyBytes::Carried,
            false => {
                let exprs: Vec<Expr> = keys.columns.iter().map(|(_, expr)| expr.clone()).collect();
                KeyBytes::Written(Box::new(KeyWriter::new(&exprs, &keys.fields(), input, keys.format)?))
            }
        };
        let told = if keys.by_start { 1 } else { keys.bounds.len() };
        let bounds = keys.bounds.iter().take(told).map(|bound| input.index_of(bound));
        let bounds = bounds.collect::<Result<_, _>>()?;
        Ok(Self { bytes, bounds })
    }

    /// Appends the key of every row; absent where the row has no value, if that is wanted, or its key a NULL.
    pub(crate) fn append(
        &mut self,
        batch: &ColumnarBatch,
        values_only: bool,
        keys: &mut ByteColumn,
    ) -> Result<(), StreamsError> {
        let rows = batch.rows();
        let bounds: Vec<_> = self
            .bounds
            .iter()
            .map(|place| batch.column(*place).as_primitive::<Int64Type>().values())
            .collect();
        let mut window = Vec::with_capacity(8 * bounds.len());
        let mut push = |row: usize, key: Option<&[u8]>| {
            let key = key.filter(|_| !values_only || batch.is_present(row));
            match key {
                Some(key) if !bounds.is_empty() => {
                    window.clear();
                    bounds.iter().for_each(|bound| window.extend_from_slice(&bound[row].to_be_bytes()));
                    keys.push_parts(&[key, &window]);
                }
                key => keys.push(key),
            }
        };
        match &mut self.bytes {
            KeyBytes::Carried => {
                let carried = batch.key_bytes().expect("the plan asked the source to keep the keys");
                for row in 0..rows {
                    push(row, carried.is_valid(row).then(|| carried.value(row)));
                }
            }
            KeyBytes::Written(writer) => {
                let columns = writer.columns(batch)?;
                let valid = without_nulls(&columns);
                let payloads = writer.write(&columns, rows)?;
                for row in 0..rows {
                    let usable = valid.as_ref().is_none_or(|valid| valid.is_valid(row));
                    push(row, payloads.get(row).filter(|_| usable));
                }
            }
        }
        Ok(())
    }

    /// Keys as they were without their window bounds.
    pub(crate) fn without_bounds<'a>(&self, keys: &[Option<&'a [u8]>]) -> Vec<Option<&'a [u8]>> {
        let bounds = 8 * self.bounds.len();
        keys.iter().map(|key| key.map(|key| &key[..key.len().saturating_sub(bounds)])).collect()
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
