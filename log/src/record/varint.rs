//! Zig-zag base-128 integers, low group first, as in Kafka's records.

/// Longest encoding of a 64-bit number.
pub(crate) const VARLONG_BYTES_MAX: usize = 10;

/// Bytes that `value` takes.
#[inline]
pub(crate) fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes `value` at the start of `out` and returns its size. `out` must have room for it.
#[inline]
pub(crate) fn write(value: i64, out: &mut [u8]) -> usize {
    let mut rest = zigzag(value);
    let mut at = 0;
    while rest >= 0x80 {
        out[at] = rest as u8 | 0x80;
        rest >>= 7;
        at += 1;
    }
    out[at] = rest as u8;
    at + 1
}

/// Takes a number off the front of `input`; `None` if it is cut off or longer than 64 bits.
#[inline]
pub(crate) fn read(input: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(unzigzag(u64::from(first)));
    }
    read_long(input)
}

fn read_long(input: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for (at, &byte) in input.iter().take(VARLONG_BYTES_MAX).enumerate() {
        if at == VARLONG_BYTES_MAX - 1 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *input = &input[at + 1..];
            return Some(unzigzag(value));
        }
    }
    None
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
