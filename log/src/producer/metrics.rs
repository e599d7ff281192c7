//! What a producer counts.

/// What a producer has done so far. The comments give the names of Kafka's metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerMetrics {
    /// Records written, `record-send-total`.
    pub records: u64,
    /// Batches written.
    pub batches: u64,
    /// Bytes of these batches as stored, `outgoing-byte-total`.
    pub bytes: u64,
    /// Bytes of these batches before compression.
    pub bytes_uncompressed: u64,
    /// Records that were given up, `record-error-total`.
    pub errors: u64,
    /// Records that were tried again, `record-retry-total`.
    pub retries: u64,
    /// Bytes of batches that wait to be written.
    pub buffered_bytes: usize,
    /// Sends that had to wait for memory.
    pub waits: u64,
}

impl ProducerMetrics {
    /// Stored bytes per byte before compression, `compression-rate-avg`; 1 before the first batch.
    pub fn compression_rate(&self) -> f64 {
        if self.bytes_uncompressed == 0 { 1.0 } else { self.bytes as f64 / self.bytes_uncompressed as f64 }
    }

    /// Bytes of a batch on average, `batch-size-avg`; 0 before the first batch.
    pub fn batch_size(&self) -> f64 {
        if self.batches == 0 { 0.0 } else { self.bytes as f64 / self.batches as f64 }
    }

    pub(super) fn wrote(&mut self, records: u32, bytes: usize, bytes_uncompressed: usize) {
        self.records += u64::from(records);
        self.batches += 1;
        self.bytes += bytes as u64;
        self.bytes_uncompressed += bytes_uncompressed as u64;
    }
}
