use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::error::LogError;
use crate::partition::Origin;
use crate::record::{BatchBuilder, Marker, ProducerStamp, RecordBatch, assign_offset};
use crate::types::{Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

/// A batch of `count` records at `offset`.
fn batch(offset: u64, id: i64, epoch: i16, sequence: i32, count: u64, is_transactional: bool) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for _ in 0..count {
        builder.append(Timestamp::new(offset as i64), None, None, &[]);
    }
    let (id, epoch) = (ProducerId::new(id), ProducerEpoch::new(epoch));
    builder.stamp(ProducerStamp { id, epoch, sequence, is_transactional });
    let mut bytes = builder.finish();
    assign_offset(&mut bytes, Offset::new(offset));
    RecordBatch::parse(bytes.freeze()).unwrap()
}

fn marker(offset: u64, id: i64, epoch: i16, is_commit: bool) -> RecordBatch {
    let (id, epoch) = (ProducerId::new(id), ProducerEpoch::new(epoch));
    let stamp = ProducerStamp { id, epoch, sequence: -1, is_transactional: true };
    let mut bytes = Marker { is_commit, coordinator_epoch: 0 }.encode(stamp, Timestamp::new(offset as i64));
    assign_offset(&mut bytes, Offset::new(offset));
    RecordBatch::parse(bytes.freeze()).unwrap()
}

/// A partition as far as producers see it.
#[derive(Default)]
struct Model {
    states: ProducerStates,
    end: u64,
}

impl Model {
    /// Offers one batch and says what came of it.
    fn offer(&mut self, id: i64, epoch: i16, sequence: i32, count: u64) -> String {
        self.take(batch(self.end, id, epoch, sequence, count, false))
    }

    fn offer_in_transaction(&mut self, id: i64, epoch: i16, sequence: i32, count: u64) -> String {
        self.take(batch(self.end, id, epoch, sequence, count, true))
    }

    fn take(&mut self, batch: RecordBatch) -> String {
        let partition = TopicPartition::new("t", 0);
        match self.states.check(&partition, &batch, Origin::Own) {
            Ok(Verdict::Append) => {
                self.states.update(&batch);
                self.end = batch.next_offset().get();
                format!("at {}", batch.base_offset())
            }
            Ok(Verdict::Duplicate(info)) => {
                format!("duplicate of {}-{}", info.base_offset, info.last_offset)
            }
            Ok(Verdict::Ended) => "ended".to_owned(),
            Err(LogError::OutOfOrderSequence { expected, .. }) => format!("expected {expected}"),
            Err(error) => error.code().name().to_owned(),
        }
    }
}

#[test]
fn a_snapshot_has_kafkas_bytes() {
    let mut states = ProducerStates::default();
    states.insert(
        ProducerId::new(4000),
        ProducerState {
            epoch: ProducerEpoch::new(3),
            window: {
                let mut window = window::Window::EMPTY;
                let timestamp = 1_700_000_000_000;
                window.push(window::Span { last_sequence: 7, last_offset: 42, offset_delta: 0, timestamp });
                window
            },
            timestamp: 1_700_000_000_000,
            coordinator_epoch: 9,
            transaction_start: None,
            activity: Default::default(),
        },
    );
    let bytes = states.encode();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "0001ffa1f0b3000000010000000000000fa0000300000007000000000000002a00000000\
         0000018bcfe5680000000009ffffffffffffffff"
    );
    assert_eq!(ProducerStates::decode(&bytes), Some(states));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert_eq!(ProducerStates::decode(&damaged), None, "byte {at}");
        assert_eq!(ProducerStates::decode(&bytes[..at]), None, "cut at {at}");
    }
}

#[test]
fn the_newest_five_batches_are_known_again() {
    let mut model = Model::default();
    for batch in 0..7 {
        assert_eq!(model.offer(1, 0, batch * 3, 3), format!("at {}", batch * 3));
    }
    for batch in 2..7 {
        let first = batch * 3;
        assert_eq!(model.offer(1, 0, first, 3), format!("duplicate of {first}-{}", first + 2));
    }
    // Older ones are not, nor others that only begin or end alike.
    assert_eq!(model.offer(1, 0, 3, 3), "expected 21");
    assert_eq!(model.offer(1, 0, 18, 2), "expected 21");
    assert_eq!(model.offer(1, 0, 17, 4), "expected 21");
    assert_eq!(model.offer(1, 0, 22, 1), "expected 21");
    assert_eq!(model.offer(1, 0, 21, 1), "at 21");
}

#[test]
fn a_new_epoch_starts_at_zero_and_ends_the_old_one() {
    let mut model = Model::default();
    assert_eq!(model.offer(1, 4, 17, 2), "at 0"); // a producer never heard of starts anywhere
    assert_eq!(model.offer(1, 5, 19, 1), "expected 0");
    assert_eq!(model.offer(1, 5, 0, 1), "at 2");
    assert_eq!(model.offer(1, 4, 19, 1), "INVALID_PRODUCER_EPOCH");
    // What the old epoch wrote is not a duplicate any more.
    assert_eq!(model.offer(1, 4, 17, 2), "INVALID_PRODUCER_EPOCH");
    assert_eq!(model.offer(1, 5, 0, 1), "duplicate of 2-2");
    assert_eq!(model.offer(2, 0, 5, 1), "at 3");
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(wrapping_sequence(i32::MAX, 1), 0);
    assert_eq!(wrapping_sequence(i32::MAX - 1, 1), i32::MAX);
    let mut model = Model::default();
    assert_eq!(model.offer(1, 0, i32::MAX - 1, 2), "at 0");
    assert_eq!(model.offer(1, 0, 1, 1), "expected 0");
    assert_eq!(model.offer(1, 0, 0, 1), "at 2");
    let mut model = Model::default();
    assert_eq!(model.offer(1, 0, i32::MAX - 1, 4), "at 0"); // in the middle of a batch
    assert_eq!(model.offer(1, 0, 2, 1), "at 4");
    assert_eq!(model.offer(1, 0, i32::MAX - 1, 4), "duplicate of 0-3");
}

#[test]
fn a_transaction_takes_only_batches_of_its_own() {
    let mut model = Model::default();
    assert_eq!(model.offer_in_transaction(1, 0, 0, 1), "at 0");
    assert_eq!(model.offer(1, 0, 1, 1), "INVALID_TXN_STATE");
    assert_eq!(model.offer_in_transaction(1, 1, 0, 1), "INVALID_TXN_STATE"); // nobody ended the first
    assert_eq!(model.states.first_unstable(), Some(Offset::new(0)));
    let end = model.end;
    let aborted = model.states.update(&marker(end, 1, 1, false)).unwrap();
    assert_eq!((aborted.first_offset.get(), aborted.last_offset.get()), (0, 1));
    assert_eq!(aborted.last_stable_offset.get(), 2);
    model.end = 2;
    assert_eq!(model.states.first_unstable(), None);
    // The marker fenced the epoch that wrote, and the next one starts anew.
    assert_eq!(model.offer_in_transaction(1, 0, 1, 1), "INVALID_PRODUCER_EPOCH");
    assert_eq!(model.offer_in_transaction(1, 1, 1, 1), "expected 0");
    assert_eq!(model.offer_in_transaction(1, 1, 0, 1), "at 2");
}

#[test]
fn a_bumped_marker_ends_only_what_was_there_before_it() {
    let partition = TopicPartition::new("t", 0);
    let mut model = Model::default();
    model.offer_in_transaction(1, 0, 0, 1);
    let check = |model: &Model, epoch, origin| {
        model.states.check(&partition, &marker(model.end, 1, epoch, true), origin)
    };
    assert_eq!(check(&model, 0, Origin::BumpedMarker).unwrap(), Verdict::Ended);
    assert_eq!(check(&model, 1, Origin::BumpedMarker).unwrap(), Verdict::Append);
    assert_eq!(check(&model, 0, Origin::Marker).unwrap(), Verdict::Append);
    model.states.update(&marker(1, 1, 1, true));
    model.end = 2;
    model.offer_in_transaction(1, 1, 0, 1);
    assert_eq!(check(&model, 1, Origin::BumpedMarker).unwrap(), Verdict::Ended);
    assert!(matches!(check(&model, 0, Origin::Marker), Err(LogError::InvalidProducerEpoch { .. })));
    assert_eq!(model.states.first_unstable(), Some(Offset::new(2)));
}

#[test]
fn idle_producers_are_forgotten_but_not_open_transactions() {
    let hour = Duration::from_secs(3600);
    let mut model = Model::default();
    model.offer(1, 0, 0, 1);
    model.offer_in_transaction(2, 0, 0, 1);
    let start = Timestamp::new(1_700_000_000_000);
    // The batches' own times are of long ago, which does not make the producers idle.
    assert_eq!(model.states.expire(start, hour), 0);
    assert_eq!(model.states.expire(start + hour / 2, hour), 0);
    assert_eq!(model.offer(1, 0, 0, 1), "duplicate of 0-0");
    assert_eq!(model.states.expire(start + hour, hour), 1);
    assert_eq!(model.offer(1, 0, 7, 1), "at 2");
    assert!(model.states.get(ProducerId::new(2)).is_some());
    // After a restart only the batches' times are known.
    let mut restarted = ProducerStates::decode(&model.states.encode()).unwrap();
    assert_eq!(restarted.expire(start, hour), 1);
    assert!(restarted.get(ProducerId::new(2)).is_some());
}

/// One step of a producer.
#[derive(Clone, Debug)]
enum Step {
    Write { id: i64, count: u64, is_transactional: bool },
    Repeat { id: i64 },
    End { id: i64, is_commit: bool, is_bumped: bool },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_i64, 1..4_u64, any::<bool>())
            .prop_map(|(id, count, is_transactional)| Step::Write { id, count, is_transactional }),
        1 => (0..3_i64).prop_map(|id| Step::Repeat { id }),
        2 => (0..3_i64, any::<bool>(), any::<bool>())
            .prop_map(|(id, is_commit, is_bumped)| Step::End { id, is_commit, is_bumped }),
    ]
}

proptest! {
    /// Steps of several producers, restarted from a snapshot at any of them: the state is the same, and so are the
    /// aborted transactions.
    #[test]
    fn replay_is_snapshot_and_replay(steps in prop::collection::vec(any_step(), 0..40), cut in 0..40_usize) {
        let mut model = Model::default();
        let mut stored: Vec<RecordBatch> = Vec::new();
        let mut next = [(0_i16, 0_i32); 3];
        let mut last = [(0_i32, 1_u64); 3];
        for step in &steps {
            match step {
                Step::Write { id, count, is_transactional } => {
                    let at = *id as usize;
                    let (epoch, sequence) = next[at];
                    let is_open = model.states.get(ProducerId::new(*id)).is_some_and(|it| it.transaction_start.is_some());
                    let batch = batch(model.end, *id, epoch, sequence, *count, *is_transactional || is_open);
                    prop_assert_eq!(model.take(batch.clone()), format!("at {}", batch.base_offset()));
                    stored.push(batch);
                    last[at] = (sequence, *count);
                    next[at].1 += *count as i32;
                }
                Step::Repeat { id } => {
                    let (sequence, count) = last[*id as usize];
                    if next[*id as usize].1 > 0 {
                        let answer = model.offer(*id, next[*id as usize].0, sequence, count);
                        prop_assert!(answer.starts_with("duplicate"), "{}", answer);
                    }
                }
                Step::End { id, is_commit, is_bumped } => {
                    let at = *id as usize;
                    if *is_bumped {
                        next[at] = (next[at].0 + 1, 0);
                    }
                    let marker = marker(model.end, *id, next[at].0, *is_commit);
                    model.states.update(&marker);
                    model.end += 1;
                    stored.push(marker);
                }
            }
        }
        let replay = |states: &mut ProducerStates, batches: &[RecordBatch]| -> Vec<_> {
            batches.iter().filter_map(|batch| states.update(batch)).collect()
        };
        let mut whole = ProducerStates::default();
        let aborted = replay(&mut whole, &stored);
        let cut = cut.min(stored.len());
        let mut first = ProducerStates::default();
        let mut aborted_in_two = replay(&mut first, &stored[..cut]);
        let mut second = ProducerStates::decode(&first.encode()).unwrap();
        aborted_in_two.extend(replay(&mut second, &stored[cut..]));
        prop_assert_eq!(whole.encode(), second.encode());
        prop_assert_eq!(whole.encode(), model.states.encode());
        prop_assert_eq!(whole.first_unstable(), second.first_unstable());
        prop_assert_eq!(aborted, aborted_in_two);
    }
}
