//! The join of a stream with itself, over one store in place of two (`single.store.self.join`).
//!
//! ```text
//! row ─▶ joins the rows before it, as the left one ─▶ is kept ─▶ joins them again and itself, as the right one
//! ```
//! Results and their order are those of the join with two stores, where every row goes its way before the next. A row
//! that is kept always finds itself, so rows come out without match only if they have no key or come too late.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::dsl::arena::ValueArena;
use crate::dsl::fold::serialize_keys;
use crate::dsl::records::Records;
use crate::error::StreamsError;
use crate::operator::stream_join::{Dropped, OUTPUT_ROWS, Side, StreamJoin};
use crate::processor::{Context, Processor};
use crate::serde::DynSerde;
use crate::store::{HashedKey, StoreHandle, StreamRows, TaskStore};

/// Joins rows of `V` with one another by `joiner`.
pub(crate) struct SelfJoin<K, V, F> {
    keys: DynSerde<K>,
    joiner: F,
    join: StreamJoin,
    store: StoreHandle,
    key_bytes: ByteColumn,
    dropped: Dropped,
    /// Under which name the stream time is kept where no stored row tells it.
    time_name: Arc<str>,
    of: PhantomData<fn(V)>,
}

impl<K, V, O, F> SelfJoin<K, V, F>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    O: Clone + Send + 'static,
    F: Fn(Option<&K>, Option<&V>, Option<&V>) -> O,
{
    pub(crate) fn new(keys: DynSerde<K>, joiner: F, join: StreamJoin, store: StoreHandle) -> Self {
        Self {
            keys,
            joiner,
            join,
            store,
            key_bytes: ByteColumn::default(),
            dropped: Dropped::default(),
            time_name: "".into(),
            of: PhantomData,
        }
    }

    fn row(
        &mut self,
        input: &Records<K, V>,
        row: usize,
        store: &mut StreamRows<ValueArena<V>>,
        output: &mut Records<K, O>,
    ) -> Result<(), StreamsError> {
        let time = input.timestamps[row];
        store.observe(time);
        let stream_time = TaskStore::stream_time(store);
        let mut kept = false;
        if input.values[row].is_none() {
            self.dropped.without_value += 1;
        } else if let Some(key) = self.key_bytes.get(row).map(HashedKey::new) {
            let live = time >= store.first_live();
            self.dropped.late += usize::from(!live);
            for side in [Side::Left, Side::Right] {
                if side == Side::Right && live {
                    let place = store.find_or_make(key)?;
                    let stored = store.insert(place, time, true);
                    store.arena_mut().values[stored.slot as usize].clone_from(&input.values[row]);
                    store.written(&[stored])?;
                    kept = true;
                }
                let matched = self.look_up(input, row, key, side, store, output)?;
                if !matched && !live && self.join.closes_alone(side, time, stream_time) {
                    self.push(input, row, side, None, time, output);
                }
            }
        } else if self.join.keeps_left || self.join.keeps_right {
            for side in [Side::Left, Side::Right].into_iter().filter(|side| self.join.keeps(*side)) {
                self.push(input, row, side, None, time, output);
            }
        } else {
            self.dropped.without_key += 1;
        }
        if time == stream_time && !kept {
            self.dropped.time = self.dropped.time.max(Some(time));
        }
        Ok(())
    }

    /// Joins a row, which stands on this side, with the rows of its key that are kept. Returns whether there were any.
    fn look_up(
        &self,
        input: &Records<K, V>,
        row: usize,
        key: HashedKey<'_>,
        side: Side,
        store: &mut StreamRows<ValueArena<V>>,
        output: &mut Records<K, O>,
    ) -> Result<bool, StreamsError> {
        let Some(place) = store.find(key)? else { return Ok(false) };
        let time = input.timestamps[row];
        let (before, after) = self.join.windows.seen_from(side);
        let range = store.range(place, time.saturating_sub(before), time.saturating_add(after));
        let matched = !range.is_empty();
        for index in range {
            let found = store.row(place, index);
            self.push(input, row, side, store.arena().get(found.slot), time.max(found.time), output);
        }
        Ok(matched)
    }

    fn push(
        &self,
        input: &Records<K, V>,
        row: usize,
        side: Side,
        other: Option<&V>,
        time: i64,
        output: &mut Records<K, O>,
    ) {
        let (key, value) = (input.keys[row].as_ref(), input.values[row].as_ref());
        let joined = match side {
            Side::Left => (self.joiner)(key, value, other),
            Side::Right => (self.joiner)(key, other, value),
        };
        output.push(key.cloned(), Some(joined), time, input.headers_of(row).to_vec());
    }
}

impl<K, V, O, F> Processor for SelfJoin<K, V, F>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    O: Clone + Send + 'static,
    F: Fn(Option<&K>, Option<&V>, Option<&V>) -> O + Send + 'static,
{
    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.time_name = Arc::clone(context.store::<StreamRows<ValueArena<V>>>(self.store)?.name());
        if let Some(time) = context.kept_time(&self.time_name) {
            context.store::<StreamRows<ValueArena<V>>>(self.store)?.observe(time);
        }
        Ok(())
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<Records<K, V>>(batch)?;
        self.key_bytes.clear();
        serialize_keys(&self.keys, &input.keys, &mut self.key_bytes)?;
        let mut output = Records::with_capacity(input.len());
        for row in 0..input.len() {
            let store = context.store::<StreamRows<ValueArena<V>>>(self.store)?;
            self.row(&input, row, store, &mut output)?;
            if output.len() >= OUTPUT_ROWS {
                context.forward(Box::new(std::mem::replace(&mut output, Records::with_capacity(0))))?;
            }
        }
        context.store::<StreamRows<ValueArena<V>>>(self.store)?.release();
        if !output.is_empty() {
            context.forward(Box::new(output))?;
        }
        let dropped = std::mem::take(&mut self.dropped);
        if let Some(time) = dropped.time {
            context.keep_time(&self.time_name, time);
        }
        dropped.report(context);
        Ok(())
    }

    fn advance(&mut self, stream_time: i64, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let store = context.store::<StreamRows<ValueArena<V>>>(self.store)?;
        store.observe(stream_time);
        store.release();
        context.keep_time(&self.time_name, stream_time);
        Ok(())
    }
}

/// A value as the type that it is.
pub(crate) fn same<V: 'static, W: 'static>(value: &V) -> &W {
    let value: &dyn Any = value;
    value.downcast_ref().expect("the rows of a stream that joins itself are of one type")
}
