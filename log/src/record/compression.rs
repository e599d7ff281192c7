//! The four codecs that a batch's records may be compressed with, in the framings that Kafka's clients write.
//!
//! ```text
//! gzip    one gzip member
//! snappy  xerial stream: 82 'SNAPPY' 00, version i32 1, compatible i32 1, then { length i32, raw block }*
//!         (a bare raw block, as librdkafka writes it, is read too)
//! lz4     frame version 01 with independent blocks of 64 KiB, no checksums but the header's
//! zstd    frames, with or without their content size
//! ```
//! Only the records are compressed; the header of 61 bytes stays readable.

use std::io::{Read, Write};
use std::ops::RangeInclusive;

use bytes::{BufMut, BytesMut};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

use crate::error::{LogError, Result};

/// Records of this size are read from a batch however well they were compressed.
const INFLATED_FLOOR: usize = 32 << 20;
/// Larger ones are a bomb unless they are at most so many times their compressed size.
const INFLATED_RATIO: usize = 100;
/// More than this is never read from one batch.
const INFLATED_MAX: usize = 1 << 30;

const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// A snappy copy of 3 bytes stands for 64 at most, so no sound block claims more per byte than this.
const SNAPPY_RATIO_MAX: usize = 22;
/// The largest window zstd's own tools accept without being told: 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

const TOO_LARGE: &str = "its records are larger than 32 MiB and 100 times their compressed size";

/// A way to compress the records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Deflate with a gzip header: small, slow to write.
    Gzip,
    /// Snappy in xerial's framing: fast, no levels.
    Snappy,
    /// LZ4 frames: the fastest to read.
    Lz4,
    /// Zstandard: small and fast.
    Zstd,
}

impl Codec {
    /// Every codec, in the order of Kafka's numbers.
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Its number in a batch's attributes, from 1.
    pub fn id(self) -> u8 {
        match self {
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Its name in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of that name, `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// The codec of that number, `None` for 0 and for numbers that mean nothing yet.
    pub(crate) fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.id() == id)
    }

    /// The levels it can be asked for; one for snappy, which has none.
    pub fn levels(self) -> RangeInclusive<i32> {
        match self {
            Self::Gzip => 1..=9,
            Self::Snappy => 0..=0,
            Self::Lz4 => 1..=17,
            Self::Zstd => -131_072..=22,
        }
    }

    /// Its level unless `compression.<codec>.level` says otherwise. Gzip's -1 stands for zlib's own default.
    pub fn default_level(self) -> i32 {
        match self {
            Self::Gzip => -1,
            Self::Snappy => 0,
            Self::Lz4 => 9,
            Self::Zstd => 3,
        }
    }

    /// The records of a batch from their compressed bytes, or what is wrong with these.
    pub(crate) fn decompress(self, compressed: &[u8]) -> Result<Vec<u8>, &'static str> {
        let limit = compressed.len().saturating_mul(INFLATED_RATIO).clamp(INFLATED_FLOOR, INFLATED_MAX);
        match self {
            Self::Gzip => read_all(flate2::bufread::MultiGzDecoder::new(compressed), compressed, limit)
                .map(|(plain, _)| plain)
                .map_err(|fault| fault.unwrap_or("its gzip data is malformed")),
            Self::Snappy => snappy_decompress(compressed, limit),
            Self::Lz4 => lz4_decompress(compressed, limit),
            Self::Zstd => zstd_decompress(compressed, limit),
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec at a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compression {
    codec: Codec,
    level: i32,
}

impl Compression {
    /// The codec at its default level.
    pub fn new(codec: Codec) -> Self {
        Self { codec, level: codec.default_level() }
    }

    /// The codec at `level`. Fails with [`LogError::InvalidConfig`] if it has no such level.
    pub fn with_level(codec: Codec, level: i32) -> Result<Self> {
        let levels = codec.levels();
        if level != codec.default_level() && !levels.contains(&level) {
            return Err(LogError::InvalidConfig {
                key: format!("compression.{codec}.level"),
                value: level.to_string(),
                reason: format!(
                    "it must lie between {} and {}, or be {}",
                    levels.start(),
                    levels.end(),
                    codec.default_level()
                ),
            });
        }
        Ok(Self { codec, level })
    }

    /// Its codec.
    pub fn codec(self) -> Codec {
        self.codec
    }

    /// Its level.
    pub fn level(self) -> i32 {
        self.level
    }

    /// Adds `plain` to `out`, compressed.
    pub(crate) fn compress(self, plain: &[u8], out: &mut BytesMut) {
        match self.codec {
            Codec::Gzip => {
                let level = match u32::try_from(self.level) {
                    Ok(level) => flate2::Compression::new(level),
                    Err(_) => flate2::Compression::default(),
                };
                let mut encoder = flate2::write::GzEncoder::new(out.writer(), level);
                encoder.write_all(plain).and_then(|()| encoder.finish()).expect("memory takes every write");
            }
            Codec::Snappy => snappy_compress(plain, out),
            Codec::Lz4 => lz4_compress(plain, self.level, out),
            Codec::Zstd => {
                let start = out.len();
                out.resize(start + zstd::zstd_safe::compress_bound(plain.len()), 0);
                let size = zstd::bulk::Compressor::new(self.level)
                    .and_then(|mut compressor| compressor.compress_to_buffer(plain, &mut out[start..]))
                    .expect("the level was checked and the bound leaves room");
                out.truncate(start + size);
            }
        }
    }
}

/// Reads `decoder` to its end and hands it back. `Err(None)` if what it reads is malformed.
fn read_all<D: Read>(
    mut decoder: D,
    compressed: &[u8],
    limit: usize,
) -> Result<(Vec<u8>, D), Option<&'static str>> {
    let mut plain = Vec::with_capacity(compressed.len().saturating_mul(4).min(limit));
    let outcome = decoder.by_ref().take(limit as u64 + 1).read_to_end(&mut plain);
    if plain.len() > limit {
        return Err(Some(TOO_LARGE));
    }
    match outcome {
        Ok(_) => Ok((plain, decoder)),
        Err(_) => Err(None),
    }
}

fn snappy_compress(plain: &[u8], out: &mut BytesMut) {
    out.put_slice(&XERIAL_HEADER);
    let mut encoder = snap::raw::Encoder::new();
    for block in plain.chunks(XERIAL_BLOCK_BYTES) {
        let start = out.len() + 4;
        out.resize(start + snap::raw::max_compress_len(block.len()), 0);
        let size = encoder.compress(block, &mut out[start..]).expect("the output has the size it asks for");
        let length = i32::try_from(size).expect("a block is far smaller than 2 GiB");
        out[start - 4..start].copy_from_slice(&length.to_be_bytes());
        out.truncate(start + size);
    }
}

fn snappy_decompress(compressed: &[u8], limit: usize) -> Result<Vec<u8>, &'static str> {
    const MALFORMED: &str = "its snappy data is malformed";
    let mut plain = Vec::new();
    let mut add = |block: &[u8]| {
        let size = snap::raw::decompress_len(block).map_err(|_| MALFORMED)?;
        if size > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
            return Err(MALFORMED);
        }
        let start = plain.len();
        if start + size > limit {
            return Err(TOO_LARGE);
        }
        plain.resize(start + size, 0);
        let written = snap::raw::Decoder::new().decompress(block, &mut plain[start..]);
        if written == Ok(size) { Ok(()) } else { Err(MALFORMED) }
    };
    if !compressed.starts_with(&XERIAL_MAGIC) {
        add(compressed)?;
        return Ok(plain);
    }
    let mut rest = compressed.get(XERIAL_HEADER.len()..).ok_or(MALFORMED)?;
    while let Some((length, blocks)) = rest.split_first_chunk() {
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| MALFORMED)?;
        add(blocks.get(..length).ok_or(MALFORMED)?)?;
        rest = &blocks[length..];
    }
    if rest.is_empty() { Ok(plain) } else { Err(MALFORMED) }
}

fn lz4_compress(plain: &[u8], level: i32, out: &mut BytesMut) {
    // As Kafka's own clients: the default level is the fast compressor, every other one the thorough one.
    let level = if level == Codec::Lz4.default_level() { 0 } else { level.clamp(3, 12) };
    let mut encoder = lz4::EncoderBuilder::new()
        .level(level.unsigned_abs())
        .block_size(lz4::BlockSize::Max64KB)
        .block_mode(lz4::BlockMode::Independent)
        .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
        .checksum(lz4::ContentChecksum::NoChecksum)
        .build(out.writer())
        .expect("an encoder needs only memory");
    encoder.write_all(plain).expect("memory takes every write");
    let (_, outcome) = encoder.finish();
    outcome.expect("memory takes every write");
}

fn lz4_decompress(compressed: &[u8], limit: usize) -> Result<Vec<u8>, &'static str> {
    const MALFORMED: &str = "its lz4 data is malformed";
    let decoder = lz4::Decoder::new(compressed).map_err(|_| MALFORMED)?;
    let (plain, decoder) =
        read_all(decoder, compressed, limit).map_err(|fault| fault.unwrap_or(MALFORMED))?;
    // A frame that is cut off reads as one that ends.
    match decoder.finish() {
        (_, Ok(())) => Ok(plain),
        _ => Err(MALFORMED),
    }
}

fn zstd_decompress(compressed: &[u8], limit: usize) -> Result<Vec<u8>, &'static str> {
    const MALFORMED: &str = "its zstd data is malformed";
    let mut decoder = ZstdDecoder::new().map_err(|_| MALFORMED)?;
    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(|_| MALFORMED)?;

    // A frame that says its size is decoded in one go if the output has room for it; only a size that a small part of
    // the limit covers is believed at once.
    let declared = zstd::zstd_safe::get_frame_content_size(compressed).ok().flatten().unwrap_or(0);
    let believed = usize::try_from(declared).unwrap_or(usize::MAX);
    let mut capacity =
        believed.min(compressed.len().saturating_mul(16) + (1 << 20)).max(4 * compressed.len());
    let mut plain: Vec<u8> = Vec::with_capacity(capacity.min(limit));
    let mut input = InBuffer::around(compressed);
    loop {
        let start = plain.len();
        let consumed = input.pos();
        let mut output = OutBuffer::around_pos(&mut plain, start);
        let hint = decoder.run(&mut input, &mut output).map_err(|_| MALFORMED)?;
        if plain.len() > limit {
            return Err(TOO_LARGE);
        }
        let is_full = plain.len() == plain.capacity();
        if input.pos() == compressed.len() && hint == 0 {
            return Ok(plain);
        }
        if is_full {
            capacity = (2 * plain.len()).max(64 * 1024).min(limit + 1);
            if capacity <= plain.len() {
                return Err(TOO_LARGE);
            }
            plain.reserve_exact(capacity - plain.len());
        } else if input.pos() == consumed && plain.len() == start {
            return Err(MALFORMED); // cut off
        }
    }
}

#[cfg(test)]
mod tests;
