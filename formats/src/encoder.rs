//! Columns to bytes, a batch of rows at a time.

use arrow::{
    array::{Array, ArrayRef},
    buffer::BooleanBuffer,
    datatypes::Fields,
};

use crate::{
    Format, FormatError, FormatSpec, Payloads, Subject, avro::AvroWriter, cells::Cells, delimited,
    json::JsonWriter, json_sr::JsonSrWriter, kafka, protobuf::ProtobufWriter, types::field_list,
};

/// Writes columns as payloads of one format. Made by [`FormatSpec::encoder`], used batch after batch.
pub struct Encoder {
    fields: Fields,
    writer: Writer,
}

enum Writer {
    None,
    Kafka,
    Delimited { delimiter: u8 },
    Json(JsonWriter),
    Avro(AvroWriter),
    Protobuf(ProtobufWriter),
    JsonSr(JsonSrWriter),
}

impl Encoder {
    pub(crate) fn new(
        spec: &FormatSpec,
        fields: &Fields,
        subject: Option<&Subject>,
    ) -> Result<Self, FormatError> {
        let writer = match spec.format {
            Format::None => Writer::None,
            Format::Kafka => Writer::Kafka,
            Format::Delimited => Writer::Delimited { delimiter: spec.delimiter_byte() },
            Format::Json => Writer::Json(JsonWriter::new(spec.wrapped, fields)),
            Format::Avro => Writer::Avro(AvroWriter::new(spec, fields, Subject::needed(subject, spec)?)?),
            Format::Protobuf => {
                let subject = Subject::needed(subject, spec)?;
                Writer::Protobuf(ProtobufWriter::registered(spec, fields, subject)?)
            }
            Format::ProtobufNosr => Writer::Protobuf(ProtobufWriter::generated(spec, fields)?),
            Format::JsonSr => {
                Writer::JsonSr(JsonSrWriter::new(spec, fields, Subject::needed(subject, spec)?)?)
            }
        };
        Ok(Self { fields: fields.clone(), writer })
    }

    /// Appends `rows` payloads to `out`. Rows whose bit in `present` is unset become NULL payloads
    /// (tombstones).
    ///
    /// Fails, without writing, if the columns are not of the types and number the encoder was made for, or
    /// hold fewer than `rows` rows. Fails in the middle, with the rows before written, if a row does not fit
    /// the schema that a `*_SCHEMA_ID` asks for.
    pub fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&BooleanBuffer>,
        out: &mut Payloads,
    ) -> Result<(), FormatError> {
        self.check(columns, rows, present)?;
        let cells: Vec<Cells<'_>> = columns.iter().map(Cells::new).collect();
        out.reserve(rows);
        let bits = present;
        let present = |row: usize| bits.is_none_or(|bits| bits.value(row));
        match &self.writer {
            Writer::None => (0..rows).for_each(|_| out.end_row(false)),
            Writer::Kafka => fill(out, rows, present, |row, bytes| kafka::write(&cells[0], row, bytes)),
            Writer::Delimited { delimiter } => fill(out, rows, present, |row, bytes| {
                delimited::write(&cells, row, *delimiter, bytes);
                true
            }),
            Writer::Json(writer) => fill(out, rows, present, |row, bytes| writer.write(&cells, row, bytes)),
            Writer::Avro(writer) => return writer.write(&cells, rows, bits, out),
            Writer::Protobuf(writer) => {
                return try_fill(out, rows, present, |row, bytes| writer.write(&cells, row, bytes));
            }
            Writer::JsonSr(writer) => {
                return try_fill(out, rows, present, |row, bytes| writer.write(&cells, row, bytes));
            }
        }
        Ok(())
    }

    fn check(
        &self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&BooleanBuffer>,
    ) -> Result<(), FormatError> {
        let same = columns.len() == self.fields.len()
            && columns.iter().zip(&self.fields).all(|(column, field)| {
                column.data_type() == field.data_type()
                    || column.data_type().equals_datatype(field.data_type())
            });
        let shortest = columns.iter().map(|column| column.len()).chain(present.map(BooleanBuffer::len)).min();
        if same && shortest.is_none_or(|shortest| shortest >= rows) {
            return Ok(());
        }
        let found = if same {
            format!("{} rows instead of {rows}", shortest.unwrap_or_default())
        } else {
            let types: Vec<_> = columns.iter().map(|column| crate::type_name(column.data_type())).collect();
            format!("[{}]", types.join(", "))
        };
        Err(FormatError::Columns { expected: format!("[{}]", field_list(&self.fields)), found })
    }
}

/// Runs `write` for every present row; it tells whether it wrote a payload (`false` is NULL).
fn fill(
    out: &mut Payloads,
    rows: usize,
    present: impl Fn(usize) -> bool,
    write: impl Fn(usize, &mut Vec<u8>) -> bool,
) {
    for row in 0..rows {
        let written = present(row) && write(row, out.buffer());
        out.end_row(written);
    }
}

/// The same with rows that may not fit their schema.
fn try_fill(
    out: &mut Payloads,
    rows: usize,
    present: impl Fn(usize) -> bool,
    write: impl Fn(usize, &mut Vec<u8>) -> Result<bool, FormatError>,
) -> Result<(), FormatError> {
    for row in 0..rows {
        let written = present(row) && write(row, out.buffer())?;
        out.end_row(written);
    }
    Ok(())
}
