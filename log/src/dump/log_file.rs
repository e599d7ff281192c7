//! A `.log` file read batch by batch, from anywhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{IoContext, Result};
use crate::record::{HEADER_BYTES, PREFIX_BYTES, RecordBatch};
use crate::storage::{File, OpenMode, Storage};

/// Bytes read at once, unless a batch is larger.
const CHUNK_BYTES: usize = 1 << 20;

pub(super) struct LogFile {
    path: PathBuf,
    file: Arc<dyn File>,
    size: u64,
    window: Bytes,
    window_at: u64,
}

/// What a position of a `.log` holds.
#[derive(Debug)]
pub(super) enum Found {
    /// A batch whose frame is whole. Its CRC was not looked at.
    Batch(RecordBatch),
    /// Bytes that are no batch.
    Bad(&'static str),
    /// A batch that the file, or what is read of it, ends inside of.
    CutOff,
    End,
}

impl LogFile {
    pub(super) fn open(storage: &dyn Storage, path: &Path) -> Result<Self> {
        let file = storage.open(path, OpenMode::Existing).context("open", path)?;
        let size = file.size().context("read", path)?;
        Ok(Self { path: path.to_path_buf(), file, size, window: Bytes::new(), window_at: 0 })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Acts from now on as if the file ended at `size`.
    pub(super) fn limit(&mut self, size: u64) {
        self.size = self.size.min(size);
    }

    pub(super) fn batch_at(&mut self, position: u64) -> Result<Found> {
        let left = self.size.saturating_sub(position);
        if left == 0 {
            return Ok(Found::End);
        }
        if left < PREFIX_BYTES as u64 {
            return Ok(Found::CutOff);
        }
        let prefix = self.bytes_at(position, PREFIX_BYTES)?;
        let Some(length) = prefix.get(8..12).and_then(|length| length.try_into().ok()) else {
            return Ok(Found::CutOff);
        };
        let Ok(length) = usize::try_from(i32::from_be_bytes(length)) else {
            return Ok(Found::Bad("the length of a batch is negative"));
        };
        if length < HEADER_BYTES - PREFIX_BYTES {
            return Ok(Found::Bad("the length of a batch is smaller than its header"));
        }
        let length = length + PREFIX_BYTES;
        if length as u64 > left {
            return Ok(Found::CutOff);
        }
        let mut bytes = self.bytes_at(position, length)?;
        Ok(match RecordBatch::take(&mut bytes) {
            Ok(Some(batch)) => Found::Batch(batch),
            Ok(None) => Found::CutOff,
            Err(reason) => Found::Bad(reason),
        })
    }

    /// `length` bytes from `position` on, fewer if the file has become shorter. Copies nothing that was read before.
    fn bytes_at(&mut self, position: u64, length: usize) -> Result<Bytes> {
        let window_end = self.window_at + self.window.len() as u64;
        if position < self.window_at || position + length as u64 > window_end {
            let left = usize::try_from(self.size - position).unwrap_or(usize::MAX);
            let mut bytes = vec![0; length.max(CHUNK_BYTES.min(left))];
            let read = self.file.read_at(position, &mut bytes).context("read", &self.path)?;
            bytes.truncate(read);
            self.window = bytes.into();
            self.window_at = position;
        }
        let from = (position - self.window_at) as usize;
        Ok(self.window.slice(from..(from + length).min(self.window.len())))
    }
}
