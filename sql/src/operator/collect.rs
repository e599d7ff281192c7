//! The end of a push query: rows go to the client that asked.

use std::sync::mpsc::SyncSender;

use millstream_streams::{Batch, Context, Processor, StreamsError};

use crate::columnar::ColumnarBatch;

/// Hands batches to a client through a bounded channel; waits while the client is behind.
pub(crate) struct CollectProcessor {
    client: SyncSender<ColumnarBatch>,
}

impl CollectProcessor {
    /// The sending end of the client's channel.
    pub(crate) fn new(client: SyncSender<ColumnarBatch>) -> Self {
        Self { client }
    }
}

impl Processor for CollectProcessor {
    fn process(&mut self, batch: Box<dyn Batch>, _context: &mut Context<'_>) -> Result<(), StreamsError> {
        let batch = ColumnarBatch::from_batch(batch);
        if batch.rows() > 0 {
            // A client that is gone has stopped the query; it just did not end yet.
            let _ = self.client.send(batch);
        }
        Ok(())
    }
}
