//! What a run does to the log, made up front: settings, a list of operations and a list of crashes.

use fastrand::Rng;

use super::crash::CrashMode;
use super::disk::Faults;
use super::topic_settings::Setting;
use crate::types::Acks;

/// One thing done to the log. Numbers that are too large for the settings wrap around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Creates a topic unless it is there.
    CreateTopic {
        /// Number of the topic.
        topic: u8,
    },
    /// Deletes a topic.
    DeleteTopic {
        /// Number of the topic.
        topic: u8,
    },
    /// Sends records to one partition through a plain producer and flushes it.
    Append {
        /// Number of the producer.
        producer: u8,
        /// Number of the topic.
        topic: u8,
        /// Number of the partition.
        partition: u8,
        /// What it waits for.
        acks: Acks,
        /// How many records.
        records: u8,
        /// Bytes of each value.
        bytes: u16,
        /// Key of the first record; the others count on.
        key: u8,
    },
    /// Appends a batch that was built outside.
    AppendBatch {
        /// Number of the topic.
        topic: u8,
        /// Number of the partition.
        partition: u8,
        /// What it waits for.
        acks: Acks,
        /// How many records.
        records: u8,
        /// Bytes of each value; a multiple of 8 makes it a tombstone.
        bytes: u16,
        /// Key of the first record; the others count on.
        key: u8,
    },
    /// Sends records in a transaction, which it begins if none is open.
    AppendTransactional {
        /// Number of the producer.
        producer: u8,
        /// Number of the topic.
        topic: u8,
        /// Number of the partition.
        partition: u8,
        /// How many records.
        records: u8,
        /// Bytes of each value.
        bytes: u16,
        /// Key of the first record; the others count on.
        key: u8,
        /// Whether they are flushed at once, or with the commit.
        flush: bool,
    },
    /// Adds a group's offset to a transaction, which it begins if none is open.
    SendOffsets {
        /// Number of the producer.
        producer: u8,
        /// Number of the topic.
        topic: u8,
        /// Number of the partition.
        partition: u8,
    },
    /// Commits the open transaction.
    Commit {
        /// Number of the producer.
        producer: u8,
    },
    /// Aborts the open transaction.
    Abort {
        /// Number of the producer.
        producer: u8,
    },
    /// Replaces a transactional producer by a new one of the same id, without closing it.
    Fence {
        /// Number of the producer.
        producer: u8,
    },
    /// Commits a group's offset at the end of a partition.
    CommitOffsets {
        /// Number of the topic.
        topic: u8,
        /// Number of the partition.
        partition: u8,
    },
    /// Lets so much time pass that the record it then appends starts a segment.
    Roll {
        /// Number of the topic.
        topic: u8,
        /// Number of the partition.
        partition: u8,
    },
    /// Appends a batch of an idempotent producer, and sends the same one again.
    Resend {
        /// Number of the topic.
        topic: u8,
        /// Number of the partition.
        partition: u8,
        /// What it waits for.
        acks: Acks,
        /// How many records.
        records: u8,
    },
    /// Deletes the records below a point of the partition.
    DeleteRecords {
        /// Number of the topic.
        topic: u8,
        /// Number of the partition.
        partition: u8,
        /// How much of it goes, of 255.
        share: u8,
    },
    /// Compacts what there is to compact.
    Compact,
    /// Does what is due by the clock: retention, timeouts, checkpoints.
    Maintain,
    /// Moves the clock forward.
    Advance {
        /// Seconds.
        seconds: u32,
    },
    /// Sets the wall clock back.
    SetBack {
        /// Seconds.
        seconds: u32,
    },
    /// Limits the space on the disk to what is used now and so many bytes more.
    LimitSpace {
        /// Bytes.
        bytes: u16,
    },
    /// Lifts that limit.
    FreeSpace,
    /// Closes the log and opens it again.
    Restart,
    /// Lets a member of the group poll; it joins if it is none.
    Poll {
        /// Number of the member.
        member: u8,
    },
    /// Lets a member of the group commit its positions.
    CommitPositions {
        /// Number of the member.
        member: u8,
    },
    /// Lets a member leave.
    Leave {
        /// Number of the member.
        member: u8,
    },
    /// Changes a setting of a topic.
    AlterConfig {
        /// Number of the topic.
        topic: u8,
        /// What is changed.
        setting: Setting,
    },
}

/// A crash on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// After which operation of the disk since the last start, recovery included.
    pub after: u64,
    /// What survives.
    pub mode: CrashMode,
}

/// What a run is made with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Seed of the chances within the run.
    pub seed: u64,
    /// Number of topics, the last of them compacted if there is more than one.
    pub topics: u8,
    /// Partitions of each.
    pub partitions: u8,
    /// Plain producers, and as many transactional ones.
    pub producers: u8,
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `retention.bytes`, if there is a limit.
    pub retention_bytes: Option<u64>,
    /// Whether there is a compacted topic.
    pub is_compacting: bool,
    /// Members of the group.
    pub members: u8,
    /// Whether a bit flips once all is done.
    pub rots: bool,
    /// What the disk does wrong.
    pub faults: Faults,
}

/// A whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it is made with.
    pub settings: Settings,
    /// What is done.
    pub operations: Vec<Operation>,
    /// When the machine stops.
    pub crashes: Vec<Crash>,
}

impl Settings {
    /// Small and calm: what the exhaustive runs start from.
    pub fn plain(seed: u64) -> Self {
        Self {
            seed,
            topics: 1,
            partitions: 2,
            producers: 1,
            segment_bytes: 4096,
            retention_bytes: None,
            is_compacting: false,
            members: 0,
            rots: false,
            faults: Faults::default(),
        }
    }
}

impl Scenario {
    /// A run drawn from a seed, with crashes of these modes: some are long and calm, some short and violent.
    pub fn draw(seed: u64, modes: &[CrashMode]) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut settings = draw_settings(seed, &mut rng);
        let count = 1 << rng.u32(3..8);
        let shape = Shape::draw(&mut rng);
        let operations = (0..count).map(|_| shape.operation(&settings, &mut rng)).collect();
        // What came later has a stream of its own, so that the rest of a run is as it was.
        let mut rng = Rng::with_seed(seed ^ 0x61_6464_6564);
        (settings.members, settings.rots) = (rng.u8(1..=4), rng.u8(..4) == 0);
        settings.faults.stale_read = if rng.u8(..6) == 0 { rng.f64() } else { 0.0 };
        let operations = Added::draw(&mut rng).mix_in(operations, &settings, &mut rng);
        // Faults have their own stream, so that the same work can be looked at under other ones.
        let mut rng = Rng::with_seed(seed ^ 0x6661_756c_7473);
        let crashes = (0..rng.u32(0..5))
            .map(|_| {
                let range = 1_u64 << rng.u32(3..11);
                let mode = modes.get(rng.usize(..modes.len().max(1))).copied();
                Crash { after: rng.u64(1..=range), mode: mode.unwrap_or(CrashMode::KeepAll) }
            })
            .collect();
        Self { settings, operations, crashes }
    }
}

fn draw_settings(seed: u64, rng: &mut Rng) -> Settings {
    let mut rate = |chance: f64, most: f64| if rng.f64() < chance { rng.f64() * most } else { 0.0 };
    let faults = Faults {
        write_error: rate(0.15, 0.02),
        sync_error: rate(0.15, 0.05),
        read_error: rate(0.1, 0.01),
        name_error: rate(0.1, 0.02),
        stale_read: 0.0,
        capacity: None,
    };
    Settings {
        seed,
        topics: rng.u8(1..=3),
        partitions: rng.u8(1..=4),
        producers: rng.u8(1..=4),
        segment_bytes: 1 << rng.u32(10..17),
        retention_bytes: rng.bool().then(|| 1 << rng.u32(11..16)),
        is_compacting: rng.bool(),
        members: 0,
        rots: false,
        faults,
    }
}

/// How often each operation comes in one run.
struct Shape {
    weights: [u32; KINDS],
    acks: [Acks; 4],
    bytes: u16,
    keys: u8,
}

const KINDS: usize = 20;

impl Shape {
    fn draw(rng: &mut Rng) -> Self {
        let usual = [2, 1, 30, 10, 20, 4, 12, 6, 2, 5, 4, 6, 3, 2, 1, 1, 3, 4, 2, 6];
        let weights = usual.map(|weight| weight * rng.u32(0..3));
        let acks = std::array::from_fn(|_| match rng.u8(0..4) {
            0 => Acks::None,
            1 => Acks::Written,
            _ => Acks::Synced,
        });
        Self { weights, acks, bytes: 1 << rng.u32(3..11), keys: rng.u8(1..=20) }
    }

    fn operation(&self, settings: &Settings, rng: &mut Rng) -> Operation {
        let topic = rng.u8(..settings.topics);
        let partition = rng.u8(..settings.partitions);
        let producer = rng.u8(..settings.producers);
        let records = 1 << rng.u8(0..4);
        let bytes = rng.u16(0..self.bytes);
        let key = rng.u8(..self.keys);
        let acks = self.acks[rng.usize(..self.acks.len())];
        let seconds = 1 << rng.u32(0..16);
        let total: u32 = self.weights.iter().sum();
        let mut left = rng.u32(..total.max(1));
        let kind = self.weights.iter().position(|weight| match left < *weight {
            true => true,
            false => {
                left -= weight;
                false
            }
        });
        match kind.unwrap_or(2) {
            0 => Operation::CreateTopic { topic },
            1 => Operation::DeleteTopic { topic },
            2 => Operation::Append { producer, topic, partition, acks, records, bytes, key },
            3 => Operation::AppendBatch { topic, partition, acks, records, bytes, key },
            4 => {
                let flush = rng.bool();
                Operation::AppendTransactional { producer, topic, partition, records, bytes, key, flush }
            }
            5 => Operation::SendOffsets { producer, topic, partition },
            6 => Operation::Commit { producer },
            7 => Operation::Abort { producer },
            8 => Operation::Fence { producer },
            9 => Operation::CommitOffsets { topic, partition },
            10 => Operation::Roll { topic, partition },
            11 => Operation::Maintain,
            12 => Operation::Advance { seconds },
            13 => Operation::SetBack { seconds },
            14 => Operation::LimitSpace { bytes: rng.u16(..8192) },
            15 => Operation::FreeSpace,
            17 => Operation::Resend { topic, partition, acks, records },
            18 => Operation::DeleteRecords { topic, partition, share: rng.u8(..) },
            19 => Operation::Compact,
            _ => Operation::Restart,
        }
    }
}

/// How often members and changes of settings come in one run.
struct Added {
    /// How many of them there are to the other operations.
    share: f64,
    weights: [u32; 4],
}

impl Added {
    fn draw(rng: &mut Rng) -> Self {
        let share = if rng.bool() { rng.f64() * 2.0 } else { 0.0 };
        Self { share, weights: [30, 6, 1, 3].map(|weight| weight * rng.u32(0..3)) }
    }

    fn mix_in(&self, operations: Vec<Operation>, settings: &Settings, rng: &mut Rng) -> Vec<Operation> {
        let mut mixed = Vec::with_capacity(operations.len());
        for operation in operations {
            mixed.push(operation);
            for more in [0.0, 1.0] {
                if rng.f64() + more < self.share {
                    mixed.extend(self.operation(settings, rng));
                }
            }
        }
        mixed
    }

    fn operation(&self, settings: &Settings, rng: &mut Rng) -> Option<Operation> {
        let total = self.weights.iter().sum::<u32>();
        let mut left = if total > 0 { rng.u32(..total) } else { return None };
        let member = rng.u8(..settings.members);
        for (kind, weight) in self.weights.into_iter().enumerate() {
            if left < weight {
                return Some(match kind {
                    0 => Operation::Poll { member },
                    1 => Operation::CommitPositions { member },
                    2 => Operation::Leave { member },
                    _ => {
                        let setting = match rng.u8(..5) {
                            0 => Setting::SegmentBytes(1 << rng.u32(10..17)),
                            1 => Setting::RetentionBytes(rng.bool().then(|| 1 << rng.u32(11..16))),
                            2 => Setting::RetentionSeconds(1 << rng.u32(4..18)),
                            3 => Setting::Compacting { deletes: rng.bool() },
                            _ => Setting::Deleting,
                        };
                        Operation::AlterConfig { topic: rng.u8(..settings.topics), setting }
                    }
                });
            }
            left -= weight;
        }
        None
    }
}
