//! Avro's binary encoding, read from a payload. Every length is checked before it is believed.

use crate::avro::fault::Fault;

/// What is left of a payload.
#[derive(Clone)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    /// How many items of arrays and maps may still come: as many as the payload has bytes. Items without bytes
    /// could otherwise be as many as a count can say.
    items: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { bytes: payload, items: payload.len() }
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Fault> {
        let Some((first, rest)) = self.bytes.split_first() else { return Err(Fault::end()) };
        self.bytes = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn boolean(&mut self) -> Result<bool, Fault> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Fault::new(format!("byte {other} where a boolean is 0 or 1"))),
        }
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Fault> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Result<i32, Fault> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| Fault::new(format!("{value} where an int has 32 bits")))
    }

    #[inline]
    pub(crate) fn float(&mut self) -> Result<f32, Fault> {
        self.array().map(f32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn double(&mut self) -> Result<f64, Fault> {
        self.array().map(f64::from_le_bytes)
    }

    /// The next `size` bytes.
    #[inline]
    pub(crate) fn take(&mut self, size: usize) -> Result<&'a [u8], Fault> {
        let Some((taken, rest)) = self.bytes.split_at_checked(size) else { return Err(Fault::end()) };
        self.bytes = rest;
        Ok(taken)
    }

    /// Bytes behind their length.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.long()?;
        let size = usize::try_from(length);
        let size = size.map_err(|_| Fault::new(format!("a value of {length} bytes")))?;
        self.take(size)
    }

    /// The place of a branch in its union, or of a symbol in its enum.
    #[inline]
    pub(crate) fn index(&mut self) -> Result<usize, Fault> {
        let index = self.long()?;
        usize::try_from(index).map_err(|_| Fault::new(format!("branch {index} of a union or enum")))
    }

    /// The number of items in the next block of an array or map; 0 ends it.
    #[inline]
    pub(crate) fn block(&mut self) -> Result<usize, Fault> {
        let mut count = self.long()?;
        if count < 0 {
            // The block's size follows, for those who skip it.
            let size = self.long()?;
            if usize::try_from(size).is_ok_and(|size| size <= self.bytes.len()) {
                count = count.checked_neg().unwrap_or(i64::MAX);
            } else {
                return Err(Fault::new(format!("a block of {size} bytes in a payload that has fewer")));
            }
        }
        self.take_items(count)
    }

    /// The number of items in the next block, or of its bytes if it has an own size; `None` ends the array.
    pub(crate) fn block_to_skip(&mut self) -> Result<Option<Block>, Fault> {
        let count = self.long()?;
        if count >= 0 {
            let count = self.take_items(count)?;
            return Ok((count > 0).then_some(Block::Items(count)));
        }
        let size = self.long()?;
        let size = usize::try_from(size).map_err(|_| Fault::new(format!("a block of {size} bytes")))?;
        Ok(Some(Block::Bytes(size)))
    }

    fn take_items(&mut self, count: i64) -> Result<usize, Fault> {
        match usize::try_from(count) {
            Ok(count) if count <= self.items => {
                self.items -= count;
                Ok(count)
            }
            _ => Err(Fault::new(format!("a block of {count} items in a payload that has fewer bytes"))),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let Some((taken, rest)) = self.bytes.split_first_chunk::<N>() else { return Err(Fault::end()) };
        self.bytes = rest;
        Ok(*taken)
    }

    /// A number of up to 64 bits, seven to a byte, the lowest first.
    #[inline]
    fn varint(&mut self) -> Result<u64, Fault> {
        match self.bytes.split_first() {
            Some((first, rest)) if *first < 0x80 => {
                self.bytes = rest;
                Ok(u64::from(*first))
            }
            _ => self.long_varint(),
        }
    }

    /// The same without a loop, for the numbers of up to 56 bits that have eight bytes before the end.
    #[inline]
    fn long_varint(&mut self) -> Result<u64, Fault> {
        const CONTINUES: u64 = 0x8080_8080_8080_8080;
        let Some(chunk) = self.bytes.first_chunk::<8>() else { return self.any_varint() };
        let word = u64::from_le_bytes(*chunk);
        let stops = !word & CONTINUES;
        if stops == 0 {
            return self.any_varint();
        }
        let size = stops.trailing_zeros() / 8 + 1;
        self.bytes = &self.bytes[size as usize..];
        // The bits up to the first stop, seven of each byte, drawn together in pairs, fours and eights.
        let sevens = word & (stops ^ (stops - 1)) & !CONTINUES;
        let pairs = (sevens & 0x007f_007f_007f_007f) | ((sevens & 0x7f00_7f00_7f00_7f00) >> 1);
        let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
        Ok((fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4))
    }

    #[cold]
    fn any_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Fault::new("a number of more than 64 bits"))
    }
}

/// A block of an array or map that is skipped.
pub(crate) enum Block {
    Items(usize),
    Bytes(usize),
}

/// A number as zigzag: small ones have few bits, whatever their sign.
#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The bytes of a number as zigzag and varint: 1 to 10.
#[inline]
pub(crate) fn long_size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Writes a number as zigzag and varint at the start of `out`, which must have the room, and tells its size.
#[inline]
pub(crate) fn put_long(value: i64, out: &mut [u8]) -> usize {
    let mut rest = zigzag(value);
    let mut size = 0;
    while rest >= 0x80 {
        out[size] = rest as u8 | 0x80;
        rest >>= 7;
        size += 1;
    }
    out[size] = rest as u8;
    size + 1
}

/// Appends a number as zigzag and varint.
#[inline]
pub(crate) fn push_long(out: &mut Vec<u8>, value: i64) {
    if (-64..64).contains(&value) {
        out.push(zigzag(value) as u8);
        return;
    }
    let mut bytes = [0; 10];
    let size = put_long(value, &mut bytes);
    out.extend_from_slice(&bytes[..size]);
}

/// Appends bytes behind their length.
#[inline]
pub(crate) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_specification() {
        for (value, bytes) in [
            (0i64, &[0u8][..]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let mut written = Vec::new();
            push_long(&mut written, value);
            assert_eq!(written, bytes, "{value}");
            assert_eq!(long_size(value), bytes.len(), "{value}");
            assert_eq!(Input::new(bytes).long().expect("whole"), value);
        }
    }

    #[test]
    fn what_is_no_number_is_a_fault() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0xff; 9],
            &[0xff; 20],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
        ] {
            assert!(Input::new(bytes).long().is_err(), "{bytes:x?}");
        }
        assert!(Input::new(&[0x80, 0x80, 0x80, 0x80, 0x10, 0, 0, 0]).int().is_err(), "33 bits");
    }

    #[test]
    fn blocks_may_not_promise_more_than_there_is() {
        for (bytes, taken) in [
            (&[4u8, 0, 0][..], Some(2)),
            (&[3, 4, 0, 0], Some(2)),
            (&[8, 0], None),
            (&[3, 8, 0], None),
            (&[0], Some(0)),
        ] {
            assert_eq!(Input::new(bytes).block().ok(), taken, "{bytes:?}");
        }
        let bomb = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0];
        assert!(Input::new(&bomb).block().is_err(), "a count of i64::MIN");
    }

    proptest! {
        #[test]
        fn a_number_survives_whatever_follows(value: i64, shift in 0u32..64, after in proptest::collection::vec(any::<u8>(), 0..12)) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            push_long(&mut bytes, value);
            prop_assert_eq!(long_size(value), bytes.len());
            bytes.extend_from_slice(&after);
            let mut input = Input::new(&bytes);
            prop_assert_eq!(input.long().ok(), Some(value));
            prop_assert_eq!(input.take(after.len()).ok(), Some(&after[..]));
        }
    }
}
