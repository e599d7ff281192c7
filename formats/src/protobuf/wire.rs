//! Protobuf's encoding: tags, varints, lengths.

/// What is wrong with the bytes of a message, or with a value in them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes end inside a value.
    Truncated,
    /// A varint of more than ten bytes.
    Varint,
    /// A field number of zero or beyond 2^29, or a wire type that does not exist.
    Tag,
    /// A group without its begin or end, or nested too deep.
    Group,
    /// A string that is not UTF-8.
    Utf8,
    /// A value that its column cannot hold.
    Value(Box<str>),
}

impl Fault {
    pub(super) fn message(self) -> String {
        let what = match self {
            Self::Truncated => "it ends inside a field",
            Self::Varint => "a varint has more than ten bytes",
            Self::Tag => "a tag has no valid field number and wire type",
            Self::Group => "a group does not end, or has no begin, or is nested too deep",
            Self::Utf8 => "a string is not UTF-8",
            Self::Value(message) => return message.into(),
        };
        format!("malformed Protobuf message: {what}")
    }
}

pub(super) const VARINT: u32 = 0;
pub(super) const FIXED64: u32 = 1;
pub(super) const LENGTH: u32 = 2;
const GROUP_BEGIN: u32 = 3;
const GROUP_END: u32 = 4;
pub(super) const FIXED32: u32 = 5;

const GROUP_DEPTH_MAX: usize = 100;

/// Takes a varint.
#[inline(always)]
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, Fault> {
    match bytes.get(*at) {
        Some(byte) if *byte < 0x80 => {
            *at += 1;
            Ok(u64::from(*byte))
        }
        Some(_) => long_varint(bytes, at),
        None => Err(Fault::Truncated),
    }
}

fn long_varint(bytes: &[u8], at: &mut usize) -> Result<u64, Fault> {
    let mut value = 0u64;
    for (index, byte) in bytes[*at..].iter().take(10).enumerate() {
        // Bits beyond the 64th are dropped, as everywhere.
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            *at += index + 1;
            return Ok(value);
        }
    }
    Err(if bytes.len() - *at < 10 { Fault::Truncated } else { Fault::Varint })
}

/// Takes a tag: field number and wire type.
#[inline(always)]
pub(super) fn tag(bytes: &[u8], at: &mut usize) -> Result<u32, Fault> {
    let tag = varint(bytes, at)?;
    match u32::try_from(tag) {
        Ok(tag) if tag >= 8 && tag & 7 <= FIXED32 => Ok(tag),
        _ => Err(Fault::Tag),
    }
}

/// Takes a length and as many bytes; tells where they are.
#[inline(always)]
pub(super) fn span(bytes: &[u8], at: &mut usize) -> Result<(usize, usize), Fault> {
    let length = varint(bytes, at)?;
    let start = *at;
    match usize::try_from(length) {
        Ok(length) if length <= bytes.len() - start => {
            *at = start + length;
            Ok((start, length))
        }
        _ => Err(Fault::Truncated),
    }
}

#[inline]
pub(super) fn fixed32(bytes: &[u8], at: &mut usize) -> Result<u32, Fault> {
    let (value, _) = bytes[*at..].split_first_chunk().ok_or(Fault::Truncated)?;
    *at += 4;
    Ok(u32::from_le_bytes(*value))
}

#[inline]
pub(super) fn fixed64(bytes: &[u8], at: &mut usize) -> Result<u64, Fault> {
    let (value, _) = bytes[*at..].split_first_chunk().ok_or(Fault::Truncated)?;
    *at += 8;
    Ok(u64::from_le_bytes(*value))
}

/// Skips the value behind a tag, whole groups included.
pub(super) fn skip(tag: u32, bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
    let mut open = Vec::new();
    let mut next = tag;
    loop {
        match next & 7 {
            VARINT => drop(varint(bytes, at)?),
            FIXED64 => drop(fixed64(bytes, at)?),
            LENGTH => drop(span(bytes, at)?),
            FIXED32 => drop(fixed32(bytes, at)?),
            GROUP_BEGIN if open.len() < GROUP_DEPTH_MAX => open.push(next >> 3),
            GROUP_END if open.last() == Some(&(next >> 3)) => drop(open.pop()),
            _ => return Err(Fault::Group),
        }
        if open.is_empty() {
            return Ok(());
        }
        next = self::tag(bytes, at)?;
    }
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// A tag as it is written.
#[derive(Clone, Copy)]
pub(super) struct Tag {
    bytes: [u8; 5],
    length: u8,
}

impl Tag {
    pub(super) const NONE: Self = Self { bytes: [0; 5], length: 0 };

    pub(super) fn new(number: u32, wire_type: u32) -> Self {
        let mut tag = Self::NONE;
        let mut value = number << 3 | wire_type;
        while value >= 0x80 {
            tag.bytes[usize::from(tag.length)] = value as u8 | 0x80;
            tag.length += 1;
            value >>= 7;
        }
        tag.bytes[usize::from(tag.length)] = value as u8;
        tag.length += 1;
        tag
    }

    #[inline(always)]
    pub(super) fn push(self, out: &mut Vec<u8>) {
        // Field numbers up to 15, which most are, take one byte.
        match self.length {
            1 => out.push(self.bytes[0]),
            length => out.extend_from_slice(&self.bytes[..usize::from(length)]),
        }
    }
}

/// Appends a varint.
#[inline(always)]
pub(super) fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends what `write` appends, with its length in front.
#[inline]
pub(super) fn push_counted<E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.push(0);
    write(out)?;
    let length = out.len() - start - 1;
    if let Ok(byte @ 0..0x80) = u8::try_from(length) {
        out[start] = byte;
        return Ok(());
    }
    // The length takes more than the byte that was left for it.
    let size = length.ilog2() as usize / 7 + 1;
    out.resize(out.len() + size - 1, 0);
    out.copy_within(start + 1..start + 1 + length, start + size);
    for (index, byte) in out[start..start + size].iter_mut().enumerate() {
        let more = if index + 1 < size { 0x80 } else { 0 };
        *byte = (length >> (7 * index)) as u8 & 0x7f | more;
    }
    Ok(())
}

/// Appends bytes with their length in front.
#[inline]
pub(super) fn push_bytes(value: &[u8], out: &mut Vec<u8>) {
    push_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}
