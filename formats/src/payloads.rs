//! Encoded payloads of a batch in one reusable buffer.

/// Payloads back to back, one per row, each bytes or NULL. Clear and fill again: the buffers stay.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    bytes: Vec<u8>,
    rows: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    end: usize,
    present: bool,
}

impl Payloads {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Removes all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The payload of a row; `None` is a NULL payload. Panics if there is no such row, as slices do.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let span = self.rows[row];
        let start = if row == 0 { 0 } else { self.rows[row - 1].end };
        span.present.then(|| &self.bytes[start..span.end])
    }

    /// All payloads in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Bytes of all payloads together.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a copy of one payload.
    pub fn push(&mut self, payload: Option<&[u8]>) {
        if let Some(payload) = payload {
            self.bytes.extend_from_slice(payload);
        }
        self.end_row(payload.is_some());
    }

    pub(crate) fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows);
    }

    /// Where the payload of the current row is written; [`Payloads::end_row`] closes it.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn end_row(&mut self, present: bool) {
        self.end_row_at(self.bytes.len(), present);
    }

    /// Closes the next row of several that are in the buffer already.
    pub(crate) fn end_row_at(&mut self, end: usize, present: bool) {
        self.rows.push(Span { end, present });
    }

    /// Where the last row ends.
    pub(crate) fn end(&self) -> usize {
        self.rows.last().map_or(0, |span| span.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_null_payloads_differ() {
        let mut payloads = Payloads::new();
        for payload in [Some(&b"a"[..]), None, Some(b""), Some(b"bc")] {
            payloads.push(payload);
        }
        let all: Vec<_> = payloads.iter().collect();
        assert_eq!(all, [Some(&b"a"[..]), None, Some(b""), Some(b"bc")]);
        assert_eq!((payloads.len(), payloads.len_bytes()), (4, 3));
        payloads.clear();
        assert!(payloads.is_empty());
    }
}
