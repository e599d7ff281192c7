//! What statements give back.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use crate::{print::PrintQuery, push::PushQuery};

/// What marks columns of the key in Arrow's metadata.
const KEY: &str = "ksql.key";

/// The result of one statement.
#[derive(Debug)]
pub enum Outcome {
    /// It is done; this says what.
    Message(String),
    /// Rows that are there, such as those of SHOW, DESCRIBE and pull queries.
    Table(ResultSet),
    /// Rows that keep coming.
    Push(Box<PushQuery>),
    /// Records of a topic as they come.
    Print(Box<PrintQuery>),
}

/// Rows with their columns.
#[derive(Clone, Debug)]
pub struct ResultSet {
    /// Names and types of the columns. SQL types are held as [`SqlType`](crate::SqlType) says; [`Self::is_key`] tells
    /// the key columns of a pull query.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// How many rows were read from topics and state for it.
    pub rows_read: u64,
}

impl ResultSet {
    /// Rows of text.
    pub(crate) fn text<const N: usize>(names: [&str; N], rows: Vec<[String; N]>) -> Self {
        let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let column = |place: usize| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row[place].as_str())))
        };
        let columns = (0..N).map(column).collect();
        let batch = RecordBatch::try_new(schema.clone(), columns).expect("every column has a text per row");
        Self { schema, batches: vec![batch], rows_read: 0 }
    }

    /// Whether a column of a pull query's result is one of its source's key columns, or a bound of its window.
    pub fn is_key(column: &Field) -> bool {
        column.metadata().contains_key(KEY)
    }

    /// The column, marked as one of the key.
    pub(crate) fn key_column(column: &Field) -> Field {
        column.clone().with_metadata([(KEY.to_owned(), String::new())].into())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}
