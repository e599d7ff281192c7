//! The order of text and bytes, which is that of Java and not of Rust.

use std::cmp::Ordering;

/// Orders text by UTF-16 code units: characters beyond U+FFFF come before U+E000 to U+FFFF.
pub(crate) fn compare_text(a: &str, b: &str) -> Ordering {
    let differ = a.bytes().zip(b.bytes()).find(|(x, y)| x != y);
    match differ {
        None => a.len().cmp(&b.len()),
        // 0xEE and 0xEF lead U+E000 to U+FFFF, 0xF0 and up what UTF-16 writes with surrogates.
        Some((0xF0.., 0xEE | 0xEF)) => Ordering::Less,
        Some((0xEE | 0xEF, 0xF0..)) => Ordering::Greater,
        Some((x, y)) => x.cmp(&y),
    }
}

/// Orders bytes as signed numbers.
pub(crate) fn compare_bytes(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).find(|(x, y)| x != y) {
        None => a.len().cmp(&b.len()),
        Some((x, y)) => x.cast_signed().cmp(&y.cast_signed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_ordered_by_code_units() {
        let texts = ["", "a", "ab", "b", "é", "\u{D7FF}", "\u{10000}", "\u{10FFFF}", "\u{E000}", "\u{FFFF}"];
        for (i, a) in texts.iter().enumerate() {
            for (j, b) in texts.iter().enumerate() {
                let units = a.encode_utf16().cmp(b.encode_utf16());
                assert_eq!(compare_text(a, b), units, "{a:?} {b:?}");
                assert_eq!(units, i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn bytes_are_signed() {
        assert_eq!(compare_bytes(&[0x80], &[0x7F]), Ordering::Less);
        assert_eq!(compare_bytes(&[1, 2], &[1]), Ordering::Greater);
        assert_eq!(compare_bytes(&[], &[]), Ordering::Equal);
    }
}
