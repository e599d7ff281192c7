//! The `.snapshot` file: the producers of a partition as of the offset that names it.
//!
//! ```text
//! version i16 = 1 | CRC-32C u32 of all that follows | count i32, then for each
//! id i64 | epoch i16 | last sequence i32 | last offset i64 | offset delta i32 | timestamp i64
//! | coordinator epoch i32 | first offset of the open transaction i64 (-1 none)                         (46 bytes)
//! ```
//! Of the batches only the newest is kept. The open transaction's epoch is not: it is the producer's.

use super::states::{ProducerState, ProducerStates};
use super::window::{Span, Window};
use crate::types::{Offset, ProducerEpoch, ProducerId};

const VERSION: i16 = 1;
const ENTRY_BYTES: usize = 46;
const HEAD_BYTES: usize = 10;

impl ProducerStates {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut entries = Vec::with_capacity(4 + ENTRY_BYTES * self.len());
        entries.extend_from_slice(&(self.len() as i32).to_be_bytes());
        for (id, state) in self.iter() {
            let last = state.window.last_or_none();
            entries.extend_from_slice(&id.get().to_be_bytes());
            entries.extend_from_slice(&state.epoch.get().to_be_bytes());
            entries.extend_from_slice(&last.last_sequence.to_be_bytes());
            entries.extend_from_slice(&last.last_offset.to_be_bytes());
            entries.extend_from_slice(&last.offset_delta.to_be_bytes());
            entries.extend_from_slice(&state.timestamp.to_be_bytes());
            entries.extend_from_slice(&state.coordinator_epoch.to_be_bytes());
            entries.extend_from_slice(&state.transaction_start.map_or(-1, Offset::to_wire).to_be_bytes());
        }
        let mut bytes = VERSION.to_be_bytes().to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&entries).to_be_bytes());
        bytes.extend_from_slice(&entries);
        bytes
    }

    /// `None` if these are not the bytes of a whole snapshot.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let crc = u32::from_be_bytes(bytes.get(2..6)?.try_into().ok()?);
        if bytes[..2] != VERSION.to_be_bytes() || crc != crc32c::crc32c(&bytes[6..]) {
            return None;
        }
        let count = u32::from_be_bytes(bytes.get(6..HEAD_BYTES)?.try_into().ok()?);
        let (entries, rest) = bytes[HEAD_BYTES..].as_chunks::<ENTRY_BYTES>();
        if entries.len() != count as usize || !rest.is_empty() {
            return None;
        }
        let mut states = Self::default();
        for entry in entries {
            let long = |at: usize| Some(i64::from_be_bytes(entry.get(at..at + 8)?.try_into().ok()?));
            let int = |at: usize| Some(i32::from_be_bytes(entry.get(at..at + 4)?.try_into().ok()?));
            let (last_offset, timestamp) = (long(14)?, long(26)?);
            let mut window = Window::EMPTY;
            if last_offset >= 0 {
                let span =
                    Span { last_sequence: int(10)?, last_offset, offset_delta: int(22)?.max(0), timestamp };
                window.push(span);
            }
            let state = ProducerState {
                epoch: ProducerEpoch::new(i16::from_be_bytes([entry[8], entry[9]])),
                window,
                timestamp,
                coordinator_epoch: int(34)?,
                transaction_start: Offset::from_wire(long(38)?),
                activity: Default::default(),
            };
            states.insert(ProducerId::new(long(0)?), state);
        }
        Some(states)
    }
}
