use std::collections::BTreeSet;
use std::time::Duration;

use super::record::{self, Recorded};
use super::request::{ProducerIdentity, TransactionResult, TransactionVersion};
use super::state::{Input, Step, Sync, Then, Transaction, TransactionState};
use crate::error::{LogError, Result};
use crate::group::Now;
use crate::record::{BatchBuilder, RecordBatch};
use crate::types::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};

const MINUTE: Duration = Duration::from_secs(60);

fn producer(id: i64, epoch: i16) -> ProducerIdentity {
    ProducerIdentity::new(ProducerId::new(id), ProducerEpoch::new(epoch))
}

fn at(millis: i64) -> Now {
    Now { wall: Timestamp::new(millis), monotonic: Duration::from_millis(millis.unsigned_abs()) }
}

/// A transactional id that is driven step by step. Producer ids are handed out from 100 on.
struct Driver {
    transaction: Transaction,
    now: i64,
    next_id: i64,
    /// Whether each record written so far had to be synced, newest last.
    synced: Vec<bool>,
    is_reread: bool,
}

impl Driver {
    fn new() -> Self {
        let transaction = Transaction::new("tx".into(), ProducerId::new(7), MINUTE, Timestamp::new(0));
        Self { transaction, now: 0, next_id: 100, synced: Vec::new(), is_reread: true }
    }

    fn at(epoch: i16) -> Self {
        let mut driver = Self::new();
        driver.transaction.producer.epoch = ProducerEpoch::new(epoch);
        driver
    }

    /// One step, without the markers.
    fn step(&mut self, input: Input<'_>) -> Result<(ProducerIdentity, Then)> {
        self.now += 1;
        let mut next_id = self.next_id;
        let mut new_id = || {
            next_id += 1;
            Ok(ProducerId::new(next_id - 1))
        };
        let step = self.transaction.step(at(self.now), input, &mut new_id)?;
        self.next_id = next_id;
        match step {
            Step::Answer(producer) => Ok((producer, Then::Answer)),
            Step::Write { next, sync, then } => {
                if self.is_reread {
                    // What was written is all that a restart would know.
                    let mut reread = reread(&next);
                    reread.last_epoch = next.last_epoch;
                    reread.begun = next.begun;
                    assert_eq!(reread, *next);
                }
                self.transaction = *next;
                self.synced.push(sync == Sync::Needed);
                Ok((self.transaction.producer, then))
            }
        }
    }

    /// A step and the markers that it leads to.
    fn run(&mut self, input: Input<'_>) -> Result<ProducerIdentity> {
        let (producer, then) = self.step(input)?;
        if !self.transaction.state.is_prepared() {
            return Ok(producer);
        }
        self.step(Input::MarkersWritten)?;
        match (then, input) {
            (Then::InitAgain, Input::Init { timeout, .. }) => {
                self.run(Input::Init { timeout, current: None })
            }
            _ => Ok(self.transaction.producer),
        }
    }

    fn init(&mut self, current: Option<ProducerIdentity>) -> Result<ProducerIdentity> {
        self.run(Input::Init { timeout: MINUTE, current })
    }

    fn add(&mut self, producer: ProducerIdentity, partition: u32) -> Result<ProducerIdentity> {
        self.run(Input::Add { producer, partitions: &[TopicPartition::new("t", partition)] })
    }

    fn end(&mut self, producer: ProducerIdentity, result: TransactionResult) -> Result<ProducerIdentity> {
        self.run(Input::End { producer, result, version: TransactionVersion::Bumped })
    }

    fn end_classic(
        &mut self,
        producer: ProducerIdentity,
        result: TransactionResult,
    ) -> Result<ProducerIdentity> {
        self.run(Input::End { producer, result, version: TransactionVersion::Classic })
    }

    fn state(&self) -> TransactionState {
        self.transaction.state
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T>) -> &'static str {
    outcome.unwrap_err().code().name()
}

fn reread(transaction: &Transaction) -> Transaction {
    match record_of(&record::encode_key(&transaction.id), Some(&transaction.encode_value())) {
        Some(Recorded::Is(transaction)) => transaction,
        other => panic!("{other:?}"),
    }
}

fn record_of(key: &[u8], value: Option<&[u8]>) -> Option<Recorded> {
    let mut builder = BatchBuilder::new();
    builder.append(Timestamp::new(0), Some(key), value, &[]);
    let batch = RecordBatch::parse(builder.finish().freeze()).unwrap();
    let view = batch.records().next().unwrap().unwrap();
    record::decode(&view)
}

use TransactionResult::{Abort, Commit};

#[test]
fn every_end_raises_the_epoch() {
    let mut tx = Driver::new();
    assert_eq!(tx.add(producer(7, 0), 0).unwrap(), producer(7, 0));
    assert_eq!(tx.state(), TransactionState::Ongoing);
    assert_eq!(tx.end(producer(7, 0), Commit).unwrap(), producer(7, 1));
    assert_eq!((tx.state(), tx.transaction.partitions.len()), (TransactionState::CompleteCommit, 0));
    // Of Ongoing, PrepareCommit and CompleteCommit, the decision alone is synced.
    assert_eq!(tx.synced, [false, true, false]);

    // Late requests of the first transaction.
    assert_eq!(code(tx.add(producer(7, 0), 1)), "PRODUCER_FENCED");
    tx.add(producer(7, 1), 1).unwrap();
    assert_eq!(code(tx.end(producer(7, 0), Commit)), "PRODUCER_FENCED");
    assert_eq!(code(tx.end(producer(7, 0), Abort)), "PRODUCER_FENCED");
    assert_eq!(tx.end(producer(7, 1), Abort).unwrap(), producer(7, 2));
    assert_eq!(tx.state(), TransactionState::CompleteAbort);
    assert_eq!(tx.synced[3..], [false, false, false]);
    assert_eq!(code(tx.add(producer(8, 2), 1)), "INVALID_PRODUCER_ID_MAPPING");
}

#[test]
fn an_end_that_is_sent_again_is_answered_alike() {
    let mut tx = Driver::new();
    tx.add(producer(7, 0), 0).unwrap();
    tx.end(producer(7, 0), Commit).unwrap();
    assert_eq!(tx.end(producer(7, 0), Commit).unwrap(), producer(7, 1));
    assert_eq!(code(tx.end(producer(7, 0), Abort)), "INVALID_TXN_STATE");
    // A commit of nothing is none, an abort of nothing is one.
    assert_eq!(code(tx.end(producer(7, 1), Commit)), "INVALID_TXN_STATE");
    assert_eq!(tx.end(producer(7, 1), Abort).unwrap(), producer(7, 2));
    assert_eq!(tx.end(producer(7, 1), Abort).unwrap(), producer(7, 2));
    assert_eq!(code(tx.end(producer(7, 1), Commit)), "INVALID_TXN_STATE");
    assert_eq!(code(tx.end(producer(7, 0), Commit)), "PRODUCER_FENCED");
}

#[test]
fn while_markers_are_missing_others_wait() {
    for (result, other) in [(Commit, Abort), (Abort, Commit)] {
        let mut tx = Driver::new();
        tx.add(producer(7, 0), 0).unwrap();
        let version = TransactionVersion::Bumped;
        tx.step(Input::End { producer: producer(7, 0), result, version }).unwrap();
        assert!(tx.state().is_prepared());
        assert_eq!(code(tx.end(producer(7, 0), result)), "CONCURRENT_TRANSACTIONS");
        assert_eq!(code(tx.end(producer(7, 0), other)), "INVALID_TXN_STATE");
        assert_eq!(code(tx.add(producer(7, 1), 0)), "CONCURRENT_TRANSACTIONS");
        assert_eq!(code(tx.init(None)), "CONCURRENT_TRANSACTIONS");
        tx.step(Input::MarkersWritten).unwrap();
        assert_eq!(tx.end(producer(7, 0), result).unwrap(), producer(7, 1));
    }
}

#[test]
fn classic_clients_keep_their_epoch_and_pay_for_it() {
    let mut tx = Driver::new();
    tx.add(producer(7, 0), 0).unwrap();
    assert_eq!(tx.end_classic(producer(7, 0), Commit).unwrap(), producer(7, 0));
    // Completion is synced too: else markers under this very epoch could end the next transaction after a crash.
    assert_eq!(tx.synced, [false, true, true]);
    assert_eq!(tx.end_classic(producer(7, 0), Commit).unwrap(), producer(7, 0));
    assert_eq!(code(tx.end_classic(producer(7, 0), Abort)), "INVALID_TXN_STATE");
    let mut empty = Driver::new();
    assert_eq!(code(empty.end_classic(producer(7, 0), Commit)), "INVALID_TXN_STATE");
    assert_eq!(code(empty.end_classic(producer(7, 0), Abort)), "INVALID_TXN_STATE");
}

#[test]
fn a_new_producer_aborts_and_fences_the_old_one() {
    let mut tx = Driver::new();
    tx.add(producer(7, 0), 0).unwrap();
    assert_eq!(tx.init(None).unwrap(), producer(7, 2)); // 1 is the markers'
    assert_eq!((tx.state(), tx.transaction.partitions.len()), (TransactionState::Empty, 0));
    assert_eq!(tx.synced.last(), Some(&true));
    for epoch in [0, 1] {
        assert_eq!(code(tx.add(producer(7, epoch), 0)), "PRODUCER_FENCED");
        assert_eq!(code(tx.end(producer(7, epoch), Commit)), "PRODUCER_FENCED");
        assert_eq!(code(tx.end(producer(7, epoch), Abort)), "PRODUCER_FENCED");
        assert_eq!(code(tx.init(Some(producer(7, epoch)))), "PRODUCER_FENCED");
    }
}

#[test]
fn a_producer_that_knows_its_epoch_gets_the_next_once() {
    let mut tx = Driver::new();
    assert_eq!(tx.init(Some(producer(7, 0))).unwrap(), producer(7, 1));
    assert_eq!(tx.init(Some(producer(7, 0))).unwrap(), producer(7, 1)); // its answer was lost
    assert_eq!(tx.init(Some(producer(7, 1))).unwrap(), producer(7, 2));
    assert_eq!(code(tx.init(Some(producer(7, 0)))), "PRODUCER_FENCED");
    assert_eq!(code(tx.init(Some(producer(8, 2)))), "PRODUCER_FENCED");
    // In the middle of a transaction that it gives up.
    tx.add(producer(7, 2), 0).unwrap();
    assert_eq!(tx.init(Some(producer(7, 2))).unwrap(), producer(7, 4));
    // With another one in between, it is too late.
    assert_eq!(tx.init(None).unwrap(), producer(7, 5));
    assert_eq!(code(tx.init(Some(producer(7, 4)))), "PRODUCER_FENCED");
}

#[test]
fn a_timed_out_transaction_fences_its_producer() {
    let mut tx = Driver::new();
    tx.add(producer(7, 0), 0).unwrap();
    let begun = tx.transaction.start.get();
    assert!(!tx.transaction.is_timed_out(at(begun + 60_000)));
    assert!(tx.transaction.is_timed_out(at(begun + 60_001)));
    // The wall clock may jump.
    let jumped = Now { wall: Timestamp::new(i64::MAX), ..at(begun) };
    assert!(!tx.transaction.is_timed_out(jumped));
    tx.run(Input::Fence).unwrap();
    assert_eq!((tx.state(), tx.transaction.producer), (TransactionState::CompleteAbort, producer(7, 1)));
    // Even an abort, which would be answered if the producer itself had aborted.
    assert_eq!(code(tx.end(producer(7, 0), Abort)), "PRODUCER_FENCED");
    assert_eq!(code(tx.end(producer(7, 0), Commit)), "PRODUCER_FENCED");
    assert_eq!(code(tx.add(producer(7, 0), 0)), "PRODUCER_FENCED");
}

#[test]
fn used_up_epochs_lead_to_a_new_producer_id() {
    // By the end of a transaction: the markers carry 32767, which nobody is ever given.
    let mut tx = Driver::at(32_766);
    tx.add(producer(7, 32_766), 0).unwrap();
    let version = TransactionVersion::Bumped;
    tx.step(Input::End { producer: producer(7, 32_766), result: Commit, version }).unwrap();
    assert_eq!(tx.transaction.producer, producer(7, 32_767));
    assert_eq!(tx.transaction.next_producer_id, Some(ProducerId::new(100)));
    tx.step(Input::MarkersWritten).unwrap();
    assert_eq!(tx.transaction.producer, producer(100, 0));
    assert_eq!(tx.end(producer(7, 32_766), Commit).unwrap(), producer(100, 0));
    assert_eq!(code(tx.end(producer(7, 32_765), Commit)), "PRODUCER_FENCED");
    tx.add(producer(100, 0), 0).unwrap();
    assert_eq!(code(tx.end(producer(7, 32_766), Commit)), "PRODUCER_FENCED");

    // By a start, asked once or twice.
    let mut tx = Driver::at(32_766);
    assert_eq!(tx.init(Some(producer(7, 32_766))).unwrap(), producer(100, 0));
    assert_eq!(tx.init(Some(producer(7, 32_766))).unwrap(), producer(100, 0));
    assert_eq!(code(tx.add(producer(7, 32_766), 0)), "PRODUCER_FENCED");

    // By a start that aborts.
    let mut tx = Driver::at(32_766);
    tx.add(producer(7, 32_766), 0).unwrap();
    assert_eq!(tx.init(None).unwrap(), producer(100, 1));
}

#[test]
fn only_open_partitions_verify() {
    let mut tx = Driver::new();
    let (in_it, not_in_it) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
    assert_eq!(code(tx.transaction.verify(producer(7, 0), &in_it)), "TRANSACTION_ABORTABLE");
    tx.add(producer(7, 0), 0).unwrap();
    tx.transaction.verify(producer(7, 0), &in_it).unwrap();
    assert_eq!(code(tx.transaction.verify(producer(7, 0), &not_in_it)), "TRANSACTION_ABORTABLE");
    assert_eq!(code(tx.transaction.verify(producer(7, 1), &in_it)), "PRODUCER_FENCED");
    tx.end(producer(7, 0), Commit).unwrap();
    assert_eq!(code(tx.transaction.verify(producer(7, 1), &in_it)), "TRANSACTION_ABORTABLE");
}

#[test]
fn only_idle_ids_expire() {
    let mut tx = Driver::new();
    let late = Timestamp::new(100) + MINUTE;
    assert!(tx.transaction.is_expired(late, MINUTE));
    tx.add(producer(7, 0), 0).unwrap();
    assert!(!tx.transaction.is_expired(late, MINUTE));
    tx.end(producer(7, 0), Commit).unwrap();
    assert!(tx.transaction.is_expired(late, MINUTE));
    tx.transaction.state = TransactionState::Dead;
    assert!(!tx.transaction.is_expired(late, MINUTE));
    assert_eq!(code(tx.add(producer(7, 1), 0)), "INVALID_PRODUCER_ID_MAPPING");
}

/// Small steps in all orders: at most one of two producers can commit what was added under one epoch, epochs never go
/// back, and no identity is handed out twice.
#[test]
fn all_short_histories_keep_the_promises() {
    type Action = fn(&mut Driver, ProducerIdentity) -> Result<ProducerIdentity>;
    let actions: [(&str, Action); 7] = [
        ("init", |tx, _| tx.init(None)),
        ("init again", |tx, who| tx.init(Some(who))),
        ("add", |tx, who| tx.add(who, 0)),
        ("commit", |tx, who| tx.end(who, Commit)),
        ("abort", |tx, who| tx.end(who, Abort)),
        ("commit classic", |tx, who| tx.end_classic(who, Commit)),
        ("time out", |tx, _| match tx.state() {
            TransactionState::Ongoing => tx.run(Input::Fence),
            _ => Ok(tx.transaction.producer),
        }),
    ];
    let count = actions.len();
    let mut histories = 0;
    for first_epoch in [0, 32_764] {
        // Each number is a history: which action, and by the oldest, the previous or the newest identity.
        for history in 0..(3 * count).pow(4) {
            histories += 1;
            let mut tx = Driver { is_reread: false, ..Driver::at(first_epoch) };
            let mut identities = vec![tx.transaction.producer];
            let mut rest = history;
            for _ in 0..4 {
                let (action, by) = (rest % count, rest / count % 3);
                rest /= 3 * count;
                let who = identities[match by {
                    0 => 0,
                    1 => identities.len().saturating_sub(2),
                    _ => identities.len() - 1,
                }];
                let before = tx.transaction.clone();
                let outcome = (actions[action].1)(&mut tx, who);
                let after = &tx.transaction;
                let name = actions[action].0;
                let text = format!("history {history} from {first_epoch}: {name} by {who}: {outcome:?}");
                if before.producer.id == after.producer.id {
                    assert!(before.producer.epoch <= after.producer.epoch, "{text}");
                }
                assert!(after.producer.epoch <= ProducerEpoch::LAST, "{text}");
                assert!(!after.state.is_prepared(), "{text}");
                if name.starts_with("commit") && before.state == TransactionState::Ongoing {
                    assert_eq!(outcome.is_ok(), who == before.producer, "{text}");
                }
                if name == "add" {
                    assert_eq!(outcome.is_ok(), who == before.producer, "{text}");
                }
                if let Ok(identity) = outcome
                    && name.starts_with("init")
                    && !identities.contains(&identity)
                {
                    assert_eq!(identity, after.producer, "{text}");
                }
                if after.producer != *identities.last().unwrap() {
                    assert!(!identities.contains(&after.producer), "{text}");
                    identities.push(after.producer);
                }
            }
        }
    }
    assert_eq!(histories, 2 * 21_usize.pow(4));
}

fn full() -> Transaction {
    Transaction {
        state: TransactionState::PrepareCommit,
        producer: producer(7, 2),
        partitions: BTreeSet::from([
            TopicPartition::new("a", 0),
            TopicPartition::new("a", 3),
            TopicPartition::new("b", 1),
        ]),
        last_update: Timestamp::new(11),
        start: Timestamp::new(10),
        ..Transaction::new("app-0".into(), ProducerId::new(7), MINUTE, Timestamp::new(0))
    }
}

#[test]
fn records_have_kafkas_bytes() {
    let transaction = full();
    let (key, value) = (record::encode_key("app-0"), transaction.encode_value());
    assert_eq!(key, *b"\0\0\0\x05app-0");
    let expected = [
        &[0, 0][..],                                                   // version
        &[0, 0, 0, 0, 0, 0, 0, 7, 0, 2, 0, 0, 0xea, 0x60, 2],          // producer, timeout, status
        &[0, 0, 0, 2, 0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3], // partitions
        &[0, 1, b'b', 0, 0, 0, 1, 0, 0, 0, 1],
        &[0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 10], // times
    ];
    assert_eq!(value, expected.concat());
    assert_eq!(reread(&transaction), transaction);

    let flexible = Transaction {
        previous_producer_id: Some(ProducerId::new(3)),
        next_producer_id: Some(ProducerId::new(9)),
        version: TransactionVersion::Bumped,
        ..transaction
    };
    let expected = [
        &[0, 1][..],
        &[0, 0, 0, 0, 0, 0, 0, 7, 0, 2, 0, 0, 0xea, 0x60, 2],
        &[3, 2, b'a', 3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 2, b'b', 2, 0, 0, 0, 1, 0],
        &[0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 10],
        &[3, 0, 8, 0, 0, 0, 0, 0, 0, 0, 3, 1, 8, 0, 0, 0, 0, 0, 0, 0, 9, 2, 2, 0, 2], // tags
    ];
    assert_eq!(flexible.encode_value(), expected.concat());
    assert_eq!(reread(&flexible), flexible);
    assert_eq!(record_of(&key, None), Some(Recorded::Expired("app-0".into())));
}

#[test]
fn damaged_records_are_no_records() {
    let key = record::encode_key("app-0");
    for transaction in [full(), Transaction { version: TransactionVersion::Bumped, ..full() }] {
        let value = transaction.encode_value();
        for at in 0..value.len() {
            assert_eq!(record_of(&key, Some(&value[..at])), None, "cut at {at}");
            // Whatever it says now, nothing breaks.
            for bit in 0..8 {
                let mut damaged = value.clone();
                damaged[at] ^= 1 << bit;
                let _any = record_of(&key, Some(&damaged));
            }
        }
    }
    assert_eq!(record_of(&[0, 1, 0, 0], Some(&full().encode_value())), None);
    // Tags of a newer version are passed over.
    let mut newer = Transaction { version: TransactionVersion::Bumped, ..full() }.encode_value();
    let tags = newer.len() - 5;
    assert_eq!(newer[tags..], [1, 2, 2, 0, 2]);
    newer.splice(tags.., [2, 2, 2, 0, 2, 77, 3, 1, 2, 3]);
    assert!(matches!(record_of(&key, Some(&newer)), Some(Recorded::Is(_))));
}

#[test]
fn errors_name_the_transactional_id() {
    let mut tx = Driver::new();
    let error = tx.add(producer(9, 0), 0).unwrap_err();
    assert!(matches!(error, LogError::InvalidProducerIdMapping { .. }));
    assert!(error.to_string().contains("\"tx\""), "{error}");
}
