//! Rows of a stream held back for a while and passed on in the order of time: the grace period of a stream-table join
//! (KIP-923).
//!
//! ```text
//! store   time 8 │ key │ number 8  ─▶  the row as its skin writes it        (big endian)
//! ```

use std::time::Duration;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::processor::{Context, Processor};
use crate::store::spec::millis;
use crate::store::{OrderedStore, StoreHandle};

/// Rows of an output batch at most.
const OUTPUT_ROWS: usize = 8192;

/// What one skin knows about the rows that are held back.
pub trait BufferedRows: Send + 'static {
    /// The batch, in and out.
    type Input: Batch;

    /// Appends the key bytes of every row; rows without key are absent, and not held back.
    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError>;

    /// Appends what a row is beside its time.
    fn save(&mut self, input: &Self::Input, row: usize, out: &mut Vec<u8>) -> Result<(), StreamsError>;

    /// Makes a batch of rows with these times, from what [`BufferedRows::save`] wrote.
    fn load(&mut self, rows: &ByteColumn, times: &[i64]) -> Result<Box<dyn Batch>, StreamsError>;
}

/// Holds each row back until stream time has gone on for the grace period, and passes rows on by time, then key, then
/// arrival. A row that is older than that when it comes is passed on at once.
pub struct StreamBuffer<B: BufferedRows> {
    rows_of: B,
    store: StoreHandle,
    name: String,
    grace_ms: i64,
    stream_time: i64,
    /// Rows that were held back so far, to tell those of equal time and key apart.
    number: i64,
    keys: ByteColumn,
    key: Vec<u8>,
    row: Vec<u8>,
    output: ByteColumn,
    times: Vec<i64>,
}

impl<B: BufferedRows> StreamBuffer<B> {
    /// With a store of ordered entries that it alone uses, and its name.
    pub fn new(rows_of: B, store: StoreHandle, name: &str, grace: Duration) -> Self {
        Self {
            rows_of,
            store,
            name: name.to_owned(),
            grace_ms: millis(grace),
            stream_time: i64::MIN,
            number: 0,
            keys: ByteColumn::default(),
            key: Vec::new(),
            row: Vec::new(),
            output: ByteColumn::default(),
            times: Vec::new(),
        }
    }

    fn number_name(&self) -> String {
        format!("{}-number", self.name)
    }

    /// Takes out what is due. Returns whether that is all of it.
    fn take_due(&mut self, store: &mut OrderedStore) -> Result<bool, StreamsError> {
        let due = self.stream_time.saturating_sub(self.grace_ms);
        while let Some((key, row)) = store.first()? {
            let time = key.first_chunk::<8>().map_or(i64::MIN, |time| i64::from_be_bytes(*time));
            if time > due {
                return Ok(true);
            }
            if self.times.len() >= OUTPUT_ROWS {
                return Ok(false);
            }
            self.output.push(Some(row));
            self.times.push(time);
            self.key.clear();
            self.key.extend_from_slice(key);
            store.remove(&self.key, time)?;
        }
        Ok(true)
    }

    fn forward(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        if self.times.is_empty() {
            return Ok(());
        }
        let output = self.rows_of.load(&self.output, &self.times)?;
        self.output.clear();
        self.times.clear();
        context.forward(output)
    }

    /// Takes out and passes on all that is due.
    fn release(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        loop {
            let done = self.take_due(context.store(self.store)?)?;
            if done {
                return Ok(());
            }
            self.forward(context)?;
        }
    }
}

impl<B: BufferedRows> Processor for StreamBuffer<B> {
    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.stream_time = context.kept_time(&self.name).unwrap_or(i64::MIN);
        self.number = context.kept_time(&self.number_name()).unwrap_or(0);
        Ok(())
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<B::Input>(batch)?;
        self.keys.clear();
        self.rows_of.keys(&input, &mut self.keys)?;
        for row in 0..input.rows() {
            let time = input.timestamps()[row];
            self.stream_time = self.stream_time.max(time);
            let late = time < self.stream_time.saturating_sub(self.grace_ms);
            self.row.clear();
            self.rows_of.save(&input, row, &mut self.row)?;
            match self.keys.get(row) {
                Some(key) if !late => {
                    self.key.clear();
                    self.key.extend_from_slice(&time.to_be_bytes());
                    self.key.extend_from_slice(key);
                    self.key.extend_from_slice(&self.number.to_be_bytes());
                    self.number += 1;
                    context.store::<OrderedStore>(self.store)?.put(&self.key, &self.row, time);
                }
                _ => {
                    self.output.push(Some(&self.row));
                    self.times.push(time);
                }
            }
            self.release(context)?;
        }
        self.forward(context)?;
        context.keep_time(&self.name, self.stream_time);
        context.keep_time(&self.number_name(), self.number);
        Ok(())
    }

    fn advance(&mut self, stream_time: i64, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.stream_time = self.stream_time.max(stream_time);
        self.release(context)?;
        self.forward(context)?;
        context.keep_time(&self.name, self.stream_time);
        Ok(())
    }
}
