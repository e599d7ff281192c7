//! The 128-bit murmur3 hash for 64-bit machines, by which a foreign-key join knows a value again.

/// Kafka's seed.
const SEED: u64 = 104_729;
const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// A hash in Kafka's layout: both halves big endian.
pub(crate) type Hash = [u8; 16];

/// The hash of some bytes.
pub(crate) fn murmur3(bytes: &[u8]) -> Hash {
    hash_with(bytes, SEED)
}

fn hash_with(bytes: &[u8], seed: u64) -> Hash {
    let (mut h1, mut h2) = (seed, seed);
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let (k1, k2) = halves(block);
        h1 ^= mix_first(k1);
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix_second(k2);
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let mut last = [0; 16];
    last[..tail.len()].copy_from_slice(tail);
    let (k1, k2) = halves(&last);
    // Absent bytes are zeros, whose mix is zero.
    h2 ^= mix_second(k2);
    h1 ^= mix_first(k1);
    let length = bytes.len() as u64;
    (h1, h2) = (h1 ^ length, h2 ^ length);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2) = (finish(h1), finish(h2));
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&h1.to_be_bytes());
    hash[8..].copy_from_slice(&h2.to_be_bytes());
    hash
}

fn halves(block: &[u8; 16]) -> (u64, u64) {
    let block = u128::from_le_bytes(*block);
    (block as u64, (block >> 64) as u64)
}

fn mix_first(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mix_second(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn finish(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        for (text, expected) in [
            ("", 0),
            ("hello", 0xcbd8_a7b3_41bd_9b02_5b1e_906a_48ae_1d19_u128),
            ("The quick brown fox jumps over the lazy dog", 0xe34b_bc7b_bc07_1b6c_7a43_3ca9_c49a_9347),
        ] {
            assert_eq!(u128::from_be_bytes(hash_with(text.as_bytes(), 0)), expected, "{text:?}");
        }
        assert_ne!(murmur3(b"hello"), hash_with(b"hello", 0));
    }
}
