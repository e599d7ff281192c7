//! Escapes in JSON strings.

use std::str;

use crate::json::cursor::{Quoted, find_special};

impl<'a> Quoted<'a> {
    /// The text; `scratch` holds it if there were escapes.
    pub(crate) fn text<'b>(self, scratch: &'b mut Vec<u8>) -> &'b str
    where
        'a: 'b,
    {
        let bytes = if self.escaped {
            scratch.clear();
            self.push_to(scratch);
            scratch.as_slice()
        } else {
            self.raw
        };
        str::from_utf8(bytes).expect("the payload was checked and escapes give whole characters")
    }

    /// Appends the text to `out`.
    #[inline]
    pub(crate) fn push_to(self, out: &mut Vec<u8>) {
        if self.escaped {
            unescape(self.raw, out);
        } else {
            out.extend_from_slice(self.raw);
        }
    }
}

/// Appends `raw`, whose escapes are valid, without them. Half a surrogate pair becomes U+FFFD.
fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 2..];
        match raw[raw.len() - rest.len() - 1] {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (character, used) = unicode(rest);
                rest = &rest[used..];
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            same => out.push(same),
        }
    }
    out.extend_from_slice(rest);
}

/// The character whose hexadecimal digits come first, and how many bytes it takes.
fn unicode(rest: &[u8]) -> (char, usize) {
    let unit = hex(&rest[..4]);
    if let 0xd800..0xdc00 = unit
        && rest[4..].starts_with(b"\\u")
        && let low @ 0xdc00..0xe000 = hex(&rest[6..10])
    {
        let point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

fn hex(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |value, digit| value << 4 | (*digit as char).to_digit(16).unwrap_or_default())
}

/// Appends `text` in quotes, escaped as Jackson does: only what JSON demands.
#[inline]
pub(crate) fn push_quoted(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut from = 0;
    loop {
        let at = find_special(bytes, from);
        out.extend_from_slice(&bytes[from..at]);
        let Some(byte) = bytes.get(at) else { break };
        push_escape(out, *byte);
        from = at + 1;
    }
    out.push(b'"');
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
