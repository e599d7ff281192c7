//! Rows of a table out of its topic: the newest of every key.

use arrow::{array::RecordBatch, compute};
use hashbrown::HashMap;
use millstream_log::Log;
use millstream_streams::Batch;

use super::{Access, Rows, Topic, Until};
use crate::{columnar::ColumnarBatch, error::SqlError, expression::RowErrors, plan::SourceStep};

/// Rows that become one batch.
const BATCH_ROWS: usize = 8192;

/// The topic of a table, with the columns a query wants of it. Reading holds the table in memory.
pub(crate) struct Latest {
    topic: Topic,
    step: SourceStep,
}

impl Latest {
    /// The rows of the step's table as its topic had them at `until`; as far as compaction has left them.
    pub(crate) fn new(log: &Log, step: &SourceStep, until: Until, errors: &RowErrors) -> Self {
        let step = SourceStep { keep_key_bytes: true, ..step.clone() };
        Self { topic: Topic::new(log, &step, until, errors), step }
    }
}

impl Rows for Latest {
    fn read(&self, _access: &Access, each: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), SqlError> {
        let mut batches: Vec<ColumnarBatch> = Vec::new();
        // Where the newest row of a key is. Conditions narrow nothing here: what they leave out may replace what
        // they keep.
        let mut newest: HashMap<Vec<u8>, (usize, usize)> = HashMap::new();
        self.topic.batches(&Access::default(), &mut |batch| {
            let keys =
                batch.key_bytes().ok_or_else(|| SqlError::failed("read a table", "its keys are missing"))?;
            for row in 0..batch.rows() {
                let key = keys.value(row);
                if batch.present().is_none_or(|present| present.value(row)) {
                    newest.insert(key.to_vec(), (batches.len(), row));
                } else {
                    newest.remove(key);
                }
            }
            batches.push(batch);
            Ok(true)
        })?;
        let mut places: Vec<(usize, usize)> = newest.into_values().collect();
        places.sort_unstable();
        let read = batches.iter().map(ColumnarBatch::record_batch).collect::<Result<Vec<_>, _>>()?;
        let read: Vec<&RecordBatch> = read.iter().collect();
        for places in places.chunks(BATCH_ROWS) {
            if !each(compute::interleave_record_batch(&read, places)?) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn path(&self, _access: &Access) -> String {
        let topic = self.topic.path(&Access::default());
        format!("{topic}, the newest row of every key of {}", self.step.source.name)
    }
}
