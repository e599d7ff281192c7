//! The newest batches of one producer and the sequence numbers in them.

use crate::record::RecordBatch;

/// What is kept of a batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Sequence number of the last record, -1 for batches that carry none.
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: i64,
    /// Records in the batch, less one.
    pub(crate) offset_delta: i32,
    pub(crate) timestamp: i64,
}

/// Batches of one producer and epoch, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    spans: [Span; Window::BATCHES],
    count: u8,
}

impl Span {
    const NONE: Self = Self { last_sequence: -1, last_offset: -1, offset_delta: 0, timestamp: -1 };

    pub(crate) fn of(batch: &RecordBatch) -> Self {
        let delta = batch.last_offset().since(batch.base_offset());
        let base = batch.base_sequence();
        Self {
            last_sequence: if base < 0 { -1 } else { wrapping_sequence(base, delta) },
            last_offset: batch.last_offset().to_wire(),
            offset_delta: delta as i32, // its four bytes in the header, read
            timestamp: batch.max_timestamp().get(),
        }
    }

    fn first_sequence(&self) -> i32 {
        // The number before 0 is 2^31 - 1.
        (i64::from(self.last_sequence) - i64::from(self.offset_delta)).rem_euclid(1 << 31) as i32
    }
}

impl Window {
    /// As many as a client has on their way at most (`max.in.flight.requests.per.connection`).
    const BATCHES: usize = 5;

    pub(crate) const EMPTY: Self = Self { spans: [Span::NONE; Self::BATCHES], count: 0 };

    pub(crate) fn push(&mut self, span: Span) {
        if usize::from(self.count) == Self::BATCHES {
            self.spans.rotate_left(1);
        } else {
            self.count += 1;
        }
        self.spans[usize::from(self.count) - 1] = span;
    }

    /// The newest batch.
    pub(crate) fn last(&self) -> Option<&Span> {
        self.spans[..usize::from(self.count)].last()
    }

    /// The newest batch, or what a snapshot says of a producer without one.
    pub(crate) fn last_or_none(&self) -> Span {
        self.last().copied().unwrap_or(Span::NONE)
    }

    /// The batch of these very sequence numbers.
    pub(crate) fn find(&self, first_sequence: i32, last_sequence: i32) -> Option<&Span> {
        let is_it =
            |span: &&Span| span.last_sequence == last_sequence && span.first_sequence() == first_sequence;
        self.spans[..usize::from(self.count)].iter().rev().find(is_it)
    }
}

/// The sequence number `delta` further on; after 2^31 - 1 follows 0.
pub(crate) fn wrapping_sequence(sequence: i32, delta: u64) -> i32 {
    ((i64::from(sequence) + delta as i64) & i64::from(i32::MAX)) as i32
}
