//! Which partition a record goes to: with a key the same one as with Kafka's Java clients, else one after another.

use crate::config::{PartitionerClass, ProducerConfig};
use crate::types::PartitionId;

/// The partition of `key` among `count` partitions, as Kafka's default partitioner.
pub fn partition_for_key(key: &[u8], count: u32) -> PartitionId {
    let positive = murmur2(key) & 0x7fff_ffff;
    PartitionId::new(positive % count.max(1))
}

/// MurmurHash2, 32 bits, with Kafka's seed.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut last = [0_u8; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// `abs(String.hashCode)` modulo `count`: where Kafka keeps the state of a group or transactional id.
pub(crate) fn coordinator_partition(id: &str, count: u32) -> PartitionId {
    let hash =
        id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let positive = hash.checked_abs().unwrap_or(0).unsigned_abs();
    PartitionId::new(positive % count.max(1))
}

/// How the records of one topic are spread whose key does not choose their partition.
#[derive(Debug)]
pub(crate) enum Spread {
    /// One partition gets `batch.size` bytes, then another by chance (KIP-794). A producer that flushes often thereby
    /// still fills batches.
    Sticky {
        /// The partition now.
        current: PartitionId,
        /// Bytes of the batches written to it.
        bytes: usize,
        /// `batch.size`.
        bytes_max: usize,
    },
    /// One record each in turn.
    RoundRobin {
        /// The partition of the next record, modulo their count.
        next: u32,
    },
}

impl Spread {
    pub(crate) fn new(config: &ProducerConfig, count: u32, random: &mut fastrand::Rng) -> Self {
        match config.partitioner {
            PartitionerClass::RoundRobin => Self::RoundRobin { next: 0 },
            PartitionerClass::BuiltIn => Self::Sticky {
                current: PartitionId::new(random.u32(..count.max(1))),
                bytes: 0,
                bytes_max: config.batch_size,
            },
        }
    }

    /// The partition of the next record.
    #[inline]
    pub(crate) fn partition(&mut self, count: u32) -> PartitionId {
        match self {
            Self::Sticky { current, .. } => *current,
            Self::RoundRobin { next } => {
                let partition = PartitionId::new(*next % count.max(1));
                *next = next.wrapping_add(1);
                partition
            }
        }
    }

    /// Takes a complete batch into account. `queued` tells how many batches wait for each partition, if any can.
    pub(crate) fn wrote(
        &mut self,
        partition: PartitionId,
        batch_bytes: usize,
        count: u32,
        queued: Option<&[u32]>,
        random: &mut fastrand::Rng,
    ) {
        if let Self::Sticky { current, bytes, bytes_max } = self
            && *current == partition
        {
            *bytes += batch_bytes;
            if *bytes >= *bytes_max {
                *bytes = 0;
                *current = match queued {
                    Some(queued) => by_shortest_queue(queued, random),
                    None => PartitionId::new(random.u32(..count.max(1))),
                };
            }
        }
    }
}

/// A partition by chance, more likely one with a short queue: by the longest queue's length + 1, less its own.
fn by_shortest_queue(queued: &[u32], random: &mut fastrand::Rng) -> PartitionId {
    let longest = u64::from(queued.iter().copied().max().unwrap_or(0)) + 1;
    let weights = queued.iter().map(|length| longest - u64::from(*length));
    let mut point = random.u64(..weights.clone().sum::<u64>().max(1));
    for (partition, weight) in (0..).zip(weights) {
        if point < weight {
            return PartitionId::new(partition);
        }
        point -= weight;
    }
    PartitionId::new(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_without_a_key_stick_until_a_batch_is_full() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut spread = Spread::new(&ProducerConfig::default().batch_size(100), 3, &mut random);
        let mut seen = [0; 3];
        for _ in 0..600 {
            let partition = spread.partition(3);
            spread.wrote(partition, 60, 3, None, &mut random);
            assert_eq!(spread.partition(3), partition);
            spread.wrote(partition, 60, 3, None, &mut random);
            seen[partition.index()] += 1;
        }
        assert!(seen.iter().all(|count| (150..250).contains(count)), "{seen:?}");
    }

    #[test]
    fn short_queues_get_more() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut seen = [0; 3];
        for _ in 0..8000 {
            seen[by_shortest_queue(&[0, 3, 1], &mut random).index()] += 1; // weights 4, 1, 3
        }
        for (count, expected) in seen.into_iter().zip([4000, 1000, 3000]) {
            assert!(i32::abs(count - expected) < 200, "{seen:?}");
        }
    }

    #[test]
    fn round_robin_takes_turns() {
        let config =
            ProducerConfig { partitioner: PartitionerClass::RoundRobin, ..ProducerConfig::default() };
        let mut spread = Spread::new(&config, 3, &mut fastrand::Rng::with_seed(7));
        let turns: Vec<_> = (0..5).map(|_| spread.partition(3).get()).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn murmur2_matches_kafka() {
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
            ("", 275_646_681),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key:?}");
        }
    }

    #[test]
    fn coordinators_are_where_kafka_has_them() {
        assert_eq!(coordinator_partition("my-group", 50).get(), 12);
        assert_eq!(coordinator_partition("tx-1", 50).get(), 20);
    }
}
