//! Rows of columns as bytes, in state that only operators read.
//!
//! ```text
//! mark 4 │ row in Arrow's row format        the mark stands for the names and types of the columns
//! ```

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, UInt32Builder, new_null_array},
    compute,
    datatypes::Fields,
    error::ArrowError,
    row::{RowConverter, Rows, SortField},
};
use hashbrown::{HashMap, hash_map::Entry};
use millstream_streams::{Arena, StreamsError};
use rustc_hash::FxBuildHasher;

use super::failed;

const MARK_BYTES: usize = 4;

/// Row bytes by slot; a slot without a row has none.
#[derive(Default)]
pub(crate) struct RowArena {
    rows: Vec<Option<Box<[u8]>>>,
    /// What changed slots had before, in the order of their first change since the last commit.
    before: Vec<Option<Box<[u8]>>>,
}

impl RowArena {
    /// The row in a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<&[u8]> {
        self.rows[slot as usize].as_deref()
    }

    /// Puts a row into a slot.
    pub(crate) fn set(&mut self, slot: u32, row: Box<[u8]>) {
        self.rows[slot as usize] = Some(row);
    }

    /// The row that was in the slot at this position of the store's changes before them.
    pub(crate) fn before(&self, position: usize) -> Option<&[u8]> {
        self.before[position].as_deref()
    }
}

impl Arena for RowArena {
    fn resize(&mut self, slots: usize) {
        self.rows.resize(slots.max(self.rows.len()), None);
    }

    fn reset(&mut self, slot: u32) {
        self.rows[slot as usize] = None;
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), StreamsError> {
        self.rows[slot as usize] = Some(bytes.into());
        Ok(())
    }

    fn save(&self, slot: u32, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        out.extend_from_slice(self.get(slot).unwrap_or_default());
        Ok(())
    }

    fn size(&self, slot: u32) -> usize {
        size_of::<Option<Box<[u8]>>>() + self.get(slot).map_or(0, <[u8]>::len)
    }

    fn remember(&mut self, slot: u32) {
        self.before.push(self.rows[slot as usize].clone());
    }

    fn forget(&mut self) {
        self.before.clear();
    }
}

/// Turns rows of one layout into bytes and back.
pub(crate) struct RowCodec {
    /// None if there are no columns.
    converter: Option<RowConverter>,
    /// A row of NULLs.
    null: Box<[u8]>,
    mark: [u8; MARK_BYTES],
}

impl RowCodec {
    /// For rows of these columns.
    pub(crate) fn new(fields: &Fields) -> Result<Self, ArrowError> {
        let mark = fields.iter().fold(0x811c_9dc5, |mark, field| {
            let described = format!("{} {:?};", field.name(), field.data_type());
            described.bytes().fold(mark, |mark: u32, byte| (mark ^ u32::from(byte)).wrapping_mul(0x0100_0193))
        });
        let mut codec = Self { converter: None, null: Box::default(), mark: mark.to_be_bytes() };
        if !fields.is_empty() {
            let sorted = fields.iter().map(|field| SortField::new(field.data_type().clone()));
            let converter = RowConverter::new(sorted.collect())?;
            let nulls: Vec<_> = fields.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
            codec.null = converter.convert_columns(&nulls)?.row(0).as_ref().into();
            codec.converter = Some(converter);
        }
        Ok(codec)
    }

    /// The rows of these columns.
    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<EncodedRows, StreamsError> {
        let rows = self.converter.as_ref().map(|converter| converter.convert_columns(columns));
        Ok(EncodedRows { rows: rows.transpose().map_err(failed)?, mark: self.mark })
    }

    /// The columns of rows, NULL in all of them for a row that is not there.
    pub(crate) fn decode<'a>(
        &self,
        rows: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<Vec<ArrayRef>, StreamsError> {
        let rows = rows.into_iter().map(|row| match row {
            None => Ok(&*self.null),
            Some(bytes) => bytes.strip_prefix(&self.mark).ok_or_else(|| StreamsError::CorruptState {
                store: "rows".to_owned(),
                reason: "a stored row has other columns than the query: it is of another query, or another \
                         version of it"
                    .to_owned(),
            }),
        });
        let rows: Vec<&[u8]> = rows.collect::<Result<_, _>>()?;
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        converter.convert_rows(rows.into_iter().map(|row| parser.parse(row))).map_err(failed)
    }
}

/// The bytes of the rows of one batch.
pub(crate) struct EncodedRows {
    rows: Option<Rows>,
    mark: [u8; MARK_BYTES],
}

impl EncodedRows {
    /// The bytes of a row, to be kept.
    pub(crate) fn get(&self, row: usize) -> Box<[u8]> {
        let mut bytes =
            Vec::with_capacity(MARK_BYTES + self.rows.as_ref().map_or(0, |r| r.row(row).as_ref().len()));
        self.append(row, &mut bytes);
        bytes.into()
    }

    /// Appends the bytes of a row.
    pub(crate) fn append(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.mark);
        if let Some(rows) = &self.rows {
            out.extend_from_slice(rows.row(row).as_ref());
        }
    }
}

/// Stored rows as columns beside other rows: each is decoded once, however often it is met.
pub(crate) struct StoredRows {
    codec: RowCodec,
    places: HashMap<u32, u32, FxBuildHasher>,
}

impl StoredRows {
    /// For rows that `codec` wrote.
    pub(crate) fn new(codec: RowCodec) -> Self {
        Self { codec, places: HashMap::default() }
    }

    /// The columns of the rows met, by slot and bytes; NULL where none is met.
    pub(crate) fn gather<'a>(
        &mut self,
        met: impl Iterator<Item = Option<(u32, &'a [u8])>>,
    ) -> Result<Vec<ArrayRef>, StreamsError> {
        self.places.clear();
        let mut distinct: Vec<Option<&[u8]>> = Vec::new();
        let mut indices = UInt32Builder::with_capacity(met.size_hint().0);
        for met in met {
            let Some((slot, row)) = met else {
                indices.append_null();
                continue;
            };
            let place = match self.places.entry(slot) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    distinct.push(Some(row));
                    *new.insert((distinct.len() - 1) as u32)
                }
            };
            indices.append_value(place);
        }
        let indices = indices.finish();
        let columns = self.codec.decode(distinct)?;
        columns.iter().map(|column| compute::take(column, &indices, None).map_err(failed)).collect()
    }
}

/// The columns of `rows` that are present, NULL in the others.
pub(crate) fn null_where_absent(
    columns: &[ArrayRef],
    present: Option<&arrow::buffer::BooleanBuffer>,
) -> Result<Vec<ArrayRef>, StreamsError> {
    let Some(present) = present else { return Ok(columns.iter().map(Arc::clone).collect()) };
    let rows = arrow::array::UInt32Array::from_iter(
        (0u32..).zip(present.iter()).map(|(row, present)| present.then_some(row)),
    );
    columns.iter().map(|column| compute::take(column, &rows, None).map_err(failed)).collect()
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Array, Int32Array, StringArray},
        datatypes::{DataType, Field},
    };

    use super::*;

    fn fields(types: &[DataType]) -> Fields {
        types.iter().enumerate().map(|(n, ty)| Field::new(format!("C{n}"), ty.clone(), true)).collect()
    }

    #[test]
    fn rows_come_back_as_they_were() {
        let codec = RowCodec::new(&fields(&[DataType::Int32, DataType::Utf8])).unwrap();
        let columns: [ArrayRef; 2] = [
            Arc::new(Int32Array::from(vec![Some(1), None])),
            Arc::new(StringArray::from(vec![Some("a"), Some("")])),
        ];
        let rows = codec.encode(&columns).unwrap();
        let (first, second) = (rows.get(0), rows.get(1));
        let found = codec.decode([Some(&*second), None, Some(&*first)]).unwrap();
        assert_eq!(found[0].as_ref(), &Int32Array::from(vec![None, None, Some(1)]));
        assert_eq!(found[1].as_ref(), &StringArray::from(vec![Some(""), None, Some("a")]));
        let mut rows = StoredRows::new(codec);
        let met = [Some((7, &*first)), None, Some((7, &*first)), Some((2, &*second))];
        assert_eq!(
            rows.gather(met.into_iter()).unwrap()[0].as_ref(),
            &Int32Array::from(vec![Some(1), None, Some(1), None])
        );
    }

    #[test]
    fn rows_of_other_columns_are_told_apart() {
        let codec = RowCodec::new(&fields(&[DataType::Int32])).unwrap();
        let row = codec.encode(&[Arc::new(Int32Array::from(vec![1]))]).unwrap().get(0);
        let other = RowCodec::new(&fields(&[DataType::Utf8])).unwrap();
        for bytes in [&*row, &row[..2], &[]] {
            assert!(other.decode([Some(bytes)]).is_err());
        }
        let empty = RowCodec::new(&Fields::empty()).unwrap();
        let row = empty.encode(&[]).unwrap().get(0);
        assert!(empty.decode([Some(&*row), None]).unwrap().is_empty());
    }

    #[test]
    fn absent_rows_hide_their_columns() {
        let columns: [ArrayRef; 1] = [Arc::new(Int32Array::from(vec![1, 2]))];
        let present = arrow::buffer::BooleanBuffer::from(vec![false, true]);
        assert!(null_where_absent(&columns, Some(&present)).unwrap()[0].is_null(0));
        assert_eq!(null_where_absent(&columns, None).unwrap()[0].null_count(), 0);
    }
}
