//! Aborted transactions of a partition, which read-committed readers skip, and their `.txnindex` files.
//!
//! ```text
//! version i16 = 0 | producer id i64 | first offset i64 | last offset i64 | last stable offset i64      (34 bytes)
//! ```
//! The last offset is that of the abort marker, so entries ascend by it.

use crate::fetched::AbortedTransaction;
use crate::types::{Offset, ProducerId};

/// Entry of a `.txnindex` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedEntry {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    /// The last stable offset once this transaction had ended.
    pub(crate) last_stable_offset: Offset,
}

impl AbortedEntry {
    pub(crate) const BYTES: usize = 34;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&0_i16.to_be_bytes());
        out.extend_from_slice(&self.producer_id.get().to_be_bytes());
        for offset in [self.first_offset, self.last_offset, self.last_stable_offset] {
            out.extend_from_slice(&offset.to_wire().to_be_bytes());
        }
    }

    /// All entries of a file; `None` if it contradicts itself.
    pub(crate) fn decode_all(bytes: &[u8]) -> Option<Vec<Self>> {
        let (entries, rest) = bytes.as_chunks::<{ Self::BYTES }>();
        let entries = entries.iter().map(Self::decode).collect::<Option<Vec<_>>>()?;
        (rest.is_empty() && entries.is_sorted_by_key(|entry| entry.last_offset)).then_some(entries)
    }

    fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let number = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        if bytes[..2] != [0, 0] {
            return None;
        }
        Some(Self {
            producer_id: ProducerId::new(number(2)?),
            first_offset: Offset::from_wire(number(10)?)?,
            last_offset: Offset::from_wire(number(18)?)?,
            last_stable_offset: Offset::from_wire(number(26)?)?,
        })
    }
}

/// The aborted transactions with offsets in `[from, to)`, out of all of a partition's in order.
pub(crate) fn overlapping(entries: &[AbortedEntry], from: Offset, to: Offset) -> Vec<AbortedTransaction> {
    let first = entries.partition_point(|entry| entry.last_offset < from);
    let mut found = Vec::new();
    for entry in &entries[first..] {
        if entry.first_offset < to {
            found.push(AbortedTransaction {
                producer_id: entry.producer_id,
                first_offset: entry.first_offset,
            });
        }
        // Whatever ended later began at or above this offset.
        if entry.last_stable_offset >= to {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_kafkas_bytes() {
        let entry = AbortedEntry {
            producer_id: ProducerId::new(4000),
            first_offset: Offset::new(42),
            last_offset: Offset::new(43),
            last_stable_offset: Offset::new(44),
        };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        let expected = "00000000000000000fa0000000000000002a000000000000002b000000000000002c";
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
        assert_eq!(AbortedEntry::decode_all(&bytes), Some(vec![entry]));
        assert_eq!(AbortedEntry::decode_all(&bytes[1..]), None);
    }
}
