//! Foreign-key join of tables: each left row names the key of a right row.
//!
//! ```text
//! left row  ─▶ SubscriptionSender ─▶ topic, by foreign key ─▶ SubscriptionReceiver ─┐ keeps and looks up
//!                                                                ▲ subscriptions    │
//! right row ────────────────────────────────▶ ForeignTableProcessor ───────────────┤ tells all that subscribed
//!                                                                                   ▼
//! result    ◀─ ResponseResolver ◀─ topic, to the left row's partition ◀─────────────┘
//! ```
//! Left and right rows with a match are seldom in the same task, so the sides exchange messages. A message carries the
//! hash of the left value it is about; what comes back for a value that the left row does not have any more is dropped,
//! as the answer for its new value is on the way. One thing slips through, as in Kafka: a left row of an inner join that
//! is deleted, and comes again without a right row before the deletion was answered, keeps its old result.

pub(crate) mod message;
mod murmur3;

pub use message::{message_decoder, message_encoder};

use std::convert::Infallible;
use std::marker::PhantomData;

use millstream_log::Header;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::operator::aggregate::report;
use crate::operator::foreign_key::message::{
    Instruction, Messages, Response, Subscription, subscription_prefix,
};
use crate::operator::foreign_key::murmur3::murmur3;
use crate::processor::{Context, Processor};
use crate::report::ReportKind;
use crate::store::backend::prefix_end;
use crate::store::{Arena, CachedStore, NO_SLOT, StoreHandle};

/// Messages of a batch, about: the last row that makes some may add more.
const OUTPUT_ROWS: usize = 8192;

/// Which left rows come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignJoin {
    /// Those that have a right row.
    Inner,
    /// All.
    Left,
}

/// Changes of the left table, a row each.
#[derive(Debug, Default)]
pub struct LeftChanges {
    /// The primary keys.
    pub keys: ByteColumn,
    /// The new values as they are stored; absent for deletions.
    pub values: ByteColumn,
    /// Whether there was a value before.
    pub existed: Vec<bool>,
    /// The foreign keys of the values before; absent if there was no value, or if it had none.
    pub old_foreign_keys: ByteColumn,
    /// The foreign keys of the new values.
    pub foreign_keys: ByteColumn,
}

impl LeftChanges {
    fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.existed.clear();
        self.old_foreign_keys.clear();
        self.foreign_keys.clear();
    }
}

/// What one skin knows about the left table.
pub trait LeftRows: Send + 'static {
    /// Changes of the table, with old values.
    type Input: Batch;

    /// Appends every row.
    fn changes(&mut self, input: &Self::Input, changes: &mut LeftChanges) -> Result<(), StreamsError>;

    /// The headers of a row.
    fn headers<'a>(&self, input: &'a Self::Input, row: usize) -> &'a [Header];
}

/// Tells the right side which right rows the left rows want.
pub struct SubscriptionSender<L: LeftRows> {
    left: L,
    join: ForeignJoin,
    changes: LeftChanges,
}

impl<L: LeftRows> SubscriptionSender<L> {
    /// For changes of the left table of a join.
    pub fn new(left: L, join: ForeignJoin) -> Self {
        Self { left, join, changes: LeftChanges::default() }
    }

    /// The messages about one row, as foreign key and instruction.
    fn instructions<'a>(&'a self, row: usize, mut send: impl FnMut(Option<&'a [u8]>, Instruction)) -> bool {
        use Instruction::{Delete, DeleteAndAnswer, KeepAndAnswer, KeepAndAnswerIfFound};
        let (old, new) = (self.changes.old_foreign_keys.get(row), self.changes.foreign_keys.get(row));
        let exists = self.changes.values.get(row).is_some();
        match self.join {
            ForeignJoin::Left => {
                if let Some(old) = old.filter(|old| new != Some(*old)) {
                    send(Some(old), Delete);
                }
                // With no foreign key or value this has the row come out without right row, or be deleted.
                if exists || self.changes.existed[row] {
                    send(new, KeepAndAnswer);
                }
                true
            }
            ForeignJoin::Inner => {
                match (old, new) {
                    (None, None) => {}
                    (None, new) if !self.changes.existed[row] => send(new, KeepAndAnswerIfFound),
                    (old, None) => send(old, DeleteAndAnswer),
                    (old, new) => {
                        if old.is_some() && old != new {
                            send(old, Delete);
                        }
                        // Also if there is no right row: what came of the old value does not hold any more. Kafka asks
                        // for no such answer where the foreign key stays. But an answer for the old value that is on
                        // the way, such as that the right row was deleted, will be dropped.
                        send(new, KeepAndAnswer);
                    }
                }
                old.is_some() || new.is_some() || !exists
            }
        }
    }
}

impl<L: LeftRows> Processor for SubscriptionSender<L> {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<L::Input>(batch)?;
        self.changes.clear();
        self.left.changes(&input, &mut self.changes)?;
        let partition = context.partition().get();
        let (mut messages, mut skipped) = (Messages::default(), 0);
        for row in 0..input.rows() {
            let primary_key = self.changes.keys.get(row).unwrap_or_default();
            let hash = self.changes.values.get(row).map(murmur3);
            let wanted = self.instructions(row, |foreign_key, instruction| {
                messages.keys.push(foreign_key);
                let subscription = Subscription { instruction, hash, primary_key, partition };
                let Ok(()) = messages.values.push_with::<Infallible>(|out| {
                    subscription.write(out);
                    Ok(())
                });
                messages.close(input.timestamps()[row], self.left.headers(&input, row));
            });
            skipped += usize::from(!wanted);
        }
        report(context, ReportKind::Incomplete, skipped, "a row of the table has no foreign key to join on");
        context.forward(Box::new(messages))
    }
}

/// Subscriptions as they came, by slot.
#[derive(Default)]
pub struct SubscriptionArena {
    rows: Vec<Box<[u8]>>,
}

impl Arena for SubscriptionArena {
    fn resize(&mut self, slots: usize) {
        self.rows.resize_with(slots.max(self.rows.len()), Box::default);
    }

    fn reset(&mut self, slot: u32) {
        self.rows[slot as usize] = Box::default();
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), StreamsError> {
        self.rows[slot as usize] = bytes.into();
        Ok(())
    }

    fn save(&self, slot: u32, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        out.extend_from_slice(&self.rows[slot as usize]);
        Ok(())
    }

    fn size(&self, slot: u32) -> usize {
        size_of::<Box<[u8]>>() + self.rows[slot as usize].len()
    }
}

/// Keeps subscriptions, and answers those that want it from the right table, whose values are in an `R`.
pub struct SubscriptionReceiver<R: Arena> {
    subscriptions: StoreHandle,
    right: StoreHandle,
    slots: Vec<u32>,
    found: Vec<u32>,
    value: Vec<u8>,
    of: PhantomData<fn() -> R>,
}

impl<R: Arena> SubscriptionReceiver<R> {
    /// With the store of subscriptions and that of the right table.
    pub fn new(subscriptions: StoreHandle, right: StoreHandle) -> Self {
        let (slots, found, value) = (Vec::new(), Vec::new(), Vec::new());
        Self { subscriptions, right, slots, found, value, of: PhantomData }
    }

    fn keep(
        &mut self,
        messages: &Messages,
        store: &mut CachedStore<SubscriptionArena>,
    ) -> Result<(), StreamsError> {
        let mut keys = ByteColumn::default();
        for row in 0..messages.rows() {
            let subscription = messages.values.get(row).and_then(Subscription::read);
            match (messages.keys.get(row), subscription) {
                (Some(foreign_key), Some(subscription)) => {
                    self.value.clear();
                    subscription_prefix(foreign_key, &mut self.value);
                    keys.push_parts(&[&self.value, subscription.primary_key]);
                }
                _ => keys.push(None),
            }
        }
        self.slots.clear();
        store.slots(keys.iter().flatten(), &mut self.slots)?;
        let rows = (0..messages.rows()).filter(|row| keys.get(*row).is_some());
        for (row, slot) in rows.zip(&self.slots) {
            let bytes = messages.values.get(row).unwrap_or_default();
            let Some(subscription) = Subscription::read(bytes) else { continue };
            let timestamp = messages.timestamps[row];
            match subscription.instruction {
                Instruction::Delete | Instruction::DeleteAndAnswer if store.exists(*slot) => {
                    store.delete(*slot, timestamp);
                }
                Instruction::Delete | Instruction::DeleteAndAnswer => {}
                Instruction::KeepAndAnswer | Instruction::KeepAndAnswerIfFound => {
                    store.arena_mut().rows[*slot as usize] = bytes.into();
                    store.put(*slot, timestamp);
                }
            }
        }
        Ok(())
    }
}

impl<R: Arena> Processor for SubscriptionReceiver<R> {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let messages = downcast::<Messages>(batch)?;
        let store = context.store::<CachedStore<SubscriptionArena>>(self.subscriptions)?;
        self.keep(&messages, store)?;
        let right = context.store::<CachedStore<R>>(self.right)?;
        self.found.clear();
        right.find_many(messages.keys.iter(), &mut self.found)?;
        let (mut responses, mut unreadable) = (Messages::default(), 0);
        for row in 0..messages.rows() {
            let Some(subscription) = messages.values.get(row).and_then(Subscription::read) else {
                unreadable += 1;
                continue;
            };
            let slot = self.found[row];
            let found = slot != NO_SLOT;
            let answer_with_row = match subscription.instruction {
                Instruction::Delete => continue,
                Instruction::DeleteAndAnswer => false,
                Instruction::KeepAndAnswer => found,
                Instruction::KeepAndAnswerIfFound if found => true,
                Instruction::KeepAndAnswerIfFound => continue,
            };
            self.value.clear();
            let mut time = messages.timestamps[row];
            if found {
                time = time.max(right.timestamp(slot));
            }
            if answer_with_row {
                right.arena().save(slot, &mut self.value)?;
            }
            let foreign = answer_with_row.then_some(self.value.as_slice());
            respond(&mut responses, &subscription, foreign, time, messages.headers_of(row));
        }
        report(
            context,
            ReportKind::Undecodable,
            unreadable,
            "a message of the join's own topic is not readable",
        );
        context.forward(Box::new(responses))
    }
}

fn respond(
    responses: &mut Messages,
    to: &Subscription<'_>,
    foreign: Option<&[u8]>,
    time: i64,
    headers: &[Header],
) {
    responses.keys.push(Some(to.primary_key));
    let Ok(()) = responses.values.push_with::<Infallible>(|out| {
        Response { hash: to.hash, foreign }.write(out);
        Ok(())
    });
    responses.partitions.push(to.partition);
    responses.close(time, headers);
}

/// What one skin knows about the right table.
pub trait RightRows: Send + 'static {
    /// Changes of the table.
    type Input: Batch;

    /// Appends the key bytes of every row, and its new value as it is stored, absent for deletions.
    fn changes(
        &mut self,
        input: &Self::Input,
        keys: &mut ByteColumn,
        values: &mut ByteColumn,
    ) -> Result<(), StreamsError>;

    /// The headers of a row.
    fn headers<'a>(&self, input: &'a Self::Input, row: usize) -> &'a [Header];
}

/// Tells all left rows that have subscribed to a right row what it has become.
pub struct ForeignTableProcessor<R: RightRows> {
    right: R,
    subscriptions: StoreHandle,
    keys: ByteColumn,
    values: ByteColumn,
    slots: Vec<u32>,
    prefix: Vec<u8>,
}

impl<R: RightRows> ForeignTableProcessor<R> {
    /// For changes of the right table, with the store of subscriptions.
    pub fn new(right: R, subscriptions: StoreHandle) -> Self {
        let (keys, values) = (ByteColumn::default(), ByteColumn::default());
        Self { right, subscriptions, keys, values, slots: Vec::new(), prefix: Vec::new() }
    }
}

impl<R: RightRows> Processor for ForeignTableProcessor<R> {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<R::Input>(batch)?;
        self.keys.clear();
        self.values.clear();
        self.right.changes(&input, &mut self.keys, &mut self.values)?;
        let mut responses = Messages::default();
        for row in 0..input.rows() {
            let Some(key) = self.keys.get(row) else { continue };
            let store = context.store::<CachedStore<SubscriptionArena>>(self.subscriptions)?;
            self.prefix.clear();
            subscription_prefix(key, &mut self.prefix);
            self.slots.clear();
            store.range(&self.prefix, prefix_end(&self.prefix).as_deref(), &mut self.slots)?;
            for slot in &self.slots {
                let subscription =
                    Subscription::read(&store.arena().rows[*slot as usize]).ok_or_else(|| {
                        StreamsError::CorruptState {
                            store: "subscriptions of a foreign-key join".to_owned(),
                            reason: "a subscription does not decode".to_owned(),
                        }
                    })?;
                let (foreign, time) = (self.values.get(row), input.timestamps()[row]);
                respond(&mut responses, &subscription, foreign, time, self.right.headers(&input, row));
            }
            if responses.rows() >= OUTPUT_ROWS {
                context.forward(Box::new(std::mem::take(&mut responses)))?;
            }
        }
        context.forward(Box::new(responses))
    }
}

/// An answer that still holds for its left row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// The primary key.
    pub key: &'a [u8],
    /// The left row's slot, or none if it is gone.
    pub left: Option<u32>,
    /// The right row, if there is one.
    pub foreign: Option<&'a [u8]>,
    /// The event time of the result: the later one of both rows'.
    pub time: i64,
    /// The headers of the row that made the answer come.
    pub headers: &'a [Header],
}

/// What one skin knows about the result.
pub trait ForeignJoiner: Send + 'static {
    /// The values of the left table.
    type Arena: Arena;

    /// Whether the left row in a slot names a right row.
    fn has_foreign_key(
        &mut self,
        key: &[u8],
        slot: u32,
        left: &CachedStore<Self::Arena>,
    ) -> Result<bool, StreamsError>;

    /// Makes a change of the result of each answer, in order; there is at least one. Without left row, or in an inner
    /// join without right row, it is a deletion.
    fn join(
        &mut self,
        answers: &[Resolved<'_>],
        left: &CachedStore<Self::Arena>,
    ) -> Result<Box<dyn Batch>, StreamsError>;
}

/// Joins left rows with what has come back for them.
pub struct ResponseResolver<J: ForeignJoiner> {
    joiner: J,
    join: ForeignJoin,
    left: StoreHandle,
    slots: Vec<u32>,
    value: Vec<u8>,
}

impl<J: ForeignJoiner> ResponseResolver<J> {
    /// With the store of the left table.
    pub fn new(joiner: J, join: ForeignJoin, left: StoreHandle) -> Self {
        Self { joiner, join, left, slots: Vec::new(), value: Vec::new() }
    }

    /// Whether an answer for a value that the left row does not have any more deletes the result all the same: there
    /// is no right row, and the left row is gone or names none, about which an inner join sends no further message.
    fn deletes(
        &mut self,
        foreign: Option<&[u8]>,
        key: &[u8],
        slot: Option<u32>,
        left: &CachedStore<J::Arena>,
    ) -> Result<bool, StreamsError> {
        Ok(match (self.join, foreign, slot) {
            (ForeignJoin::Left, _, _) | (ForeignJoin::Inner, Some(_), _) => false,
            (ForeignJoin::Inner, None, None) => true,
            (ForeignJoin::Inner, None, Some(slot)) => !self.joiner.has_foreign_key(key, slot, left)?,
        })
    }
}

impl<J: ForeignJoiner> Processor for ResponseResolver<J> {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let messages = downcast::<Messages>(batch)?;
        let left = context.store::<CachedStore<J::Arena>>(self.left)?;
        self.slots.clear();
        left.find_many(messages.keys.iter(), &mut self.slots)?;
        let (mut answers, mut unreadable) = (Vec::with_capacity(messages.rows()), 0);
        for row in 0..messages.rows() {
            let message = messages.keys.get(row).zip(messages.values.get(row).and_then(Response::read));
            let Some((key, Response { hash, foreign })) = message else {
                unreadable += 1;
                continue;
            };
            let slot = Some(self.slots[row]).filter(|slot| *slot != NO_SLOT);
            let mut current = None;
            if let Some(slot) = slot {
                self.value.clear();
                left.arena().save(slot, &mut self.value)?;
                current = Some(murmur3(&self.value));
            }
            let sent = messages.timestamps[row];
            let time = slot.map_or(sent, |slot| sent.max(left.timestamp(slot)));
            let headers = messages.headers_of(row);
            if hash == current {
                answers.push(Resolved { key, left: slot, foreign, time, headers });
            } else if self.deletes(foreign, key, slot, left)? {
                answers.push(Resolved { key, left: None, foreign, time, headers });
            }
        }
        let output = match answers.as_slice() {
            [] => None,
            answers => Some(self.joiner.join(answers, left)?),
        };
        report(
            context,
            ReportKind::Undecodable,
            unreadable,
            "a message of the join's own topic is not readable",
        );
        output.map_or(Ok(()), |output| context.forward(output))
    }
}
