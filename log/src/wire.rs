//! Kafka's plain encoding of keys and values in the log's own topics: big-endian numbers, lengths before texts.

use bytes::{Buf, BufMut};

pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
    out.put_slice(&text.as_bytes()[..text.len().min(i16::MAX as usize)]);
}

pub(crate) fn get_string(input: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(input.try_get_i16().ok()?).ok()?;
    let text = std::str::from_utf8(input.get(..length)?).ok()?.to_owned();
    *input = &input[length..];
    Some(text)
}
