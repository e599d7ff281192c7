//! Stream-stream join: rows of two streams with equal keys and times that lie close enough.
//!
//! ```text
//! left row  ─▶ looks into the rows of the right side, then joins those of the left ─┐
//! right row ─▶ looks into the rows of the left side, then joins those of the right ─┴▶ joined rows
//!                            │ no match, and the side keeps unmatched rows
//!                            ▼
//!                  waiting, until stream time has passed the end of its window
//! ```
//! The stream time is that of both sides together, judged row by row. Windows: a left row at `t` joins right rows
//! in `[t - before, t + after]`.
//!
//! Each side is a node. Where nothing but the join sees in which order rows of the two inputs come, the left one gets
//! batches of both ([`Processor::process_pair`]), and the rows take turns inside.

mod row;
mod rules;

use std::any::{Any, type_name};
use std::sync::Arc;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::operator::aggregate::report;
use crate::processor::{BatchPair, Context, Processor};
use crate::report::ReportKind;
use crate::store::{Arena, KeptRow, OrderedStore, StoreHandle, StreamRows, TaskStore};
use crate::turns::Turns;

use row::{Joining, Seen};
pub use rules::{JoinWindows, Side, StreamJoin, Unmatched};

/// Joined rows of an output batch, about: the last input row of it may add more.
pub(crate) const OUTPUT_ROWS: usize = 8192;

/// The stores of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinStores {
    /// Rows of the left side, a [`StreamRows`]. Its retention is that of the windows.
    pub left: StoreHandle,
    /// Rows of the right side, a [`StreamRows`].
    pub right: StoreHandle,
    /// Which rows wait, an [`OrderedStore`] of both sides; wanted by joins that [wait](StreamJoin::waits).
    pub waiting: Option<StoreHandle>,
}

/// A row that comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinedRow {
    /// The input row that made it come; its headers go along. Of its values nothing comes out if a row of the
    /// stores comes alone.
    pub row: u32,
    /// The input that row is of.
    pub side: Side,
    /// The event time in ms.
    pub time: i64,
    /// What is joined.
    pub pair: Pair,
}

/// What is joined in a [`JoinedRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// The input row and the other side's row in this slot.
    Matched(u32),
    /// The input row alone.
    Alone,
    /// A row of the left side alone: its key's place and its slot.
    LeftAlone(u32, u32),
    /// A row of the right side alone: its key's place and its slot.
    RightAlone(u32, u32),
}

/// What one skin knows about one side of a stream-stream join.
pub trait JoinedStream: Send + 'static {
    /// The values of the side's rows.
    type Rows: Arena;
    /// The side's batch.
    type Input: Batch;

    /// Appends the key bytes of every row; rows without key are absent.
    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError>;

    /// Whether a row has a value; one without is dropped.
    fn has_value(&self, input: &Self::Input, row: usize) -> bool;

    /// Stores the value of row `rows[i]` in slot `slots[i]`.
    fn write(
        &mut self,
        input: &Self::Input,
        rows: &[u32],
        slots: &[u32],
        arena: &mut Self::Rows,
    ) -> Result<(), StreamsError>;
}

/// What one skin knows about a stream-stream join.
pub trait StreamJoiner: Send + Sized + 'static {
    /// The left side.
    type Left: JoinedStream;
    /// The right side.
    type Right: JoinedStream;

    /// Both sides.
    fn sides(&mut self) -> (&mut Self::Left, &mut Self::Right);

    /// Makes the output rows, in order; there is at least one.
    fn join(&mut self, rows: &[JoinedRow], of: &JoinParts<'_, Self>) -> Result<Box<dyn Batch>, StreamsError>;
}

/// A side's batch.
type InputOf<S> = <S as JoinedStream>::Input;

/// Where [joined rows](JoinedRow) find their parts.
pub struct JoinParts<'a, J: StreamJoiner> {
    /// The batches whose rows made others come. Without any, all rows come alone out of the stores, and their
    /// [`JoinedRow::row`] means nothing.
    pub inputs: Inputs<'a, J>,
    /// The rows of the left side.
    pub left: &'a StreamRows<<J::Left as JoinedStream>::Rows>,
    /// The rows of the right side.
    pub right: &'a StreamRows<<J::Right as JoinedStream>::Rows>,
}

/// The batches that are joined at a time.
pub struct Inputs<'a, J: StreamJoiner> {
    /// Rows of the left stream.
    pub left: Option<&'a InputOf<J::Left>>,
    /// Rows of the right stream.
    pub right: Option<&'a InputOf<J::Right>>,
}

impl<J: StreamJoiner> Clone for Inputs<'_, J> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<J: StreamJoiner> Copy for Inputs<'_, J> {}

/// Runs one side of a stream-stream join, or both where their rows come together. The other side has a processor of its
/// own, with the same stores.
pub struct StreamJoinProcessor<J: StreamJoiner> {
    joiner: J,
    side: Side,
    stores: JoinStores,
    joining: Joining,
    left: Half,
    right: Half,
}

/// One side while it is joined.
struct Half {
    keys: ByteColumn,
    stored: Stored,
    dropped: Dropped,
    /// Under which name the stream time of the side is kept where no stored row tells it.
    time_name: Arc<str>,
}

/// Input rows that were put into the store of their side without value so far.
#[derive(Default)]
struct Stored {
    rows: Vec<u32>,
    kept: Vec<KeptRow>,
    slots: Vec<u32>,
}

impl Stored {
    fn push(&mut self, row: u32, kept: KeptRow) {
        self.rows.push(row);
        self.kept.push(kept);
        self.slots.push(kept.slot);
    }
}

/// Rows that were left out.
#[derive(Default)]
pub(crate) struct Dropped {
    pub(crate) without_value: usize,
    pub(crate) without_key: usize,
    pub(crate) late: usize,
    /// The highest time of the side, if it came from a row that is in no store.
    pub(crate) time: Option<i64>,
}

/// The stores while rows are joined.
struct Stores<'a, L: Arena, R: Arena> {
    left: &'a mut StreamRows<L>,
    right: &'a mut StreamRows<R>,
    waiting: Option<&'a mut OrderedStore>,
}

type StoresOf<'a, J> = Stores<
    'a,
    <<J as StreamJoiner>::Left as JoinedStream>::Rows,
    <<J as StreamJoiner>::Right as JoinedStream>::Rows,
>;

impl<L: Arena, R: Arena> Stores<'_, L, R> {
    fn seen_by_left(&mut self) -> Seen<'_, L, R> {
        Seen { this: self.left, other: self.right, waiting: self.waiting.as_deref_mut() }
    }

    fn seen_by_right(&mut self) -> Seen<'_, R, L> {
        Seen { this: self.right, other: self.left, waiting: self.waiting.as_deref_mut() }
    }

    fn release(&mut self) {
        self.left.release();
        self.right.release();
    }
}

impl<J: StreamJoiner> StreamJoinProcessor<J> {
    /// One side of a join.
    pub fn new(joiner: J, side: Side, join: StreamJoin, stores: JoinStores) -> Self {
        let (left, right) = (Half::new(), Half::new());
        Self { joiner, side, stores, joining: Joining::new(join), left, right }
    }

    fn open<'a>(&self, context: &'a mut Context<'_>) -> Result<StoresOf<'a, J>, StreamsError> {
        let JoinStores { left, right, waiting } = self.stores;
        let (left, right, waiting) = match waiting {
            Some(waiting) => {
                let [left, right, waiting] = context.stores([left, right, waiting])?;
                (left, right, Some(own::<OrderedStore>(waiting)?))
            }
            None => {
                let [left, right] = context.stores([left, right])?;
                (left, right, None)
            }
        };
        Ok(Stores { left: own(left)?, right: own(right)?, waiting })
    }

    /// Under which name the stream time of this side is kept.
    fn own_time_name(&self) -> &str {
        match self.side {
            Side::Left => &self.left.time_name,
            Side::Right => &self.right.time_name,
        }
    }

    /// Raises the stream time of this side.
    fn observe(&self, time: i64, stores: &mut StoresOf<'_, J>) {
        match self.side {
            Side::Left => stores.left.observe(time),
            Side::Right => stores.right.observe(time),
        }
    }

    /// Joins the rows of the inputs in turns, and forwards what comes of it.
    fn process_inputs(
        &mut self,
        inputs: Inputs<'_, J>,
        mut turns: Turns<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), StreamsError> {
        let (left, right) = self.joiner.sides();
        if let Some(input) = inputs.left {
            self.left.keys.clear();
            left.keys(input, &mut self.left.keys)?;
        }
        if let Some(input) = inputs.right {
            self.right.keys.clear();
            right.keys(input, &mut self.right.keys)?;
        }
        loop {
            let mut stores = self.open(context)?;
            let done = self.run(inputs, &mut turns, &mut stores)?;
            let output = self.output(inputs, &mut stores)?;
            if done {
                stores.release();
            }
            if let Some(output) = output {
                context.forward(output)?;
            }
            if done {
                return Ok(());
            }
        }
    }

    /// Joins rows until there are no more or enough has come of it. Returns whether there are no more.
    fn run(
        &mut self,
        inputs: Inputs<'_, J>,
        turns: &mut Turns<'_>,
        stores: &mut StoresOf<'_, J>,
    ) -> Result<bool, StreamsError> {
        let (left, right) = self.joiner.sides();
        let (joining, of_left, of_right) = (&mut self.joining, &mut self.left, &mut self.right);
        while joining.joined.len() < OUTPUT_ROWS {
            let Some((input, row)) = turns.peek() else { return Ok(true) };
            let taken = match (input, inputs) {
                (0, Inputs { left: Some(batch), .. }) => {
                    joining.row(Side::Left, left, (batch, row), of_left, &mut stores.seen_by_left())?
                }
                (_, Inputs { right: Some(batch), .. }) => {
                    joining.row(Side::Right, right, (batch, row), of_right, &mut stores.seen_by_right())?
                }
                _ => unreachable!("only inputs that are there have rows"),
            };
            if !taken {
                return Ok(false);
            }
            turns.take(input);
        }
        Ok(turns.peek().is_none())
    }

    /// The batch of what was joined since the last one.
    fn output(
        &mut self,
        inputs: Inputs<'_, J>,
        stores: &mut StoresOf<'_, J>,
    ) -> Result<Option<Box<dyn Batch>>, StreamsError> {
        let (left, right) = self.joiner.sides();
        if let Some(input) = inputs.left {
            write(left, input, &mut self.left.stored, stores.left)?;
        }
        if let Some(input) = inputs.right {
            write(right, input, &mut self.right.stored, stores.right)?;
        }
        if self.joining.joined.is_empty() {
            return Ok(None);
        }
        let parts = JoinParts { inputs, left: stores.left, right: stores.right };
        let output = self.joiner.join(&self.joining.joined, &parts)?;
        self.joining.joined.clear();
        Ok(Some(output))
    }
}

/// A store as its own type.
fn own<S: TaskStore>(store: &mut dyn TaskStore) -> Result<&mut S, StreamsError> {
    let store: &mut dyn Any = store;
    store.downcast_mut::<S>().ok_or(StreamsError::WrongType { expected: type_name::<S>() })
}

/// Puts the values of inserted rows into the arena.
fn write<S: JoinedStream>(
    stream: &mut S,
    input: &S::Input,
    stored: &mut Stored,
    store: &mut StreamRows<S::Rows>,
) -> Result<(), StreamsError> {
    if !stored.rows.is_empty() {
        stream.write(input, &stored.rows, &stored.slots, store.arena_mut())?;
        store.written(&stored.kept)?;
        stored.rows.clear();
        stored.kept.clear();
        stored.slots.clear();
    }
    Ok(())
}

impl<J: StreamJoiner> Processor for StreamJoinProcessor<J> {
    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let stores = self.open(context)?;
        self.left.time_name = Arc::clone(stores.left.name());
        self.right.time_name = Arc::clone(stores.right.name());
        if let Some(time) = context.kept_time(self.own_time_name()) {
            self.observe(time, &mut self.open(context)?);
        }
        Ok(())
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        match self.side {
            Side::Left => {
                let batch = downcast::<InputOf<J::Left>>(batch)?;
                let turns = Turns::new([batch.timestamps(), &[]], true);
                self.process_inputs(Inputs { left: Some(&batch), right: None }, turns, context)?;
                self.left.settle(context);
            }
            Side::Right => {
                let batch = downcast::<InputOf<J::Right>>(batch)?;
                let turns = Turns::new([&[], batch.timestamps()], true);
                self.process_inputs(Inputs { left: None, right: Some(&batch) }, turns, context)?;
                self.right.settle(context);
            }
        }
        Ok(())
    }

    fn process_pair(&mut self, pair: BatchPair, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let BatchPair { left, right, left_first, right_node } = pair;
        let left = downcast::<InputOf<J::Left>>(left)?;
        let right = downcast::<InputOf<J::Right>>(right)?;
        let turns = Turns::new([left.timestamps(), right.timestamps()], left_first);
        self.process_inputs(Inputs { left: Some(&left), right: Some(&right) }, turns, context)?;
        self.left.settle(context);
        context.as_node(right_node, |context| self.right.settle(context));
        Ok(())
    }

    fn advance(&mut self, stream_time: i64, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let inputs = Inputs { left: None, right: None };
        loop {
            let mut stores = self.open(context)?;
            self.observe(stream_time, &mut stores);
            let done = self.joining.close(Side::Left, 0, stream_time, &mut stores.seen_by_left())?;
            let output = self.output(inputs, &mut stores)?;
            if done {
                stores.release();
            }
            if let Some(output) = output {
                context.forward(output)?;
            }
            if done {
                context.keep_time(self.own_time_name(), stream_time);
                return Ok(());
            }
        }
    }
}

impl Half {
    fn new() -> Self {
        let (keys, stored) = (ByteColumn::default(), Stored::default());
        Self { keys, stored, dropped: Dropped::default(), time_name: "".into() }
    }

    /// The end of the side's batch: keeps its time and reports what was left out.
    fn settle(&mut self, context: &mut Context<'_>) {
        let dropped = std::mem::take(&mut self.dropped);
        if let Some(time) = dropped.time {
            context.keep_time(&self.time_name, time);
        }
        dropped.report(context);
    }
}

impl Dropped {
    pub(crate) fn report(&self, context: &mut Context<'_>) {
        report(context, ReportKind::Incomplete, self.without_value, "a row has no value to join");
        report(context, ReportKind::Incomplete, self.without_key, "a row has no key to join on");
        report(
            context,
            ReportKind::Late,
            self.late,
            "a row came too late to be kept for the rows it could join",
        );
    }
}
