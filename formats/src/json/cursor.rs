//! A walk over one JSON text. The text is UTF-8 already, so cuts at ASCII bytes are character boundaries.

use crate::{
    json::fault::Fault,
    number::{self, Number},
};

/// Depth of nesting up to which a value is skipped or copied; deeper texts are refused rather than risking
/// the stack.
const DEPTH_MAX: usize = 500;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// A position in a text.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The inside of a string, between its quotes.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) escaped: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }

    /// The bytes that are left.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    #[inline]
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Goes back to an earlier position.
    pub(crate) fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    /// What was passed over since `start`.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    #[cold]
    pub(crate) fn fault(&self, expected: &'static str) -> Fault {
        Fault::syntax(self.at, expected)
    }

    /// The next byte that is not white space, without taking it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    /// The first byte of the next value.
    #[inline]
    pub(crate) fn peek_value(&mut self) -> Result<u8, Fault> {
        self.peek().ok_or_else(|| self.fault("a value"))
    }

    /// Takes `byte` if it comes next, white space aside.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.at) == Some(&byte) || self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { Err(self.fault(expected)) }
    }

    /// Takes `true`, `false` or `null`.
    #[inline]
    pub(crate) fn literal(&mut self, literal: &'static str) -> Result<(), Fault> {
        if self.rest().starts_with(literal.as_bytes()) {
            self.at += literal.len();
            Ok(())
        } else {
            Err(self.fault("a value"))
        }
    }

    /// Takes a number; its first byte was peeked.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number<'a>, Fault> {
        match number::scan(self.rest()) {
            Ok(number) => {
                self.at += number.text.len();
                Ok(number)
            }
            Err(position) => {
                self.at += position;
                Err(self.fault("a number"))
            }
        }
    }

    /// Takes a string; its opening quote was peeked. Escapes are left as they are.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Quoted<'a>, Fault> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            self.at = find_special(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok(Quoted { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.check_escape()?;
                }
                Some(_) => return Err(self.fault("no control character in a string")),
                None => return Err(self.fault("the end of a string")),
            }
        }
    }

    fn check_escape(&mut self) -> Result<(), Fault> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u')
                if self
                    .bytes
                    .get(self.at + 2..self.at + 6)
                    .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
            {
                self.at += 6;
            }
            _ => return Err(self.fault("a valid escape")),
        }
        Ok(())
    }

    /// Takes a value of any kind, checking that it is JSON.
    #[inline]
    pub(crate) fn skip_value(&mut self) -> Result<(), Fault> {
        match self.peek_value()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'{' | b'[' => self.skip_container(0),
            _ => Err(self.fault("a value")),
        }
    }

    fn skip_container(&mut self, depth: usize) -> Result<(), Fault> {
        if depth == DEPTH_MAX {
            return Err(self.fault("less nesting"));
        }
        let object = self.bytes.get(self.at) == Some(&b'{');
        let end = if object { b'}' } else { b']' };
        self.at += 1;
        if self.take(end) {
            return Ok(());
        }
        loop {
            if object {
                self.name_start()?;
                self.string()?;
                self.expect(b':', "':' after a name")?;
            }
            match self.peek_value()? {
                b'{' | b'[' => self.skip_container(depth + 1)?,
                _ => self.skip_value()?,
            }
            if !self.take(b',') {
                return self.expect(end, if object { "',' or '}'" } else { "',' or ']'" });
            }
        }
    }

    /// Goes to the opening quote of a name.
    #[inline]
    pub(crate) fn name_start(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'"') { Ok(()) } else { Err(self.fault("a name in quotes")) }
    }

    /// Nothing but white space may be left.
    #[inline]
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        if self.peek().is_none() { Ok(()) } else { Err(self.fault("the end of the text")) }
    }
}

/// Position of the first quote, backslash or control character from `at` on, or the length. Eight bytes at a
/// time.
#[inline]
pub(crate) fn find_special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        // A byte that is zero, or below 0x20, gets its high bit set; only bytes behind a hit can be wrong.
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let hits = hits & HIGHS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(text: &str) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.skip_value().and_then(|()| cursor.end()).is_ok()
    }

    #[test]
    fn deep_nesting_is_refused() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(accepts(&nested(DEPTH_MAX)));
        assert!(!accepts(&nested(DEPTH_MAX + 1)));
        assert!(!accepts(&"[".repeat(1_000_000)));
    }

    proptest! {
        #[test]
        fn the_special_byte_is_the_first(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let naive = bytes.iter().position(|b| matches!(b, b'"' | b'\\') || *b < 0x20).unwrap_or(bytes.len());
            prop_assert_eq!(find_special(&bytes, 0), naive);
        }

        #[test]
        fn skipping_accepts_what_serde_json_accepts(
            text in "([\\[\\]{},: ]|\"[a\\\\u0d\"/]{0,3}\"|-?[0-9.eE+-]{1,4}|true|false|null|nul){0,12}",
        ) {
            // serde_json refuses lone surrogates, which Jackson reads.
            if !text.contains("\\ud") {
                prop_assert_eq!(accepts(&text), serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn changed_documents_are_judged_as_by_serde_json(
            at in 0usize..64,
            byte in "[\\[\\]{},:\"a0 -]",
        ) {
            let mut text = String::from("{\"a\": [1, -2.5e3, {\"b\": \"x\\n\"}], \"c\": null, \"d\": {}, \"e\": []}");
            if at < text.len() {
                text.replace_range(at..=at, &byte);
            }
            prop_assert_eq!(accepts(&text), serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
        }
    }
}
