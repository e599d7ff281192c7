//! Bytes to columns, a batch of payloads at a time.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanBufferBuilder},
    buffer::BooleanBuffer,
    datatypes::Fields,
};

use crate::{
    Format, FormatError, FormatSpec, Subject, avro::AvroReader, column::Column, delimited::DelimitedReader,
    json::JsonReader, json_sr::JsonSrReader, kafka::KafkaReader, protobuf::ProtobufReader,
};

/// Payload bytes of one batch up to which no column can pass Arrow's 2 GiB, whatever the text: a list item
/// takes two bytes of JSON at least, and an array read as STRING grows by less than half.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// Reads payloads of one format into columns. Made by [`FormatSpec::decoder`], used batch after batch.
pub struct Decoder {
    reader: Reader,
    /// Distinct columns that the reader fills.
    columns: Vec<Column>,
    /// For each column to hand out, its place in `columns`.
    outputs: Vec<usize>,
}

/// A decoded batch.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The projected columns, each with one row per payload.
    pub columns: Vec<ArrayRef>,
    /// Set bits mark rows whose payload was NULL, or the JSON text `null` where a record with named fields
    /// was expected. `None` if there are no such rows. These rows hold NULL in every column.
    pub null_rows: Option<BooleanBuffer>,
    /// Rows that could not be read, in order. These rows hold NULL in every column.
    pub errors: Vec<RowError>,
}

/// Why one payload could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RowError {
    /// Row in the batch.
    pub row: usize,
    /// What was wrong, in ksqlDB's words where it has any.
    pub message: String,
}

/// What a readable payload was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Present,
    Null,
}

enum Reader {
    None,
    Kafka(KafkaReader),
    Delimited(DelimitedReader),
    Json(JsonReader),
    Avro(AvroReader),
    Protobuf(ProtobufReader),
    JsonSr(JsonSrReader),
}

impl Decoder {
    pub(crate) fn new(
        spec: &FormatSpec,
        fields: &Fields,
        projection: Option<&[usize]>,
        subject: Option<&Subject>,
    ) -> Result<Self, FormatError> {
        let all: Vec<usize> = (0..fields.len()).collect();
        let projection = projection.unwrap_or(&all);
        if let Some(&index) = projection.iter().find(|index| **index >= fields.len()) {
            return Err(FormatError::Projection { index, columns: fields.len() });
        }
        let mut picked: Vec<usize> = Vec::new();
        let mut outputs = Vec::with_capacity(projection.len());
        for index in projection {
            let place = picked.iter().position(|other| other == index).unwrap_or_else(|| {
                picked.push(*index);
                picked.len() - 1
            });
            outputs.push(place);
        }
        let columns = picked.iter().map(|index| Column::new(fields[*index].data_type())).collect();
        let reader = match spec.format {
            Format::None => Reader::None,
            Format::Kafka => Reader::Kafka(KafkaReader),
            Format::Delimited => {
                Reader::Delimited(DelimitedReader::new(spec.delimiter_byte(), fields, &picked))
            }
            Format::Json => Reader::Json(JsonReader::new(spec.wrapped, fields, &picked)),
            Format::Avro => {
                Reader::Avro(AvroReader::new(spec, fields, &picked, Subject::needed(subject, spec)?))
            }
            Format::Protobuf => {
                let subject = Subject::needed(subject, spec)?;
                Reader::Protobuf(ProtobufReader::registered(spec, fields, &picked, subject)?)
            }
            Format::ProtobufNosr => Reader::Protobuf(ProtobufReader::generated(spec, fields, &picked)?),
            Format::JsonSr => {
                Reader::JsonSr(JsonSrReader::new(spec, fields, &picked, Subject::needed(subject, spec)?))
            }
        };
        Ok(Self { reader, columns, outputs })
    }

    /// Reads one batch; `None` is a NULL payload. Never fails as a whole: see [`Decoded::errors`].
    ///
    /// Payloads of one call should stay below 1 GiB together; those beyond are row errors.
    pub fn decode(&mut self, payloads: &[Option<&[u8]>]) -> Decoded {
        for column in &mut self.columns {
            column.reserve(payloads.len());
        }
        let mut batch = Batch { columns: &mut self.columns, null_rows: None, errors: Vec::new() };
        match &mut self.reader {
            Reader::None => batch.fill(payloads, |_, _, _| Ok(Row::Present)),
            Reader::Kafka(reader) => batch.fill(payloads, |bytes, _, columns| reader.read(bytes, columns)),
            Reader::Delimited(reader) => {
                batch.fill(payloads, |bytes, _, columns| reader.read(bytes, columns))
            }
            Reader::Json(reader) => {
                batch.fill(payloads, |bytes, row, columns| reader.read(bytes, row, columns))
            }
            Reader::Avro(reader) => {
                batch.fill(payloads, |bytes, row, columns| reader.read(bytes, row, columns))
            }
            Reader::Protobuf(reader) => {
                batch.fill(payloads, |bytes, row, columns| reader.read(bytes, row, columns))
            }
            Reader::JsonSr(reader) => {
                batch.fill(payloads, |bytes, row, columns| reader.read(bytes, row, columns))
            }
        }
        let Batch { null_rows, errors, .. } = batch;
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        Decoded {
            columns: self.outputs.iter().map(|place| Arc::clone(&columns[*place])).collect(),
            null_rows: null_rows.map(|mut rows| rows.finish()),
            errors,
        }
    }
}

/// The batch being decoded.
struct Batch<'a> {
    columns: &'a mut [Column],
    null_rows: Option<BooleanBufferBuilder>,
    errors: Vec<RowError>,
}

impl Batch<'_> {
    /// Runs `read` on every payload. `read` may leave half a row behind when it fails.
    fn fill(
        &mut self,
        payloads: &[Option<&[u8]>],
        mut read: impl FnMut(&[u8], usize, &mut [Column]) -> Result<Row, String>,
    ) {
        let mut left = BATCH_BYTES_MAX;
        for (row, payload) in payloads.iter().enumerate() {
            let result = match payload {
                None => {
                    self.push_nulls();
                    Ok(Row::Null)
                }
                Some(bytes) if bytes.len() > left => {
                    self.push_nulls();
                    Err(format!("payloads of one batch pass {BATCH_BYTES_MAX} bytes: decode fewer at a time"))
                }
                Some(bytes) => {
                    left -= bytes.len();
                    let result = read(bytes, row, self.columns);
                    if result != Ok(Row::Present) {
                        self.columns.iter_mut().for_each(|column| column.truncate(row));
                        self.push_nulls();
                    }
                    result
                }
            };
            match result {
                Ok(Row::Present) => {}
                Ok(Row::Null) => {
                    let rows = payloads.len();
                    self.null_rows
                        .get_or_insert_with(|| {
                            let mut none = BooleanBufferBuilder::new(rows);
                            none.append_n(rows, false);
                            none
                        })
                        .set_bit(row, true);
                }
                Err(message) => self.errors.push(RowError { row, message }),
            }
        }
    }

    fn push_nulls(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
    }
}
