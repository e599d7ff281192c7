//! A column of byte strings in one buffer: the serialised keys or values of a batch.

/// Byte strings, some of them absent, back to back in one buffer that is reused from batch to batch.
///
/// ```
/// # use millstream_log::serde::ByteColumn;
/// let mut keys = ByteColumn::default();
/// keys.push(Some(b"EWR"));
/// keys.push(None);
/// assert_eq!((keys.get(0), keys.get(1)), (Some(&b"EWR"[..]), None));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ByteColumn {
    bytes: Vec<u8>,
    /// The end of each entry in `bytes`; an entry starts where the one before it ends.
    ends: Vec<usize>,
    present: Vec<bool>,
}

impl ByteColumn {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets the entries and keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.present.clear();
    }

    /// Appends an entry.
    pub fn push(&mut self, entry: Option<&[u8]>) {
        if let Some(entry) = entry {
            self.bytes.extend_from_slice(entry);
        }
        self.close(entry.is_some());
    }

    /// Appends an entry of several parts.
    pub fn push_parts(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.close(true);
    }

    /// Appends the bytes that `write` adds to the buffer; when it fails nothing is appended.
    pub fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.bytes.len();
        match write(&mut self.bytes) {
            Ok(()) => {
                self.close(true);
                Ok(())
            }
            Err(error) => {
                self.bytes.truncate(start);
                Err(error)
            }
        }
    }

    /// The entry at `index`, or none if it is absent.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.present[index].then(|| &self.bytes[start..self.ends[index]])
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|index| self.get(index))
    }

    fn close(&mut self, present: bool) {
        self.ends.push(self.bytes.len());
        self.present.push(present);
    }
}
