//! SipHash-2-4 with 128 bits of output, by which the offset map knows keys.
//!
//! Two keys with one hash would lose the newest value of one of them, and the map does not keep the keys to tell them
//! apart. Among the 5 million keys of a round the odds of any such pair are below 1 in 10^25, and since the hash is
//! keyed anew for each round, a writer cannot choose keys that collide. Kafka uses MD5, which has neither property.

/// A keyed hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHasher {
    key: [u64; 2],
}

impl KeyHasher {
    pub(super) fn new(key: [u64; 2]) -> Self {
        Self { key }
    }

    /// The 128 bits of `bytes`, low half first.
    #[inline]
    pub(super) fn hash(self, bytes: &[u8]) -> [u64; 2] {
        let [k0, k1] = self.key;
        let mut state = State {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        };
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state.absorb(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        last[7] = bytes.len() as u8;
        state.absorb(u64::from_le_bytes(last));

        state.v2 ^= 0xee;
        let low = state.squeeze();
        state.v1 ^= 0xdd;
        [low, state.squeeze()]
    }
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline]
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    #[inline]
    fn squeeze(&mut self) -> u64 {
        (0..4).for_each(|_| self.round());
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_reference() {
        // The first vectors of the reference implementation, for the key 00 01 .. 0f and the inputs "", 00, 00 01.
        let key: [u8; 16] = std::array::from_fn(|at| at as u8);
        let (halves, _) = key.as_chunks::<8>();
        let hasher = KeyHasher::new([u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])]);
        for (length, expected) in [
            (0, "a3817f04ba25a8e66df67214c7550293"),
            (1, "da87c1d86b99af44347659119b22fc45"),
            (2, "8177228da4a45dc7fca38bdef60affe4"),
        ] {
            let input: Vec<u8> = (0..length).collect();
            let hash = hasher.hash(&input).map(u64::to_le_bytes).concat();
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected, "{length} bytes");
        }
    }
}
