//! Record batches of version 2, byte for byte as Kafka has them: views, iteration, building, control markers.
//!
//! ```text
//!  0 base offset i64        23 last offset delta i32     57 record count i32
//!  8 length i32 (after it)  27 base timestamp i64        61 records
//! 12 leader epoch i32       35 max timestamp i64
//! 16 magic i8 = 2           43 producer id i64
//! 17 CRC-32C of 21..        51 producer epoch i16
//! 21 attributes i16         53 base sequence i32
//! ```
//! All integers are big-endian. The first 17 bytes lie outside the CRC, so the log fills in offset and epoch in place.

mod batch;
mod builder;
mod compression;
mod control;
mod rewrite;
mod varint;
mod view;

pub use batch::RecordBatch;
pub(crate) use batch::{
    BatchHead, HEADER_BYTES, PREFIX_BYTES, ProducerStamp, assign_append_time, assign_leader_epoch,
    assign_max_timestamp, assign_offset, transactional_producer,
};
pub use builder::BatchBuilder;
pub use compression::{Codec, Compression};
pub(crate) use control::Marker;
pub(crate) use rewrite::{KeyedRecord, KeyedRecords, Rewritten, emptied};
pub use view::{Header, HeaderView, Headers, RecordView, Records};

#[cfg(test)]
mod tests;
