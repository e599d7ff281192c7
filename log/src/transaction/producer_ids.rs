//! Producer ids: handed out one by one from blocks of a thousand, never twice.
//!
//! Kafka keeps the blocks in its metadata log. Here they are a file of three lines beside the checkpoints, replaced as a
//! whole before any id of a new block is handed out; each start begins a new block:
//!
//! ```text
//! 0                  version
//! 3000               first id of the next block
//! 9ae0daaf           CRC-32C of the two lines above
//! ```

use std::path::Path;

use crate::checkpoint;
use crate::error::{IoContext, LogError, Result};
use crate::mutex::Mutex;
use crate::storage::{self, Storage};
use crate::types::ProducerId;

/// Name of the file in the log's directory.
pub(crate) const FILE: &str = "producer-id-block";

const BLOCK: i64 = 1000;

/// Where producer ids come from.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    block: Mutex<Block>,
}

/// Ids that are reserved and not handed out yet, and where the next block starts.
#[derive(Debug, Default)]
struct Block {
    next: i64,
    end: i64,
    /// No id at or above this one was ever handed out.
    unused: i64,
}

impl ProducerIds {
    /// Reads where the next block starts. Says whether the file was there; without it, ids that are in use must be
    /// [noted](Self::note).
    pub(crate) fn load(&self, storage: &dyn Storage, dir: &Path) -> Result<bool> {
        let path = dir.join(FILE);
        let Some(text) = checkpoint::read_text(storage, &path)? else { return Ok(false) };
        let start = parse(&text).ok_or_else(|| LogError::InvalidFile {
            path,
            reason:
                "it does not hold a version, a number and their CRC: remove it to have producer ids counted \
                     anew from those in use"
                    .to_owned(),
        })?;
        self.note(ProducerId::new(start - 1));
        Ok(true)
    }

    /// Takes note of an id that is in use.
    pub(crate) fn note(&self, id: ProducerId) {
        let mut block = self.block.lock();
        block.unused = block.unused.max(id.get().saturating_add(1));
    }

    /// An id that nobody has.
    pub(crate) fn next(&self, storage: &dyn Storage, dir: &Path) -> Result<ProducerId> {
        let mut block = self.block.lock();
        if block.next == block.end {
            let start = block.unused;
            let end = start.checked_add(BLOCK).ok_or_else(|| LogError::InvalidFile {
                path: dir.join(FILE),
                reason: "all producer ids are used up".to_owned(),
            })?;
            let path = dir.join(FILE);
            storage::replace(storage, &path, format(end).as_bytes()).context("write", &path)?;
            *block = Block { next: start, end, unused: end };
        }
        let id = ProducerId::new(block.next);
        block.next += 1;
        Ok(id)
    }
}

fn format(start: i64) -> String {
    let lines = format!("0\n{start}\n");
    let crc = crc32c::crc32c(lines.as_bytes());
    format!("{lines}{crc:08x}\n")
}

fn parse(text: &str) -> Option<i64> {
    let start = text.lines().nth(1)?.parse().ok()?;
    (start >= 0 && format(start) == text).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn no_id_is_handed_out_twice() {
        let storage = MemoryStorage::new();
        let dir = Path::new("log");
        storage.create_dir(dir).unwrap();
        let mut last = -1;
        for round in 0..5 {
            let ids = ProducerIds::default();
            assert_eq!(ids.load(&storage, dir).unwrap(), round > 0);
            for _ in 0..1500 {
                let id = ids.next(&storage, dir).unwrap().get();
                assert!(id > last, "{id} after {last}");
                last = id;
            }
        }
        assert_eq!(last, 4 * 2000 + 1499);
    }

    #[test]
    fn ids_in_use_are_passed_over() {
        let storage = MemoryStorage::new();
        let dir = Path::new("log");
        storage.create_dir(dir).unwrap();
        let ids = ProducerIds::default();
        ids.note(ProducerId::new(41));
        assert_eq!(ids.next(&storage, dir).unwrap().get(), 42);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let text = format(3000);
        assert_eq!(parse(&text), Some(3000));
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            assert_eq!(parse(&String::from_utf8(damaged).unwrap()), None, "byte {at}");
            assert_eq!(parse(&text[..at]), None, "cut at {at}");
        }
    }
}
